"""The whole measurement: turns, agreement, scaling, first result; one JSON-ready dictionary."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

import c2mabv_jax
from c2mabv_jax import files
from c2mabv_jax.bench import peer_numba
from c2mabv_jax.bench.contestants import contestants
from c2mabv_jax.bench.scaling import over_horizon, over_seeds
from c2mabv_jax.bench.start import first_results
from c2mabv_jax.bench.targets import targets
from c2mabv_jax.bench.timing import check, take_turns

QUICK = {"turns": 3, "turn_s": 0.5}
FULL = {"turns": 5, "turn_s": 1.0}


def measure(full: bool, progress: bool = True) -> dict[str, Any]:
    """Run the benchmark.

    Args:
      full: every case and scaling (minutes), or the main ones (below two minutes).
      progress: show a progress bar on standard error.

    Raises:
      DisagreementError: a peer does not compute the same thing.
    """
    size = FULL if full else QUICK
    players = list(contestants(full))
    steps = len(players) * (1 + int(size["turns"])) + (3 if full else 2)
    with tqdm(total=steps, desc="bench", unit="turn", disable=not progress, leave=False) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        entries = take_turns(players, int(size["turns"]), size["turn_s"], step)
        agreement = check(entries)
        horizons, seeds = over_horizon(full, step), over_seeds(full, step)
        start = None
        if full:
            step("first result of c2mabv run")
            start = first_results()
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "mode": "full" if full else "quick",
        "entries": [entry.result() for entry in entries],
        "agreement": agreement,
        "horizons": horizons,
        "seeds": seeds,
        "start": start,
        "notes": [] if peer_numba.available() else ["numba is not installed: peer left out"],
    }
    return results | {"targets": targets(results)}


def machine() -> dict[str, Any]:
    """What it ran on; no host name."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(errors="replace"))
        name = found[1].strip() if found else name
    return {
        "processor": name,
        "cores": os.cpu_count() or 1,
        "system": platform.system(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
    }


def versions() -> dict[str, str]:
    """Versions of everything that is timed."""
    found = {"python": platform.python_version(), "c2mabv_jax": c2mabv_jax.__version__}
    for name in ("jax", "jaxlib", "numpy", "scipy", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def write(results: dict[str, Any], folder: Path) -> Path:
    """Write `<machine>.json`, whole or not at all.

    Raises:
      ProblemError: a file of that name is there that this command did not write.
    """
    name = file_name(results["machine"])
    content = json.dumps(results, indent=1, default=float) + "\n"
    files.add(folder, {name: content.encode()}, "bench", "--out")
    return folder / name


def file_name(about: dict[str, Any]) -> str:
    """The name of this machine's file."""
    name = f"{about['processor']} {about['cores']} cores"
    if about["backend"] != "cpu":
        name = f"{about['device']} {name}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"
