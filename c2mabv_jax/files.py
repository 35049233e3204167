"""Files that are written, and how a folder tells what was made here from what was not.

Every write goes beside its place first and is renamed into it (`write`), so a name holds all of
a file or what it held before; the temporary file is new by force (O_EXCL, O_NOFOLLOW), so no
link leads a write elsewhere.

Every folder that a command fills carries a marker, `c2mabv.json`: format, version, a random
token, and every file made there with its checksum. It is the only proof of ownership: what it
does not list, or what no longer has its checksum, is foreign and is never removed, truncated or
overwritten (`strays`, `changed`, `remove`). Temporary files bear the token in their names, so
that those of a killed command are known for what they are.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from c2mabv_jax import __version__
from c2mabv_jax.errors import ProblemError

MARKER = "c2mabv.json"
FORMAT = "c2mabv_jax folder 1"
LARGEST_MARKER = 1 << 28  # bytes
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_PART = re.compile(r"\.([0-9a-f]{32})\.[0-9a-f]{8}\.part")


class Damaged(Exception):
    """A file that does not hold what was written; the message says what is wrong."""


# --- single files --------------------------------------------------------------------------


def read(path: str | os.PathLike[str], most: int, field: str, fix: str) -> bytes:
    """A file that a user named: regular (no pipe, no device) and of at most `most` bytes.

    Raises:
      ProblemError: names `field` and the path, and ends with `fix`.
    """

    def refuse(why: object) -> ProblemError:
        return ProblemError(f"{field} = {os.fspath(path)!r}: {why}; {fix}")

    try:
        with opened(path) as stream:
            content = stream.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise refuse(getattr(error, "strerror", None) or error) from None
    if len(content) > most:
        raise refuse(f"larger than {most} bytes")
    return content


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open; anything else, which might never end, is refused.

    Raises:
      OSError: nothing there, or a folder, a pipe, a device.
    """
    _check_regular(os.stat(path))  # before it is opened: opening a device may do something
    handle = os.open(path, os.O_RDONLY | _NONBLOCK)
    try:
        _check_regular(os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise OSError(errno.EINVAL, kind)


def read_own(path: Path, most: int | None = None) -> bytes:
    """A file in a folder of ours, where only a regular file belongs.

    Raises:
      Damaged: something else is there, or more than `most` bytes.
      FileNotFoundError: nothing is there.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENOTDIR:  # a file where its folder belongs
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Damaged("replaced by something else") from None
        raise
    with contextlib.ExitStack() as held:
        held.callback(os.close, handle)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged("replaced by something else")
        if most is not None and status.st_size > most:
            raise Damaged("too large")
        with open(handle, "rb", closefd=False) as stream:
            return stream.read()


def write(path: Path, content: bytes, token: str = "", *, over: bool = False) -> None:
    """Write a file so that its name holds all of `content` or what it held before.

    Args:
      path: where; its folder is there.
      content: all of it.
      token: of the folder's marker, for the name of the temporary file.
      over: whether what has that name may give way; the caller has seen that it may.

    Raises:
      FileExistsError: something has that name and `over` was not given.
    """
    part = path.with_name(f".{token or new_token()}.{secrets.token_hex(4)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o666)
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if over:
            os.replace(part, path)
        else:
            _rename_new(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)
    sync(path.parent)


def _rename_new(part: Path, path: Path) -> None:
    """Give a file a name that is free."""
    try:
        os.link(part, path)  # unlike a rename, fails where something has the name
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(part, path)


def sync(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(content: bytes) -> str:
    """Checksum of a file's content."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str | None:
    """Checksum of a regular file; None for anything else, links included, or nothing at all."""
    try:
        handle = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            return None
        raise
    with contextlib.ExitStack() as held:
        held.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with open(handle, "rb", closefd=False) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


# --- the marker ----------------------------------------------------------------------------


class Marker(NamedTuple):
    """What was made in a folder.

    Attributes:
      kind: the command that made it.
      token: 32 hexadecimal digits, random.
      made: checksums that a file may have, by path from the folder (two while one replaces the
        other; none where the file carries its own). A path that ends in "/" is a folder that
        nobody looks into.
      about: what the command wants to remember.
    """

    kind: str
    token: str
    made: dict[str, list[str]]
    about: str = ""

    def folders(self) -> set[str]:
        """Every folder that holds something made."""
        return {str(p) for name in self.made for p in PurePosixPath(name).parents} - {"."}


def new_token() -> str:
    """A token that nobody else has."""
    return secrets.token_hex(16)


def read_marker(folder: Path) -> Marker | None:
    """The marker of a folder; None where there is none.

    Raises:
      Damaged: there is a file of that name that this tool did not write like this.
    """
    try:
        table = json.loads(read_own(folder / MARKER, LARGEST_MARKER))
        if table.pop("checksum") != checksum(table) or table["format"] != FORMAT:
            raise Damaged("checksum does not match")
        return Marker(table["kind"], table["token"], table["made"], table["about"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Damaged("not readable") from None


def checksum(table: dict[str, Any]) -> str:
    """Checksum of a table of plain JSON types."""
    return digest(json.dumps(table, sort_keys=True).encode())


def _beginning(token: str) -> bytes:
    return json.dumps({"format": FORMAT, "token": token})[:-1].encode()


def write_marker(folder: Path, marker: Marker, *, over: bool = False) -> None:
    """Store a marker; `over` where the folder has one already."""
    table: dict[str, Any] = {
        "format": FORMAT,
        "token": marker.token,
        "version": __version__,
        "kind": marker.kind,
        "about": marker.about,
        "made": marker.made,
    }
    text = json.dumps({**table, "checksum": checksum(table)}) + "\n"
    write(folder / MARKER, text.encode(), marker.token, over=over)


def is_part(name: str, token: str) -> bool:
    """Whether a file name is that of a temporary file of the marker with this token."""
    found = _PART.fullmatch(name)
    return found is not None and found[1] == token


def is_first_part(path: Path) -> bool:
    """Whether a file is a marker on its way into a folder that has none yet."""
    found = _PART.fullmatch(path.name)
    status = os.lstat(path)
    if found is None or not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_MARKER:
        return False
    start, content = _beginning(found[1]), path.read_bytes()
    return content.startswith(start) or start.startswith(content)


# --- ownership -----------------------------------------------------------------------------


def strays(folder: Path, marker: Marker | None) -> Iterator[str]:
    """Entries that the marker does not list, in order; foreign folders are not entered."""
    made = {} if marker is None else marker.made
    token = "" if marker is None else marker.token
    folders = set() if marker is None else marker.folders()

    def walk(path: str, prefix: str) -> Iterator[str]:
        with os.scandir(path) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            name = prefix + entry.name
            if name in folders:  # another kind of thing in its place is `changed`
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(entry.path, name + "/")
            elif not (name in made or name + "/" in made or is_part(entry.name, token)):
                yield name

    return (name for name in walk(os.fspath(folder), "") if marker is None or name != MARKER)


def changed(folder: Path, marker: Marker) -> Iterator[str]:
    """Listed names that hold something else now; what is gone is not among them."""
    for name in sorted(marker.folders()):
        if os.path.lexists(folder / name) and not is_folder(folder / name):
            yield name
    for name, sums in marker.made.items():
        if not os.path.lexists(folder / name) or name.endswith("/"):
            continue
        if not all(is_folder(folder / p) for p in PurePosixPath(name).parents if str(p) != "."):
            continue
        found = digest_of(folder / name)
        if found is None or (sums and found not in sums):
            yield name


def is_folder(path: Path) -> bool:
    """Whether something is a folder and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def remove(folder: Path, marker: Marker) -> bool:
    """Remove what the marker proves to be ours, and the folder; returns whether it is gone.

    A file goes where its checksum is listed, a folder where it is empty then.
    """
    for name, sums in marker.made.items():
        path = folder / name
        if all(is_folder(p) for p in (folder, *_between(folder, path))) and (
            digest_of(path) in sums
        ):
            os.unlink(path)
    remove_parts(folder, marker)
    for name in sorted(marker.folders(), reverse=True):
        if is_folder(folder / name):
            with contextlib.suppress(OSError):
                os.rmdir(folder / name)
    if os.listdir(folder) != [MARKER]:
        return False
    os.unlink(folder / MARKER)
    os.rmdir(folder)
    return True


def remove_parts(folder: Path, marker: Marker) -> None:
    """Remove the temporary files of commands that were killed."""
    for place in (folder, *(folder / name for name in marker.folders())):
        if is_folder(place):
            for name in os.listdir(place):
                if is_part(name, marker.token) and not os.path.isdir(place / name):
                    os.unlink(place / name)


def _between(folder: Path, path: Path) -> Iterable[Path]:
    return [parent for parent in path.parents if folder in parent.parents]


def add(folder: Path, content: Mapping[str, bytes], kind: str, field: str) -> None:
    """Write files into a folder, which is made if need be; what is not ours stays.

    Args:
      folder: where; the marker in it is kept up to date.
      content: of the files, by their path from the folder.
      kind: of the folder where it has no marker yet.
      field: names the folder in errors.

    Raises:
      ProblemError: something foreign has one of the names, or the disk says no.
    """
    marker = check_free(folder, content, field, kind)
    new = {name: [digest(value)] for name, value in content.items()}
    both = {name: sums + new.get(name, []) for name, sums in marker.made.items()}
    had = marker.made or os.path.lexists(folder / MARKER)
    with writing(folder, field):
        for name in {"", *marker._replace(made=new).folders()}:
            (folder / name).mkdir(parents=True, exist_ok=True)
        # First both checksums: a kill may come before or after each of the files.
        write_marker(folder, marker._replace(made={**new, **both}), over=bool(had))
        for name, value in content.items():
            write(folder / name, value, marker.token, over=name in marker.made)
        write_marker(folder, marker._replace(made={**marker.made, **new}), over=True)


def check_free(folder: Path, names: Iterable[str], field: str, kind: str = "") -> Marker:
    """The marker of a folder, or a new one, where these names are free or ours.

    Raises:
      ProblemError: names the first that is not.
    """

    def refuse(name: str, why: str) -> ProblemError:
        return ProblemError(
            f"{field} = {str(folder)!r}: {name!r} {why}; move it, or give another folder"
        )

    with writing(folder, field):
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise ProblemError(f"{field} = {str(folder)!r}: a file is there; give a folder")
        try:
            marker = read_marker(folder)
        except Damaged:
            raise refuse(MARKER, "is damaged or not of this tool") from None
        marker = marker or Marker(kind, new_token(), {})
        for name in names:
            path = folder / name
            for parent in _between(folder, path):
                if os.path.lexists(parent) and not is_folder(parent):
                    raise refuse(str(parent.relative_to(folder)), "is no folder")
            if os.path.lexists(path) and digest_of(path) not in marker.made.get(name, []):
                raise refuse(name, "is there and was not made, or was changed since")
    return marker


@contextlib.contextmanager
def writing(folder: Path, field: str, after: str = "") -> Iterator[None]:
    """What the disk refuses is one clear line, with a fix that fits."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            fix = "give a folder that can be written"
        else:
            fix = "see what is there, or give another folder"
        raise ProblemError(
            f"{field} = {str(folder)!r}: cannot write: {why}; {fix}{after}"
        ) from error
