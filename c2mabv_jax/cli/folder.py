"""Result folders: whole or not there at all.

Files are written into a hidden folder beside the final one, which is renamed when everything
is in place. A former result gives way only when asked (`--force`), and nothing but a former
result is ever replaced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import c2mabv_jax

MARK = "summary.json"  # of a run
MARKS = frozenset({MARK, "advice.md", "report.json"})  # every result folder holds one of these


def choose(out: Path | None, default: str, force: bool) -> Path:
    """The folder to write: the one asked for, or the first free of DEFAULT, DEFAULT-2, ...

    Raises:
      ProblemError: the folder asked for holds something and may not be replaced.
    """
    if out is None:
        first = Path(default)
        if force or not os.path.lexists(first):
            return check(first, force)
        number = 2
        while os.path.lexists(free := first.with_name(f"{first.name}-{number}")):
            number += 1
        return free
    return check(out, force)


def check(out: Path, force: bool) -> Path:
    """The folder itself; raises unless it is free, empty, or a result to be replaced."""
    if not os.path.lexists(out):
        return out
    if not out.is_dir():
        raise c2mabv_jax.ProblemError(
            f"--out = '{out}': a file of that name exists; give another folder"
        )
    try:
        content = os.listdir(out)
    except OSError as error:
        raise c2mabv_jax.ProblemError(
            f"--out = '{out}': {error.strerror}; give another folder"
        ) from None
    if content and not force:
        raise c2mabv_jax.ProblemError(
            f"--out = '{out}': not empty; give another folder, or --force"
        )
    if content and MARKS.isdisjoint(content):
        raise c2mabv_jax.ProblemError(
            f"--out = '{out}': holds other things than results; give another folder"
        )
    return out


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `out` at the end; gone if anything fails.

    Raises:
      ProblemError: the place cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise c2mabv_jax.ProblemError(
            f"--out = '{out}': {error.strerror}; give a folder that can be written"
        ) from None
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())
        _replace(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _replace(stage: Path, out: Path) -> None:
    if not os.path.lexists(out):
        os.rename(stage, out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
    os.rename(out, old / "old")
    try:
        os.rename(stage, out)
    except OSError:
        os.rename(old / "old", out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
