"""The folder of a sweep: what is in it, how it is written, what is damaged.

    sweep.json        identity: the sweep file with its defaults filled in, checksums of the
                      logs it names, versions, backend, tile; what a resumed sweep must match
    lock              held (flock) while a sweep is running
    tiles/000000.npz  ... one file per finished tile (`tally`), with a checksum
    results.zarr      the answer, written when every tile is there; see `results`
    results.json      checksum of every file in results.zarr

For whoever plots or reads: `xr.open_zarr(DIR / "results.zarr")`, or `results.load(DIR)`, is
all that is needed; dims, coordinates and variables are listed in `results`. A sweep folder is
one that holds `sweep.json`; it is complete once it holds `results.zarr`.

Every file is written beside its place, flushed to disk and renamed into it, so a name either
does not exist or holds everything. A tile file is an ordinary `.npz` (no pickle) after a line
with the checksum of identity, tile number and contents: one of another sweep, another tile or
with a bit changed is not taken for the right one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.sweep.spec import differences
from c2mabv_jax.sweep.tally import Arrays

FORMAT = 1
IDENTITY, LOCK, TILES = "sweep.json", "lock", "tiles"
RESULTS, CHECKSUMS = "results.zarr", "results.json"
_MAGIC = b"c2mabv sweep tile 1 sha256 "


class Damaged(Exception):
    """A file that does not hold what was written; the message says what is wrong."""


class Left(Exception):
    """A tile came after its sweep had let go of the folder."""


class Folder:
    """A sweep's folder.

    Attributes:
      path: the folder.
      digest: of the identity; part of every tile's checksum.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity
        text = json.dumps(identity, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self._storing = threading.Lock()
        self._left = False

    # --- opening -------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other sweep out of the folder; the kernel lets go when we die.

        Nothing of this sweep is stored after the end of the context, not even by a thread that
        an interrupt left at its tile: the next sweep may be in the folder by then.
        """
        import fcntl

        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / LOCK, "a+")  # noqa: SIM115
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                who = " ".join(lock.read(200).split()) or "another process"
                raise ProblemError(
                    f"out = {str(self.path)!r}: a sweep is running there ({who}); wait for it, "
                    "or give another folder"
                ) from None
            with writing(self.path):
                lock.truncate(0)
                lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                lock.flush()
            try:
                yield
            finally:
                with self._storing:
                    self._left = True

    def begin(self, resume: bool) -> list[str]:
        """Claim the folder for this sweep, or check that it is its own.

        Returns:
          Warnings, one line each.

        Raises:
          ProblemError: the folder holds something else; the message says what to do.
        """
        file = self.path / IDENTITY
        warnings = []
        if file.exists():
            if not resume:
                raise ProblemError(
                    f"out = {str(self.path)!r}: holds a sweep already; add --resume to go on with "
                    "it, or give another folder"
                )
            try:
                there = json.loads(file.read_bytes())
                if not isinstance(there, dict):
                    raise ValueError("no table")
            except ValueError:
                warnings.append(f"{IDENTITY}: damaged; written again from the sweep file")
                there = self.identity
                file.unlink()
            for place, old, new in differences(there, self.identity):
                raise ProblemError(
                    f"{place}: the sweep in {str(self.path)!r} has {_short(old)}, this one "
                    f"{_short(new)}; make them equal, or give another folder"
                )
        elif any(p.name not in (LOCK, f"{IDENTITY}.partial") for p in self.path.iterdir()):
            if not (resume and (self.path / TILES).is_dir()):
                raise ProblemError(
                    f"out = {str(self.path)!r}: not empty and no sweep; give a new folder"
                )
            warnings.append(f"{IDENTITY}: missing; written again from the sweep file")
        if not file.exists():
            with writing(self.path):
                write(file, (json.dumps(self.identity, indent=1) + "\n").encode())
        with writing(self.path):
            (self.path / TILES).mkdir(exist_ok=True)
            for leftover in (self.path / TILES).glob("*.partial"):
                leftover.unlink()
        return warnings

    # --- tiles ---------------------------------------------------------------------------

    def tile_file(self, number: int) -> Path:
        """Where tile `number` is stored."""
        return self.path / TILES / f"{number:06d}.npz"

    def write_tile(self, number: int, arrays: Arrays) -> None:
        """Store a finished tile.

        Raises:
          Left: the sweep has ended.
        """
        payload = io.BytesIO()
        np.savez(payload, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        content = payload.getvalue()
        header = _MAGIC + self._checksum(number, content).encode() + b"\n"
        with self._storing, writing(self.path):
            if self._left:
                raise Left(f"tile {number}: finished after its sweep had ended; not stored")
            write(self.tile_file(number), header + content)

    def read_tile(self, number: int) -> Arrays:
        """A stored tile, its checksum verified.

        Raises:
          Damaged: it is not what was written.
          FileNotFoundError: there is none.
        """
        header, _, content = self.tile_file(number).read_bytes().partition(b"\n")
        if not header.startswith(_MAGIC):
            raise Damaged("no tile file")
        if header != _MAGIC + self._checksum(number, content).encode():
            raise Damaged("checksum does not match")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def missing_tiles(
        self, total: int, remove_damaged: bool = False
    ) -> tuple[list[int], list[str]]:
        """Tiles to compute, and a line for each stored one that is damaged."""
        todo, warnings = [], []
        for number in range(total):
            try:
                self.read_tile(number)
            except FileNotFoundError:
                todo.append(number)
            except Damaged as error:
                todo.append(number)
                name = self.tile_file(number).relative_to(self.path)
                warnings.append(f"{name}: damaged ({error}); computed again")
                if remove_damaged:
                    with writing(self.path):
                        self.tile_file(number).unlink(missing_ok=True)
        return todo, warnings

    def wait_for(self, numbers: Iterable[int]) -> None:
        """Wait until other processes have stored these tiles."""
        for number in numbers:
            while not self.tile_file(number).exists():
                time.sleep(0.2)

    def _checksum(self, number: int, content: bytes) -> str:
        return hashlib.sha256(f"{self.digest} {number} ".encode() + content).hexdigest()

    # --- results -------------------------------------------------------------------------

    def results_damage(self) -> list[str] | None:
        """What is wrong with results.zarr, a line per file; None when it is not there yet."""
        file, root = self.path / CHECKSUMS, self.path / RESULTS
        if not root.is_dir():
            return [f"{RESULTS}: missing; assembled again"] if file.exists() else None
        try:
            known = json.loads(file.read_bytes())
            if known["sweep"] != self.digest:
                raise ValueError("another sweep's")
            sums = dict(known["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return [f"{CHECKSUMS}: damaged or missing; results assembled again"]
        found = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
        lines = []
        for name in sorted({*sums, *found}):
            if name not in found:
                lines.append(f"{RESULTS}/{name}: missing; assembled again")
            elif name not in sums:
                lines.append(f"{RESULTS}/{name}: not part of the results; assembled again")
            elif _hash_file(found[name]) != sums[name]:
                lines.append(f"{RESULTS}/{name}: damaged (checksum); assembled again")
        return lines

    def publish(self, partial: Path) -> None:
        """Move finished results into their place, with their checksums."""
        with writing(self.path):
            files = {
                str(p.relative_to(partial)): _hash_file(p)
                for p in sorted(partial.rglob("*"))
                if p.is_file()
            }
            content = json.dumps({"sweep": self.digest, "files": files}, indent=1)
            write(self.path / CHECKSUMS, content.encode())
            shutil.rmtree(self.path / RESULTS, ignore_errors=True)
            os.rename(partial, self.path / RESULTS)
            sync(self.path)


def write(file: Path, content: bytes) -> None:
    """Write a file so that its name holds all of `content` or what it held before."""
    partial = file.with_name(file.name + ".partial")
    with open(partial, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)
    sync(file.parent)


def sync(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full or a folder that cannot be written is one clear line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise ProblemError(
            f"out = {str(folder)!r}: cannot write: {why}; free some space or make the folder "
            "writable, then go on with --resume"
        ) from error


def _hash_file(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
