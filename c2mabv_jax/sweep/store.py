"""The folder of a sweep: what is in it, how it is written, what is damaged.

    c2mabv.json       marker: what was made here (see `files`); nothing else is ever touched
    sweep.json        identity: the sweep file with its defaults filled in, checksums of the
                      logs it names, versions, backend, tile; what a resumed sweep must match
    lock              held (flock) while a sweep is running
    tiles/000000.npz  ... one file per finished tile (`tally`), with a checksum
    results.zarr      the answer, written when every tile is there; see `results`
    results.json      checksum of every file in results.zarr
    aside/            what lay in the place of one of these and is not what was written there

For whoever plots or reads: `xr.open_zarr(DIR / "results.zarr")`, or `results.load(DIR)`, which
verifies it, is all that is needed; dims, coordinates and variables are listed in `results`. It
is complete once it holds `results.zarr`.

A tile file is an ordinary `.npz` (no pickle) after a line with the checksum of identity, tile
number and contents: one of another sweep, another tile or with a bit changed is not taken for
the right one. What is damaged is moved aside and made again, never removed: it may be somebody
else's. A folder that holds anything that the marker does not list is refused as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.files import Damaged, Marker
from c2mabv_jax.results import stored
from c2mabv_jax.results.stored import CHECKSUMS, RESULTS
from c2mabv_jax.sweep.alive import Alive
from c2mabv_jax.sweep.spec import differences
from c2mabv_jax.sweep.tally import Arrays

FORMAT = 2
IDENTITY, LOCK, TILES, ASIDE = "sweep.json", "lock", "tiles", "aside"
_LARGEST_IDENTITY = 1 << 26  # bytes
_OPEN_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
_MAGIC = b"c2mabv sweep tile 1 sha256 "
_LOCK = re.compile(rb"(process \d+ on \S+\n)?")
# What zarr writes below the folder of results to come, whole or on the way.
_ZARR = re.compile(r"(\w+/)?(c/)?([\w/]*|zarr)\.[0-9a-f]{32}\.partial|(\w+/)?(zarr\.json|c(/\d+)*)")


class Left(Exception):
    """A tile came after its sweep had let go of the folder."""


class Folder:
    """A sweep's folder.

    Attributes:
      path: the folder.
      tiles: how many tiles the sweep has.
      digest: of the identity; part of every tile's checksum.
    """

    def __init__(self, path: Path, identity: dict[str, Any], tiles: int = 0) -> None:
        self.path = path
        self.identity = identity
        self.tiles = tiles
        text = json.dumps(identity, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self._storing = threading.Lock()
        self._left = False
        self._token = ""

    # --- opening -------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, resume: bool) -> Iterator[list[str]]:
        """Claim the folder, and keep every other sweep out; the kernel lets go when we die.

        Nothing of this sweep is stored after the end of the context, not even by a thread that
        an interrupt left at its tile: the next sweep may be in the folder by then.

        Yields:
          Warnings, one line each.

        Raises:
          ProblemError: the folder holds something else, or a sweep that is running; the message
            says what to do. Nothing in it was touched.
        """
        with writing(self.path):
            warnings = self._claim(resume)
            lock, more = self._lock()
        with lock:
            with writing(self.path):
                warnings += more + self._mend()
            try:
                yield warnings
            finally:
                with self._storing:
                    self._left = True

    def _claim(self, resume: bool) -> list[str]:
        """Look at everything, then write the marker where there is none.

        Raises:
          ProblemError: see `locked`.
        """
        place = f"out = {str(self.path)!r}"
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise ProblemError(f"{place}: a file is there; give a folder")
        entries = list(files.strays(self.path, None)) if os.path.isdir(self.path) else []
        entries = [name for name in entries if not files.is_first_part(self.path / name)]
        if not entries:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                files.write_marker(self.path, self._planned())
            except FileExistsError:
                raise ProblemError(f"{place}: a sweep has just begun there; wait for it") from None
            return []
        marker, there = self._marker(), self._identity_there()
        if there is None and (marker is None or marker.kind != "sweep"):
            raise ProblemError(
                f"{place}: not empty and no sweep (it holds {entries[0]!r}); give a new folder"
            )
        if not resume:
            raise ProblemError(
                f"{place}: holds a sweep already; add --resume to go on with it, or give another "
                "folder"
            )
        for key, old, new in differences(there, self.identity) if there else ():
            raise ProblemError(
                f"{key}: the sweep in {str(self.path)!r} has {_short(old)}, this one "
                f"{_short(new)}; make them equal, or give another folder"
            )
        if there is None and marker is not None and marker.about != self.digest:
            raise ProblemError(f"{place}: {IDENTITY} is lost, and it was not this sweep's")
        if marker is not None and marker.about != self.digest:
            marker = None  # that of another sweep, swapped
        for name in files.strays(self.path, marker or self._planned()):
            why = "no part of the sweep"
            if marker is None:
                why = f"not known as a part of the sweep, for {files.MARKER} is lost"
            raise ProblemError(
                f"{place}: {name!r} is {why}; nothing was touched: move it, then go on with "
                "--resume"
            )
        if marker is not None:
            return []
        warnings = []
        if os.path.lexists(self.path / files.MARKER):
            # Not listed yet, so it goes where the next marker will say that nobody looks.
            kept = f"{ASIDE}-{secrets.token_hex(8)}"
            os.mkdir(self.path / kept)
            os.rename(self.path / files.MARKER, self.path / kept / files.MARKER)
            planned = self._planned()
            planned.made[kept + "/"] = []
            warnings.append(f"{files.MARKER}: damaged; kept in {kept}; written again")
        else:
            planned = self._planned()
            warnings.append(f"{files.MARKER}: missing; written again")
        files.write_marker(self.path, planned)
        return warnings

    def _planned(self) -> Marker:
        """The marker of a sweep that begins, or whose marker is lost."""
        names = [IDENTITY, LOCK, CHECKSUMS, RESULTS + "/zarr.json"]
        names += [self.tile_name(number) for number in range(self.tiles)]
        with contextlib.suppress(Damaged):
            names += [f"{RESULTS}/{name}" for name in stored.read_sums(self.path, self.digest)]
        return Marker("sweep", files.new_token(), {name: [] for name in names}, self.digest)

    def _marker(self) -> Marker | None:
        with contextlib.suppress(Damaged):
            return files.read_marker(self.path)
        return None

    def _identity_there(self) -> dict[str, Any] | None:
        """The identity of the sweep in the folder; None where there is none that is readable."""
        try:
            table = json.loads(files.read_own(self.path / IDENTITY, _LARGEST_IDENTITY))
            ours = str(table["package"]).startswith("c2mabv_jax ") and "spec" in table
        except (OSError, ValueError, KeyError, TypeError, Damaged, RecursionError):
            return None
        return table if ours else None

    def _lock(self) -> tuple[Any, list[str]]:
        """Hold `lock`; a lock file that no sweep wrote is moved aside."""
        import fcntl

        file, warnings = self.path / LOCK, []
        while True:
            try:
                handle = os.open(
                    file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
                )
            except OSError:
                if not os.path.lexists(file) or files.digest_of(file) is not None:
                    raise
                warnings.append(self.aside(LOCK, "replaced by something else"))
                continue
            lock = open(handle, "r+b", buffering=0)  # noqa: SIM115
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                who = " ".join(lock.read(200).decode("utf-8", "replace").split())
                lock.close()
                raise ProblemError(
                    f"out = {str(self.path)!r}: a sweep is running there ({who or 'no name'}); "
                    "wait for it, or give another folder"
                ) from None
            if not _is_file(file, handle):
                lock.close()  # another sweep has moved it aside
            elif files.digest_of(file) is None or not _LOCK.fullmatch(lock.read(1000)):
                warnings.append(self.aside(LOCK, "not written by a sweep"))
                lock.close()
            else:
                lock.truncate(0)
                lock.seek(0)
                lock.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return lock, warnings

    def _mend(self) -> list[str]:
        """Put right what is not a tile or a result; the folder is locked."""
        marker = files.read_marker(self.path)
        assert marker is not None
        warnings = []
        if self._identity_there() is None:
            if os.path.lexists(self.path / IDENTITY):
                warnings.append(self.aside(IDENTITY, "damaged") + "; written again")
            elif len(os.listdir(self.path)) > 2:  # more than marker and lock: not a beginning
                warnings.append(f"{IDENTITY}: missing; written again from the sweep file")
            content = (json.dumps(self.identity, indent=1) + "\n").encode()
            files.write(self.path / IDENTITY, content, marker.token)
        for name, what in ((TILES, "no folder"), (RESULTS, "no folder")):
            if os.path.lexists(self.path / name) and not files.is_folder(self.path / name):
                warnings.append(self.aside(name, what))
        (self.path / TILES).mkdir(exist_ok=True)
        files.remove_parts(self.path, marker)
        for name in os.listdir(self.path):
            place = self.path / name
            if files.is_part(name, marker.token) and files.is_folder(place):
                if not _clear(place):
                    warnings.append(f"{name}: results on the way; kept, for it holds other things")
            elif files.is_first_part(place):
                os.unlink(place)
        return warnings

    def aside(self, name: str, why: str) -> str:
        """Move what lies in the place of a file of ours aside; returns the line that says so."""
        marker = files.read_marker(self.path)
        assert marker is not None
        if ASIDE + "/" not in marker.made:
            marker.made[ASIDE + "/"] = []
            files.write_marker(self.path, marker, over=True)
        (self.path / ASIDE).mkdir(exist_ok=True)
        flat = name.replace("/", "_")
        number, target = 1, self.path / ASIDE / flat
        while os.path.lexists(target):
            number += 1
            target = self.path / ASIDE / f"{flat}-{number}"
        os.rename(self.path / name, target)
        return f"{name}: {why}; kept as {target.relative_to(self.path)}"

    # --- tiles ---------------------------------------------------------------------------

    @staticmethod
    def tile_name(number: int) -> str:
        """Where tile `number` is stored, from the folder."""
        return f"{TILES}/{number:06d}.npz"

    def tile_file(self, number: int) -> Path:
        """Where tile `number` is stored."""
        return self.path / self.tile_name(number)

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
            if not self._token and (marker := self._marker()) is not None:
                self._token = marker.token
            files.write(self.tile_file(number), header + content, self._token)

    def read_tile(self, number: int) -> Arrays:
        """A stored tile, its checksum verified.

        Raises:
          Damaged: it is not what was written.
          FileNotFoundError: there is none.
        """
        header, _, content = files.read_own(self.tile_file(number)).partition(b"\n")
        if not header.startswith(_MAGIC):
            raise Damaged("no tile file")
        if header != _MAGIC + self._checksum(number, content).encode():
            raise Damaged("checksum does not match")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored_tile:
            return {name: stored_tile[name] for name in stored_tile.files}

    def missing_tiles(self, mend: bool = False) -> tuple[list[int], list[str]]:
        """Tiles to compute, and a line for each that is damaged, moved aside with `mend`."""
        todo, warnings = [], []
        for number in range(self.tiles):
            try:
                self.read_tile(number)
            except FileNotFoundError:
                todo.append(number)
            except Damaged as error:
                todo.append(number)
                line = f"{self.tile_name(number)}: damaged ({error})"
                if mend:
                    with writing(self.path):
                        line = self.aside(self.tile_name(number), f"damaged ({error})")
                warnings.append(f"{line}; computed again")
        return todo, warnings

    def alive(self, process: int, processes: int) -> Alive:
        """Signs of life in the folder, to be entered; it is claimed."""
        marker = files.read_marker(self.path)
        assert marker is not None
        return Alive(self.path, marker.token, process, processes)

    def wait_for(self, numbers: Iterable[int], check: Callable[[], None]) -> None:
        """Wait until other processes have stored these tiles; see `engine.runner.each_done`."""
        for number in numbers:
            while not self.tile_file(number).exists():
                check()
                time.sleep(0.2)

    def _checksum(self, number: int, content: bytes) -> str:
        return hashlib.sha256(f"{self.digest} {number} ".encode() + content).hexdigest()

    # --- results -------------------------------------------------------------------------

    def results_damage(self) -> list[str] | None:
        """What is wrong with results.zarr, a line per file; None when it is not there yet."""
        there = os.path.lexists(self.path / RESULTS)
        if not there and not os.path.lexists(self.path / CHECKSUMS):
            return None
        if not there:
            return [f"{RESULTS}: missing; assembled again"]
        try:
            sums = stored.read_sums(self.path, self.digest)
        except Damaged as error:
            return [f"{CHECKSUMS}: {error}; results assembled again"]
        found = stored.damage(self.path / RESULTS, sums)
        return [f"{RESULTS}/{name}: {what}; assembled again" for name, what in found]

    def stage(self) -> Path:
        """A name for results on the way."""
        marker = files.read_marker(self.path)
        assert marker is not None
        return self.path / f".{marker.token}.{secrets.token_hex(4)}.part"

    def publish(self, partial: Path) -> list[str]:
        """Move finished results into their place, with their checksums.

        Returns:
          A line for everything that lay there and was not ours.
        """
        with writing(self.path):
            sums = {name: files.digest_of(partial / name) for name, _ in stored.entries(partial)}
            lines = self._remove_results()
            marker = files.read_marker(self.path)
            assert marker is not None
            made = {n: s for n, s in marker.made.items() if not n.startswith(RESULTS + "/")}
            made |= {f"{RESULTS}/{name}": [str(value)] for name, value in sums.items()}
            files.write_marker(self.path, marker._replace(made=made), over=True)
            content = stored.sums_text(self.digest, sums)
            files.write(self.path / CHECKSUMS, content, marker.token)
            os.rename(partial, self.path / RESULTS)
            files.sync(self.path)
        return lines

    def _remove_results(self) -> list[str]:
        """Remove former results as far as they are what was written; the rest moves aside."""
        lines, root, sums = [], self.path / RESULTS, {}
        try:
            sums = stored.read_sums(self.path, self.digest)
            os.unlink(self.path / CHECKSUMS)
        except Damaged:
            if os.path.lexists(self.path / CHECKSUMS):
                lines.append(self.aside(CHECKSUMS, "damaged"))
        if files.is_folder(root):
            marker = files.read_marker(self.path)
            assert marker is not None
            for name, _ in list(stored.entries(root)):
                known = [*marker.made.get(f"{RESULTS}/{name}", []), sums.get(name)]
                if (found := files.digest_of(root / name)) is not None and found in known:
                    os.unlink(root / name)
                else:
                    lines.append(self.aside(f"{RESULTS}/{name}", "not what was written"))
            for below, _, _ in os.walk(root, topdown=False):
                os.rmdir(below)
        elif os.path.lexists(root):
            lines.append(self.aside(RESULTS, "no folder"))
        return lines


def writing(folder: Path) -> contextlib.AbstractContextManager[None]:
    """A disk that is full or a folder that cannot be written is one clear line."""
    return files.writing(folder, "out", ", then go on with --resume")


def _is_file(path: Path, handle: int) -> bool:
    """Whether an open file is the one that still has this name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _clear(folder: Path) -> bool:
    """Remove results on the way of a sweep that was killed; False where other things are left."""
    for name, regular in list(stored.entries(folder)):
        if regular and _ZARR.fullmatch(name):
            os.unlink(folder / name)
    with contextlib.suppress(OSError):
        for below, _, _ in os.walk(folder, topdown=False):
            os.rmdir(below)
    return not os.path.lexists(folder)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
