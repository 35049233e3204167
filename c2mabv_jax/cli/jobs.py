"""A job: one world, one problem, several policies on the same random numbers."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from tqdm import tqdm

from c2mabv_jax.cli import outlook, world
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import catalogue
from c2mabv_jax.policies.own import is_own, own_policy
from c2mabv_jax.problem import Problem
from c2mabv_jax.simulation import check_fit, check_fit_of_types, simulate

DEFAULT_SELECTED = 4  # or half of the LLMs, so that there is something to choose


class Job(NamedTuple):
    """What is to be simulated.

    Attributes:
      problem, environment: the world.
      policies: by the name a user typed.
      horizon: rounds per run.
      seeds: runs of each policy.
      seed: root of all random numbers.
      remarks: what the user should know before it starts.
    """

    problem: Problem
    environment: Any
    policies: dict[str, Any]
    horizon: int
    seeds: int
    seed: int
    remarks: tuple[str, ...]


def prepare(
    environment: Any,
    reward_model: str,
    num_selected: int | None,
    budget: float | None,
    names: tuple[str, ...],
    options: dict[str, Any],
    horizon: int,
    seeds: int,
    seed: int,
    billing: str = "selected",
) -> Job:
    """Check everything before anything runs.

    Raises:
      ProblemError: one line that names the option and the fix.
    """
    if num_selected is None:
        num_selected = min(DEFAULT_SELECTED, max(1, environment.num_arms // 2))
    problem = Problem(
        num_arms=environment.num_arms,
        num_selected=num_selected,
        budget=0.0 if budget is None else budget,
        reward_model=reward_model,  # type: ignore[arg-type]
        billing=billing,  # type: ignore[arg-type]
    )
    report = getattr(environment, "log_report", None)
    remarks = [] if report is None else list(report.notes)
    if budget is None:
        budget, how = world.default_budget(problem, environment)
        problem = problem.replace(budget=budget)
        remarks.append(how)
    remark = world.check_budget(problem, environment)
    remarks += [remark] if remark else []
    if num_selected == problem.num_arms and not problem.at_most:
        remarks.append(
            f"there is nothing to choose: all {num_selected} LLMs are asked every time; give a "
            "smaller --num-selected"
        )
    if names == ("all",):
        seeing = catalogue.TYPED if environment.num_types is not None else ()
        names = tuple(entry.name for entry in (*catalogue.POLICIES, *seeing))
    chosen = {}
    for name in names:
        if is_own(name):
            chosen[name.rpartition(":")[2]] = own_policy(name)
        else:
            given = of_family(name, options)
            chosen[name] = catalogue.policy(name, problem, environment, **given)
    if len(chosen) < len(names):
        raise ProblemError(f"--policies = {','.join(names)!r}: name each policy once")
    if not 0 <= seed < 2**32:
        raise ProblemError(f"--seed = {seed}: give a whole number from 0 to 2^32 - 1")
    check_fit(problem, environment, horizon, seeds, None)
    for policy in chosen.values():
        check_fit_of_types(problem, environment, policy)
    return Job(problem, environment, chosen, horizon, seeds, seed, tuple(remarks))


def of_family(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that reach a policy: C2MAB-V and its variants, as far as they have them."""
    entry = catalogue.find(name)
    if not (name.startswith("c2mabv") or name == "two-tier"):
        return {}
    return {key: value for key, value in options.items() if key in entry.options}


def simulate_all(job: Job, quiet: bool = False) -> xr.Dataset:
    """Every policy on the same random numbers, along a `policy` dimension.

    What it takes is said first, on standard error, where it takes long; a terminal sees a bar.
    Quiet: neither.
    """
    hidden = True if quiet else None
    with tqdm(total=len(job.policies), desc="compiling", disable=hidden, leave=False) as bar:

        def compiled(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        ahead = outlook.outlook(job, compiled)
    line = ahead.line()
    if line is not None and not quiet:
        print(line, file=sys.stderr, flush=True)
    parts = []
    # Policies differ in speed by a factor of a hundred, so the bar counts expected seconds.
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=ahead.total, bar_format=form, disable=hidden, leave=False) as bar:
        for name, policy in job.policies.items():
            bar.set_description(name)
            a_run = ahead.seconds[name] / job.seeds
            parts.append(
                simulate(
                    job.problem,
                    job.environment,
                    policy,
                    job.horizon,
                    job.seeds,
                    seed=job.seed,
                    progress=functools.partial(_advance, bar, a_run),
                )
            )
    return along_policy(parts, np.array(list(job.policies)))


def _advance(bar: tqdm, seconds: float, runs: int) -> None:
    bar.update(seconds * runs)


def along_policy(parts: list[xr.Dataset], names: np.ndarray) -> xr.Dataset:
    """Join the datasets of the policies; what differs between them is kept per policy."""
    results = xr.concat(
        parts,
        xr.Variable("policy", names),
        data_vars=[name for name, values in parts[0].items() if "seed" in values.dims],
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    each = [json.loads(part.attrs["configuration"]) for part in parts]
    results.attrs["configuration"] = json.dumps(
        {**each[0], "policy": {str(n): e["policy"] for n, e in zip(names, each, strict=True)}}
    )
    results.attrs.pop("policy", None)
    # Sums over seeds then round as they do for whoever opens the stored file.
    return results.assign(
        {name: v.copy(data=np.ascontiguousarray(v.to_numpy())) for name, v in results.items()}
    )
