"""Result folders: whole or not there at all, and never in the place of anything else.

A command reserves a hidden folder beside the final one before it works, so that a place that
cannot be written is known at once. At the end everything is written there and the folder is
renamed into its place: the one asked for, or the next number where a result has appeared there
meanwhile. A former result gives way only when asked (`--force`), and only if its marker proves
that nothing else lies in it (see `files`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError, printable

MARK = "summary.json"  # of a run
Publish = Callable[[Mapping[str, bytes]], Path]


class Place(NamedTuple):
    """Where a result is to go.

    Attributes:
      out: the folder as the user named it.
      former: token of the result that gives way; None where there is none.
    """

    out: Path
    former: str | None = None

    @property
    def real(self) -> Path:
        """The folder itself: where `out` is a link, what it leads to."""
        return Path(os.path.realpath(self.out))


def choose(out: Path | None, default: str, force: bool) -> Place:
    """The folder to write: the one asked for, or the first free of DEFAULT, DEFAULT-2, ...

    Raises:
      ProblemError: the folder asked for holds something and may not be replaced.
    """
    first = Path(default) if out is None else out
    clear_leftovers(first)
    if out is not None:
        return check(out, force)
    if force and os.path.lexists(first):
        return check(first, force)
    return Place(next(free for free in numbered(first) if not os.path.lexists(free)))


def numbered(first: Path) -> Iterator[Path]:
    """FOLDER, FOLDER-2, FOLDER-3, ..."""
    yield first
    for number in range(2, sys.maxsize):
        yield first.with_name(f"{first.name}-{number}")


def check(out: Path, force: bool) -> Place:
    """The place; raises unless it is free, empty, or a result that gives way whole."""

    def refuse(why: str, fix: str = "give another folder") -> ProblemError:
        return ProblemError(f"--out = {str(out)!r}: {why}; {fix}")

    place = Place(out)
    try:
        real = place.real
        if not os.path.lexists(real):
            return place
        if not os.path.isdir(real):
            raise refuse("a file of that name exists")
        if os.path.ismount(real):
            raise refuse("is a disk of its own", "give a folder in it")
        content = sorted(os.listdir(real))
        if not content:
            return place
        if not force:
            raise refuse("not empty", "give another folder, or --force")
        try:
            marker = files.read_marker(real)
        except files.Damaged:
            raise refuse(f"its {files.MARKER} is damaged or not of this tool") from None
        if marker is None:
            raise refuse(f"holds {content[0]!r}, and no {files.MARKER} that says who made it")
        if marker.kind == "sweep":
            raise refuse("holds a sweep")
        foreign = first_foreign(real, marker)
        if foreign is not None:
            raise refuse(
                f"holds {foreign!r}, which was not made, or was changed since",
                "move it, or give another folder",
            )
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        if isinstance(error, ProblemError):
            raise
        raise refuse(getattr(error, "strerror", None) or str(error)) from None
    return place._replace(former=marker.token)


def first_foreign(folder: Path, marker: files.Marker) -> str | None:
    """The first entry that the marker does not prove to be ours."""
    for find in (files.strays, files.changed):
        for name in find(folder, marker):
            return name
    return None


@contextlib.contextmanager
def reserved(place: Place, kind: str) -> Iterator[Publish]:
    """A place to write in, kept from now on; gives what publishes the result, once.

    `publish(content)` writes the files, by their path from the folder, moves them into place
    and returns the folder as the user would name it.

    Raises:
      ProblemError: the place cannot be written.
    """
    real = place.real
    made = []
    with files.writing(place.out, "--out"):
        for parent in [*reversed(real.parents)]:
            if not os.path.lexists(parent):
                parent.mkdir(exist_ok=True)
                made.append(parent)
        marker = files.Marker(kind, files.new_token(), {})
        stage = real.with_name(f".{real.name[:200]}.{marker.token}")
        stage.mkdir()
    hold = lock(stage)
    try:
        with files.writing(place.out, "--out"):
            files.write_marker(stage, marker)

        def publish(content: Mapping[str, bytes]) -> Path:
            nonlocal marker
            sums = {name: [files.digest(value)] for name, value in content.items()}
            marker = marker._replace(made=sums)
            with files.writing(place.out, "--out"):
                files.write_marker(stage, marker, over=True)
                for folder in sorted(marker.folders()):
                    (stage / folder).mkdir(exist_ok=True)
                for name, value in content.items():
                    files.write(stage / name, value, marker.token)
                return _into_place(stage, place)

        yield publish
    finally:
        if hold is not None:
            os.close(hold)
        with contextlib.suppress(OSError):
            if stage.is_dir():
                files.remove(stage, marker)
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()  # fails, as it should, where something is in it


def _into_place(stage: Path, place: Place) -> Path:
    real = place.real
    if place.former is not None and _gives_way(real, place.former):
        old = stage.with_name(stage.name + ".old")
        os.rename(real, old)
        try:
            os.rename(stage, real)
        except OSError:
            os.rename(old, real)
            raise
        files.sync(real.parent)
        marker = files.read_marker(old)
        if marker is None or not files.remove(old, marker):
            note(f"kept in {str(old)!r}: what was put into {str(place.out)!r} meanwhile")
        return place.out
    for free in numbered(real):
        try:
            if free == real or not os.path.lexists(free):  # an empty folder asked for is taken
                os.rename(stage, free)
                files.sync(free.parent)
                break
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    if free == real:
        return place.out
    note(f"a result has appeared in {str(place.out)!r} meanwhile; this one goes beside it")
    return free if os.path.islink(place.out) else place.out.with_name(free.name)


def _gives_way(folder: Path, token: str) -> bool:
    """Whether the former result that was seen at the start is still there, and nothing else."""
    try:
        marker = files.read_marker(folder)
    except files.Damaged:
        return False
    return marker is not None and marker.token == token and first_foreign(folder, marker) is None


def clear_leftovers(out: Path) -> None:
    """Remove hidden folders of commands of this name that were killed; say so.

    Only what its marker proves to be ours and what nobody holds; a former result that was
    moved away when its command was killed is put back.
    """
    try:
        real = Path(os.path.realpath(out))
        names = sorted(os.listdir(real.parent))
    except (OSError, ValueError):
        return  # whoever goes on will say why
    pattern = re.compile(re.escape(f".{real.name[:200]}.") + r"([0-9a-f]{32})(\.old)?")
    for name in names:
        found = pattern.fullmatch(name)
        folder = real.parent / name
        if found is None or not files.is_folder(folder):
            continue
        try:
            marker = files.read_marker(folder)
        except files.Damaged:
            marker = None
        if marker is None or not (found[2] or marker.token == found[1]):
            continue
        hold = lock(folder)
        if hold is None:
            continue
        try:
            foreign = first_foreign(folder, marker)
            if found[2] and not os.path.lexists(real):
                os.rename(folder, real)
                note(f"put back {str(real)!r}, which a killed command had moved away")
            elif foreign is not None:
                note(f"left alone: {str(folder)!r} of a killed command holds {foreign!r}")
            elif files.remove(folder, marker):
                note(f"removed {str(folder)!r}, left by a killed command")
        finally:
            os.close(hold)


def lock(folder: Path) -> int | None:
    """Hold a folder until the handle is closed or we die; None where somebody else does."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def note(line: str) -> None:
    """A line that is no part of the answer."""
    print(f"c2mabv: note: {printable(line)}", file=sys.stderr)
