"""`python -m experiments.kill_campaign [--out DIR] [--kills 30]`: a sweep killed again and again.

One sweep is killed with SIGKILL at random moments (while starting, while running tiles, while
assembling the results) and resumed every time; the results must have the bytes of a sweep that
nobody touched, and no finished tile may run again.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """\
title = "killed and resumed"
num_seeds = 500
record_at = 30

[problem]
num_selected = 4
reward_model = "SUC"
horizon = [2000, 4000]
budget_fraction = [0.2, 0.3, 0.4]

[[environment]]
kind = "scenario"

[[policy]]
name = "c2mabv"
alphas = [[0.3, 0.05], [1, 0.05], [0.3, 0.01], [1, 0.01]]
"""
COMMAND = [sys.executable, "-c", "from c2mabv_jax.cli import main; main()", "sweep"]


def start(spec: Path, out: Path) -> subprocess.Popen:
    """The sweep, begun or resumed, in a process of its own."""
    command = [*COMMAND, str(spec), "--out", str(out), "--tile", "256", "--resume"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def stored(out: Path) -> int:
    """Finished tiles in the folder."""
    return len(list((out / "tiles").glob("*.npz")))


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the results."""
    root = out / "results.zarr"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def wait(process: subprocess.Popen, ready) -> bool:
    """Wait until `ready()`; False when the process ended before."""
    while not ready():
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def campaign(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Run it; returns the figures."""
    spec, out, whole = folder / "spec.toml", folder / "killed", folder / "whole"
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(SPEC)
    undisturbed = start(spec, whole)
    said = undisturbed.communicate()[1]
    assert undisturbed.returncode == 0, said
    tiles = stored(whole)

    dice = random.Random(seed)
    starting, assembling = kills // 6, kills // 6
    running = kills - starting - assembling
    marks = sorted(dice.randrange(1, tiles) for _ in range(running))
    moments: list[tuple[str, int]] = [("running", mark) for mark in marks]
    for _ in range(starting):
        moments.insert(dice.randrange(len(moments)), ("starting", 0))
    moments += [("assembling", 0)] * assembling

    killed = {"starting": 0, "running": 0, "assembling": 0}
    rerun = recomputed = 0
    for phase, mark in moments:
        before = stored(out) if out.exists() else 0
        process = start(spec, out)
        partial = out / "results.zarr.partial"
        if phase == "running":
            wait(process, lambda mark=mark: stored(out) >= mark)
            time.sleep(dice.uniform(0, 0.5))
        elif phase == "starting":
            time.sleep(dice.uniform(0, 3))
        else:
            wait(process, partial.exists)
            time.sleep(dice.uniform(0, 0.3))
        process.kill()
        said = process.communicate()[1]
        killed[phase] += process.returncode < 0
        line = re.search(r"(\d+) of \d+ tiles to run", said)
        if line:
            recomputed += int(line[1]) != tiles - before
        rerun += "damaged" in said
        print(f"  killed while {phase}: {stored(out)} of {tiles} tiles stored", flush=True)
    process = start(spec, out)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return {
        "kills": sum(killed.values()),
        "of them while": killed,
        "tiles": tiles,
        "cores": os.cpu_count(),
        "resumes that ran a finished tile again": recomputed,
        "resumes that found damage": rerun,
        "same bytes as undisturbed": contents(out) == contents(whole),
    }


def main() -> int:
    """Print the figures; exit 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = campaign(options.out or Path(temporary), options.kills, options.seed)
    for name, value in figures.items():
        print(f"{name}: {value}")
    good = figures["same bytes as undisturbed"] and not (
        figures["resumes that ran a finished tile again"] or figures["resumes that found damage"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
