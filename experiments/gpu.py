"""The plain path on an accelerator: right numbers, rounds a second, share of the memory bandwidth.

    python -m experiments gpu            at most ten minutes, no network
    python -m experiments gpu --quick    tiny sizes, on whatever device there is

Correctness: mean reward and cost of every reward model against the same runs on the CPU (in a
process of its own), within 4 standard errors of paired runs, and the certificate of every round.
Speed: rounds a second over widths of a block; with and without command buffers (which start
several kernels as one); bytes of a round's state against what a copy of memory reaches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax.array import sums
from c2mabv_jax.bench.case import Case
from c2mabv_jax.bench.run import file_name, machine, versions
from c2mabv_jax.engine import block, program
from c2mabv_jax.simulation import accounting_for, in_scaled_cost
from experiments.setting import Setting

MODELS = ("SUC", "AWC", "AIC")
FARTHEST = 4.0  # standard errors; six comparisons, so a false alarm has probability 4e-4


def prepared(model: str, num_arms: int, width: int) -> tuple[Any, Any]:
    """The points of a block and what is tallied."""
    problem, environment, policy = Case(reward_model=model, num_arms=num_arms).build()
    accounting = accounting_for(problem, environment)
    point = block.Point(in_scaled_cost(problem, environment), environment, policy)
    return block.per_lane([point], np.zeros(width, int)), accounting


def play(model: str, num_arms: int, width: int, horizon: int, first: int = 0) -> Any:
    """The tally of seeds `first`, `first` + 1, ..., after `horizon` rounds, on the host."""
    point, accounting = prepared(model, num_arms, width)
    seeds = jnp.arange(first, first + width, dtype=jnp.uint32)
    last = jnp.asarray([horizon], jnp.int32)
    root = jax.random.key(0, impl="threefry2x32")
    tally = program.run_block(point, accounting, root, seeds, last)
    return jax.tree.map(lambda x: np.asarray(x)[0], tally)


def means(runs: int, horizon: int) -> dict[str, Any]:
    """Reward and cost of every run, and the worst certificate, by reward model."""
    found = {}
    for model in MODELS:
        tally = play(model, 9, runs, horizon)
        found[model] = {
            "reward": (sums.value(tally.reward) / horizon).tolist(),
            "cost": (sums.value(tally.cost) / horizon).tolist(),
            "worst_gap": float(tally.gap.max()),
            "worst_feasibility": float(tally.feasibility.max()),
        }
    return found


def elsewhere(arguments: list[str], **environment: str) -> dict[str, Any]:
    """What this experiment prints in a process of its own."""
    command = [sys.executable, "-m", "experiments.gpu", *arguments]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def compared(here: dict[str, Any], cpu: dict[str, Any]) -> list[dict[str, Any]]:
    """Device against CPU, run by run: the seeds are the same, so the differences are small."""
    rows = []
    for model in MODELS:
        for quantity in ("reward", "cost"):
            a, b = (np.array(found[model][quantity]) for found in (here, cpu))
            error = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
            off = abs(a.mean() - b.mean()) / error if error > 0 else 0.0
            rows.append(
                {"model": model, "quantity": quantity, "device": a.mean(), "cpu": b.mean(),
                 "standard_errors": off, "agrees": bool(off < FARTHEST)}
            )  # fmt: skip
    return rows


def rate(model: str, num_arms: int, width: int, horizon: int) -> dict[str, Any]:
    """Best of three turns, compiled before."""
    play(model, num_arms, width, 2)
    seconds = []
    for turn in range(3):
        start = time.perf_counter()
        play(model, num_arms, width, horizon, first=turn * width)
        seconds.append(time.perf_counter() - start)
    best = min(seconds)
    return {
        "model": model, "num_arms": num_arms, "width": width, "horizon": horizon,
        "rounds_per_s": width * horizon / best, "microseconds_per_round": 1e6 * best / horizon,
    }  # fmt: skip


def bytes_of_state(model: str, num_arms: int) -> int:
    """Of one run: what a round reads and writes at least once each."""
    problem, environment, policy = Case(reward_model=model, num_arms=num_arms).build()
    accounting = accounting_for(problem, environment)
    leaves = jax.tree.leaves((policy.init(problem), accounting.begin(problem)))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def copy_bandwidth(size: int) -> float:
    """Bytes a second of reading and writing `size` bytes once."""
    double = jax.jit(lambda x: x * 2)
    values = jnp.ones(size // 4, jnp.float32)
    double(values).block_until_ready()
    start = time.perf_counter()
    for _ in range(10):
        values = double(values)
    values.block_until_ready()
    return 10 * 2 * size / (time.perf_counter() - start)


def measure(quick: bool) -> dict[str, Any]:
    """Everything, in plain JSON types."""
    runs, horizon = (64, 100) if quick else (4096, 1000)
    widths = (32, 64) if quick else tuple(1 << power for power in range(12, 21, 2))
    arms = (9,) if quick else (9, 64)
    here = means(runs, horizon)
    sizes = ["--means", str(runs), str(horizon)]
    agreement = compared(here, elsewhere(sizes, JAX_PLATFORMS="cpu", XLA_FLAGS=""))
    bandwidth = copy_bandwidth(1 << (22 if quick else 30))
    rates = []
    for num_arms in arms:
        for model in MODELS:
            for width in widths:
                row = rate(model, num_arms, width, 20 if quick else 200)
                moved = 2 * bytes_of_state(model, num_arms) * row["rounds_per_s"]
                rates.append(row | {"share_of_bandwidth": moved / bandwidth})
    widest = max(rates, key=lambda row: row["rounds_per_s"])
    at = ["--rate", widest["model"], *(str(widest[k]) for k in ("num_arms", "width", "horizon"))]
    on_gpu = jax.default_backend() == "gpu"
    without = elsewhere(at, XLA_FLAGS="--xla_gpu_enable_command_buffer=") if on_gpu else None
    return {
        "machine": machine(), "versions": versions(), "quick": quick, "agreement": agreement,
        "certificates": {m: {k: v for k, v in here[m].items() if "worst" in k} for m in MODELS},
        "copy_bytes_per_s": bandwidth, "rates": rates, "without_command_buffers": without,
    }  # fmt: skip


def run(setting: Setting) -> None:
    """Measure, write `benchmarks/results/gpu-<machine>.json`, say whether device and CPU agree."""
    results = measure(setting.quick)
    folder = setting.out / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"gpu-{file_name(results['machine'])}"
    path.write_text(json.dumps(results, indent=1, default=float) + "\n")
    best = max(results["rates"], key=lambda row: row["rounds_per_s"])
    print(f"{results['machine']['device']}: {best['rounds_per_s']:.3g} rounds/s at best")
    for row in results["agreement"]:
        if not row["agrees"]:
            print(f"{row['model']}: {row['quantity']} is {row['standard_errors']:.1f} errors off")
    print(f"written to {path}")


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    if what == "--means":
        print(json.dumps(means(*map(int, numbers))))
    else:
        print(json.dumps(rate(numbers[0], *map(int, numbers[1:]))))
