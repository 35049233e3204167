"""How long a user waits for the first result: `c2mabv run` in a fresh process, twice."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS, HORIZON = 100, 1000


def first_results() -> dict[str, float]:
    """Seconds of `c2mabv run` with an empty compilation cache, and again with a full one."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "C2MABV_CACHE": str(Path(folder, "cache"))}
        return {kind: _run(environment, Path(folder, kind)) for kind in ("cold_s", "cached_s")}


def _run(environment: dict[str, str], out: Path) -> float:
    command = [
        sys.executable, "-c", "from c2mabv_jax.cli import main; main()", "run",
        "--seeds", str(SEEDS), "--horizon", str(HORIZON), "--out", str(out),
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start
