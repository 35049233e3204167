"""`python -m experiments.memory_million [--seconds 60]`: resident memory of a million runs.

A million seeds of C2MAB-V on nine LLMs: T = 1e4 and T = 1e5 for a limited time (the whole
takes hours on two cores), and T = 30 to the end, with statistics over all seeds.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from c2mabv_jax.sweep import load

SPEC = """\
num_seeds = 1_000_000
record_at = {records}

[problem]
num_selected = 4
reward_model = "SUC"
horizon = {horizon}
budget_fraction = 0.3

[[environment]]
kind = "scenario"

[[policy]]
name = "c2mabv"
"""
COMMAND = [sys.executable, "-c", "from c2mabv_jax.cli import main; main()", "sweep"]


def peak(process: subprocess.Popen) -> float:
    """Largest resident memory so far, GiB (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 2**20 if found else 0.0


def watch(folder: Path, horizon: int, records: int, seconds: float) -> str:
    """Run one sweep for at most so long; what it used, in one line."""
    folder.mkdir()
    (folder / "spec.toml").write_text(SPEC.format(horizon=horizon, records=records))
    out = folder / "out"
    command = [*COMMAND, str(folder / "spec.toml"), "--out", str(out)]
    begin, used = time.monotonic(), 0.0
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        used = max(used, peak(process))
        if time.monotonic() - begin > seconds:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.2)
    said = process.communicate()[1].strip().splitlines()[-1]
    line = f"T = {horizon:.0e}, {records} records: peak {used:.2f} GiB resident; {said}"
    if (out / "results.zarr").exists():
        results = load(out)
        mean = float(results["reward_mean"].isel(point=0, round=-1))
        line += f"; mean reward {mean:.6f} a round, optimum {float(results['optimum'][0]):.6f}"
    return line


def main() -> int:
    """Print one line per sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for horizon, records, seconds in (
            (10_000, 60, options.seconds),
            (100_000, 60, options.seconds),
            (30, 30, 1e9),
        ):
            print(watch(Path(temporary) / str(horizon), horizon, records, seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
