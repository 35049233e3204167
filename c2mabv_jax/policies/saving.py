"""States of policies on disk: one `.npz` file, written atomically, read without pickle.

A state is a small pytree of arrays. Every leaf is one entry of the file, named by its path
(`estimates.reward.high`), so any NumPy can read it. Loading compares the file with a state of
the same policy, most simply `policy.init(problem)`, and trusts nothing in the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError

_FORMAT = "c2mabv_jax state 1"
_FORMAT_NAME, _KIND_NAME, _ABOUT_NAME = "__format__", "__kind__", "__about__"
_MOST_ABOUT = 1 << 28  # bytes
_HEADER_BYTES = 1024  # an entry is its array and a short header
_NO_STATE = "no policy reaches such a state: load one saved before"
_DAMAGED = (OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError,
            zipfile.BadZipFile, zlib.error)  # fmt: skip


def save_state(path: str | os.PathLike, state: Any, about: str = "") -> None:
    """Write a state to one file; the file is the old one or the new one, never half of it.

    Args:
      path: where; used as it is, so give it the ending `.npz`.
      state: state of any policy, single `[K]` or batched `[K, ...]`.
      about: a text that goes with it; `read_about` gives it back.

    Raises:
      ProblemError: a leaf that is no plain array, a folder that cannot be written, or a file
        of that name that is no saved state.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    entries = {_leaf_name(where): _plain_array(_leaf_name(where), leaf) for where, leaf in leaves}
    entries |= {_FORMAT_NAME: np.array(_FORMAT), _KIND_NAME: np.array(type(state).__name__)}
    if about:
        entries[_ABOUT_NAME] = np.frombuffer(about.encode(), np.uint8)
    target, content = Path(path), io.BytesIO()
    np.savez(content, **entries)  # type: ignore[arg-type]
    try:
        if os.path.lexists(target) and not target.is_dir() and not _may_give_way(target):
            raise ProblemError(
                f"path = {str(path)!r}: no saved state is there but something else; "
                "give another name"
            )
        files.write(target, content.getvalue(), over=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        if isinstance(error, ProblemError):
            raise
        raise ProblemError(
            f"path = {str(path)!r}: cannot be written "
            f"({getattr(error, 'strerror', None) or error}); give a file in a folder that can"
        ) from None


def load_state(path: str | os.PathLike, like: Any) -> Any:
    """Read a state that `save_state` wrote, bit for bit.

    Args:
      path: the file.
      like: a state of the same policy and problem, such as `policy.init(problem)` (or its
        shapes, from `jax.eval_shape`); gives structure, shapes and types, not values.

    Returns:
      A state with the structure of `like`.

    Raises:
      ProblemError: no such file, a damaged one, the state of another policy or problem, or
        numbers that no policy reaches: NaN, infinities, negative counts.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    expected = {_leaf_name(where): leaf for where, leaf in leaves}
    with _opened(path) as (file, sizes):
        _check_kind(path, file, sizes, like, set(expected))
        arrays = [_read(path, file, sizes, name, leaf) for name, leaf in expected.items()]
    return jax.tree_util.tree_unflatten(structure, arrays)


def read_about(path: str | os.PathLike) -> str:
    """The text that was saved with a state; "" where none was.

    Raises:
      ProblemError: no such file, or a damaged one.
    """
    with _opened(path) as (file, sizes):
        _check_format(file, sizes)
        if sizes.get(_ABOUT_NAME, 0) > _MOST_ABOUT:
            raise ValueError(f"its entry {_ABOUT_NAME!r} is too large")
        if _ABOUT_NAME not in sizes:
            return ""
        return np.asarray(file[_ABOUT_NAME], np.uint8).tobytes().decode()


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[Any, dict[str, int]]]:
    """The entries of a file and their sizes; whatever is wrong inside is one clear line."""
    try:
        with files.opened(path) as stream:
            # Only a zip archive: given anything else NumPy would try its other formats.
            with zipfile.ZipFile(stream) as archive:
                sizes = {
                    info.filename.removesuffix(".npy"): info.file_size for info in archive.filelist
                }
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                yield file, sizes
    except ProblemError:
        raise
    except FileNotFoundError:
        raise ProblemError(f"path = {str(path)!r}: no such file; give a saved state") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            f"path = {str(path)!r}: not a readable state ({reason}); save the state again"
        ) from None


def _may_give_way(target: Path) -> bool:
    """Whether a file is a state, or empty."""
    try:
        content = files.read_own(target)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return str(file[_FORMAT_NAME]) == _FORMAT
    except files.Damaged:
        return False
    except EOFError:
        return True  # NumPy's word for a file without a byte
    except _DAMAGED:
        return False


def _leaf_name(where: tuple) -> str:
    return jax.tree_util.keystr(where).lstrip(".") or "value"


def _plain_array(name: str, leaf: Any) -> np.ndarray:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    scalar = isinstance(leaf, bool | int | float)  # as wide as JAX would make it
    array = None if is_key else np.asarray(leaf, jnp.result_type(leaf) if scalar else None)
    if array is None or array.dtype.kind not in "biufc":
        kind = leaf.dtype if is_key else array.dtype  # type: ignore[union-attr]
        raise ProblemError(f"state: {name} ({kind}) cannot be saved; keep plain numbers in a state")
    return array


def _check_format(file: Any, sizes: dict[str, int]) -> None:
    for name in (_FORMAT_NAME, _KIND_NAME):
        if sizes.get(name, _HEADER_BYTES) >= _HEADER_BYTES:
            raise ValueError(f"it has no entry {name!r}")
    if str(file[_FORMAT_NAME]) != _FORMAT:
        raise ValueError(f"it is not a {_FORMAT!r} file")


def _check_kind(path: Any, file: Any, sizes: dict[str, int], like: Any, expected: set[str]) -> None:
    _check_format(file, sizes)
    kind, wanted = str(file[_KIND_NAME]), type(like).__name__
    if not kind.isidentifier():
        raise ValueError(f"its entry {_KIND_NAME!r} is no name")
    found = set(sizes) - {_FORMAT_NAME, _KIND_NAME, _ABOUT_NAME}
    if kind != wanted or found != expected:
        odd = sorted(found ^ expected)
        raise ProblemError(
            f"path = {str(path)!r}: holds a {kind}, not this {wanted}"
            + (f" (they differ in {', '.join(odd[:3])})" if odd else "")
            + "; load it with the policy and problem that saved it"
        )


def _read(path: Any, file: Any, sizes: dict[str, int], name: str, leaf: Any) -> jax.Array:
    shape, dtype = jnp.shape(leaf), np.dtype(jnp.result_type(leaf))
    # The size is known before a byte is unpacked: no file can make this use much memory.
    if sizes[name] > _HEADER_BYTES + dtype.itemsize * int(np.prod(shape)):
        raise ProblemError(_misfit(path, name, f"{sizes[name]} bytes", shape, dtype))
    array = file[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"its entry {name!r} is no array")
    if array.shape != shape or array.dtype != dtype:
        raise ProblemError(_misfit(path, name, f"{array.dtype}{list(array.shape)}", shape, dtype))
    if not np.isfinite(array).all():
        raise ProblemError(f"path = {str(path)!r}: {name} holds NaN or an infinity; {_NO_STATE}")
    counted = dtype.kind == "i" or name.rpartition(".")[2].endswith("count")
    if counted and (array < 0).any():
        raise ProblemError(f"path = {str(path)!r}: {name} counts below 0; {_NO_STATE}")
    return jnp.asarray(array)


def _misfit(path: Any, name: str, found: str, shape: tuple, dtype: np.dtype) -> str:
    return (
        f"path = {str(path)!r}: {name} is {found}, but this policy and problem keep "
        f"{dtype}{list(shape)}; load it with the num_arms, batch and float type that saved it"
    )
