"""Compiled programs kept between commands, so that only the first one waits for the compiler.

They lie under `$XDG_CACHE_HOME/c2mabv_jax` (or `~/.cache/c2mabv_jax`). The environment
variable C2MABV_CACHE moves them (a folder) or switches this off ("off"). A folder that cannot
be written is no error: the programs are then compiled again next time.
"""

from __future__ import annotations

import os
import platform
import zlib
from pathlib import Path

VARIABLE = "C2MABV_CACHE"
WORTH_KEEPING = 0.3  # seconds of compilation


def folder() -> Path | None:
    """Where compiled programs are kept; None when switched off.

    Programs are compiled for the very processor, so each kind has its folder: a home shared
    between machines stays safe.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off":
        return None
    if chosen:
        root = Path(chosen).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "c2mabv_jax"
    return root / f"{platform.machine() or 'any'}-{zlib.crc32(_processor()):08x}"


def enable() -> Path | None:
    """Tell JAX to keep compiled programs; returns the folder, or None without one."""
    try:
        place = folder()
        if place is None:
            return None
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a home folder that cannot be found
        return None
    if not os.access(place, os.W_OK):
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)
    return place


def _processor() -> bytes:
    """What this processor can do, as Linux lists it; elsewhere its name."""
    try:
        for line in Path("/proc/cpuinfo").read_bytes().splitlines():
            if line.startswith((b"flags", b"Features")):
                return line
    except OSError:
        pass
    return platform.processor().encode()
