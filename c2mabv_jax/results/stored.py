"""Stored results of a run or a sweep, read back only where every byte is what was written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import xarray as xr

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError

RESULTS, CHECKSUMS = "results.zarr", "results.json"


def load(folder: str | os.PathLike[str]) -> xr.Dataset:
    """The results of `c2mabv run` or of a finished sweep, verified now, read when used.

    Every file of `results.zarr` is compared with its checksum, so all of it is read once.

    Raises:
      ProblemError: no results there, or damaged ones: a file that is missing, changed or of
        another run. Names the array and how to mend it.
    """
    root, mend = Path(folder), verify(folder)
    try:
        return xr.open_zarr(root / RESULTS)
    except Exception as error:  # zarr raises many kinds; the checksums say it is what we wrote
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise ProblemError(f"{str(root)!r}: {RESULTS} cannot be read ({why}); {mend}") from None


def verify(folder: str | os.PathLike[str]) -> str:
    """Raise unless every byte of `results.zarr` is what was written; see `load`.

    Returns:
      How damage would be mended.
    """
    root = Path(folder)
    sums, mend = _sums(root)
    for name, what in damage(root / RESULTS, sums):
        array, _, rest = name.partition("/")
        piece = f"array {array!r}, {rest!r}" if rest else repr(name)
        raise ProblemError(f"{str(root)!r}: {RESULTS}: {piece}: {what}; {mend}")
    return mend


def _sums(root: Path) -> tuple[dict[str, str], str]:
    """Checksums of the files of results.zarr, and how damage is mended."""

    def refuse(why: str, fix: str) -> ProblemError:
        return ProblemError(f"{str(root)!r}: {why}; {fix}")

    if not root.is_dir():
        raise refuse("no such folder", "give the folder of a run or a finished sweep")
    try:
        marker = files.read_marker(root)
        broken = False
    except files.Damaged:
        marker, broken = None, True
    swept = os.path.lexists(root / CHECKSUMS) or os.path.lexists(root / "sweep.json")
    if swept or (marker is not None and marker.kind == "sweep"):
        mend = "go on with the sweep with --resume, which mends it"
        if marker is None:
            raise refuse(f"{files.MARKER}: {'damaged' if broken else 'missing'}", mend)
        if not os.path.lexists(root / RESULTS):
            raise refuse("no finished sweep there", "run or resume it first")
        try:
            sums = read_sums(root, marker.about)
        except files.Damaged as error:
            raise refuse(f"{CHECKSUMS}: {error}", mend) from None
        return sums, mend
    if not os.path.lexists(root / RESULTS) and (marker is None or marker.kind != "run"):
        raise refuse(f"no {RESULTS} in it", "give the folder of a run or a finished sweep")
    mend = "run it again into another folder"
    if marker is None:
        why = "damaged" if broken else "missing"
        raise refuse(f"{files.MARKER}: {why}, so {RESULTS} cannot be verified", mend)
    under = RESULTS + "/"
    made = {n.removeprefix(under): s for n, s in marker.made.items() if n.startswith(under)}
    return {name: sums[0] for name, sums in made.items()}, mend


def read_sums(root: Path, sweep: str) -> dict[str, str]:
    """Checksums of a sweep's `results.zarr`, from its `results.json`.

    Args:
      root: the sweep's folder.
      sweep: digest that it must belong to.

    Raises:
      Damaged: missing, not readable, or of another sweep.
    """
    if not os.path.lexists(root / CHECKSUMS):
        raise files.Damaged("missing")
    try:
        content = files.read(root / CHECKSUMS, files.LARGEST_MARKER, CHECKSUMS, "see what it is")
        table = json.loads(content)
        checksum = table.pop("checksum")
        sums = {str(name): str(value) for name, value in table["files"].items()}
        of = table["sweep"]
        if checksum != files.checksum(table):
            raise files.Damaged("damaged")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise files.Damaged("damaged") from None
    if of != sweep:
        raise files.Damaged("damaged, or of another sweep")
    return sums


def sums_text(sweep: str, sums: Mapping[str, str | None]) -> bytes:
    """The content of `results.json`; see `read_sums`."""
    table = {"sweep": sweep, "files": sums}
    return json.dumps({**table, "checksum": files.checksum(table)}, indent=1).encode()


def damage(store: Path, sums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Files of a store that are not what was written, and what is wrong with them, in order.

    Args:
      store: the folder `results.zarr`.
      sums: checksum of every file in it, by path.
    """
    if not files.is_folder(store):
        yield "", "missing" if not os.path.lexists(store) else "no folder any more"
        return
    there = dict(entries(store))
    for name in sorted({*sums, *there}):
        if name not in there:
            above = [str(parent) for parent in PurePosixPath(name).parents]
            gone = not any(parent in there for parent in above)
            yield name, "missing" if gone else "its folder is replaced by something else"
        elif name not in sums:
            inside = any(listed.startswith(name + "/") for listed in sums)
            yield name, "replaced by something else" if inside else "not part of the results"
        elif files.digest_of(store / name) != sums[name]:
            yield name, "damaged (checksum)" if there[name] else "replaced by something else"


def entries(folder: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Everything below a folder but folders themselves: (path, whether a regular file).

    Links are not followed.
    """
    with os.scandir(folder) as scanned:
        for entry in scanned:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from entries(folder / entry.name, name + "/")
            else:
                yield name, entry.is_file(follow_symlinks=False)
