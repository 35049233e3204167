"""A policy of a user's own, named by where it stands: `file.py:Class` or `module:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies.base import Policy, check_policy


def is_own(name: str) -> bool:
    """Whether a policy is named by where it stands, and not by the catalogue."""
    return ":" in name


def own_policy(name: str) -> Policy:
    """The policy at `file.py:Class` or `module:Class`, with the defaults of its fields.

    The file is run, as Python runs any module: name only what you trust.

    Raises:
      ProblemError: nothing there, it does not run, no such class, a field without a default,
        or no `Policy`.
    """
    place, _, kind = name.rpartition(":")
    said = f"policy = {name!r}"
    try:
        module = _of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the user's code raises
        raise ProblemError(
            f"{said}: {place} cannot be read ({type(error).__name__}: {error}); give "
            "file.py:Class or module:Class"
        ) from error
    if not hasattr(module, kind):
        raise ProblemError(f"{said}: {place} has no {kind!r}; give file.py:Class")
    try:
        policy = getattr(module, kind)()
    except TypeError as error:
        raise ProblemError(f"{said}: {error}; give every field a default") from error
    check_policy(policy)
    return policy


def _of_file(path: Path) -> ModuleType:
    name = f"own_policy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # of every name that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the types of their fields
    spec.loader.exec_module(module)
    return module
