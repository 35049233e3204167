"""`python -m experiments NAME [--quick] [--out DIR]`: figures and tables of the study."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from c2mabv_jax import ProblemError
from c2mabv_jax.cli import cache

EXPERIMENTS = {
    "main_job": "`c2mabv run`, its table and figure",
    "comparison": "all policies on nine LLMs under three reward models; four pairs of alphas",
    "alphas": "C2MAB-V over alpha_reward and alpha_cost",
    "budgets": "reward against cost over budgets, and the oracle front",
    "scaling": "regret and violation as N and K grow",
    "direct": "C2MAB-V against enumeration: quality and time as K grows",
    "delays": "re-solving every b rounds, feedback d rounds late",
    "advise": "quality against cost over budgets on a log of real LLMs",
    "correlation": "how far independent arms are off on a log of real LLMs",
    "rates": "regret and violation against rounds, with bounds and predictions",
    "coverage": "how often confidence bounds fail, against exact values",
    "worst": "the instances that come nearest to the bounds",
    "false_alarm": "how often `c2mabv verify` raises a false alarm",
    "cascading_bandits": "CUCB as CascadeUCB1 and CascadeKL-UCB, on the authors' instances",
    "avw_slope": "Thompson sampling and KL-UCB against the lower bound on regret",
    "service": "a day of a live service by the selector, against `simulate`",
    "drift": "LLMs that change, join or leave; windows and discounts",
    "mutations": "one-line mistakes in the package, and who notices them (not part of all)",
    "types_speed": "policies by type against one plain policy a type, CPU time (not part of all)",
    "gpu": "the plain path on an accelerator: right numbers, rounds a second (not part of all)",
}
APART = ("mutations", "gpu", "types_speed")  # hours, another or a quiet machine: by name alone


def main(arguments: list[str] | None = None) -> int:
    """Run one experiment, or all."""
    listing = "\n".join(f"  {name:18} {what}" for name, what in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description=__doc__,
        epilog=f"experiments:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*EXPERIMENTS, "all"], metavar="NAME", help="or all")
    parser.add_argument("--quick", action="store_true", help="a small size: seconds to minutes")
    parser.add_argument(
        "--out", type=Path, help="folder; by default experiments, with --quick results/quick"
    )
    parser.add_argument(
        "--log",
        type=Path,
        default=Path("../shared/data/routerbench_sub/routerbench_sub.csv"),
        help="log of real LLMs, for `advise`, `correlation` and `drift`",
    )
    parser.add_argument("--resume", action="store_true", help="go on with stopped sweeps")
    options = parser.parse_args(arguments)
    out = options.out or Path("results/quick" if options.quick else "experiments")
    cache.enable()
    from experiments.setting import Setting

    everything = [name for name in EXPERIMENTS if name not in APART]
    for name in everything if options.name == "all" else [options.name]:
        command = f"python -m experiments {name}{' --quick' if options.quick else ''}"
        start = time.monotonic()
        print(f"{name}: {EXPERIMENTS[name]}", flush=True)
        setting = Setting(name, options.quick, out, options.log, options.resume, command)
        try:
            importlib.import_module(f"experiments.{name}").run(setting)
        except (ProblemError, OSError) as error:
            print(f"experiments: error: {error}", file=sys.stderr)
            return 2
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
