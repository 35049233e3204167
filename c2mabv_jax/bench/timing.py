"""Turns: everybody plays once, then everybody again; medians and quartiles over turns.

Taking turns spreads whatever else the machine does over all contestants alike. The first
call of each (compilation) is timed apart.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from c2mabv_jax.bench.agreement import FALSE_ALARM, assert_agrees, certificate, pooled
from c2mabv_jax.bench.case import Contestant, Outcome


@dataclasses.dataclass
class Entry:
    """A contestant and its turns.

    Attributes:
      seeds: runs per turn.
      first_s: seconds of the first call, of one unit, compilation included.
      unit_s: seconds of the second call of one unit.
      seconds: of every turn.
    """

    contestant: Contestant
    seeds: int = 0
    first_s: float = 0.0
    unit_s: float = 0.0
    seconds: list[float] = dataclasses.field(default_factory=list)
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)

    def warm_up(self, turn_s: float) -> None:
        """Compile, and choose as many runs as a turn of about `turn_s` seconds takes."""
        unit = self.contestant.unit
        self.first_s = _timed(self.contestant, unit, 1)[0]
        self.unit_s = _timed(self.contestant, unit, 2)[0]
        self.seeds = unit * max(1, round(turn_s / self.unit_s))

    def turn(self, root: int) -> None:
        """Play once."""
        seconds, outcome = _timed(self.contestant, self.seeds, root)
        self.seconds.append(seconds)
        if outcome is not None:
            self.outcomes.append(outcome)

    @property
    def rates(self) -> np.ndarray:
        """Policy-rounds per second of every turn."""
        return self.seeds * self.contestant.case.horizon / np.array(self.seconds)

    def result(self) -> dict[str, Any]:
        """In plain JSON types."""
        contestant, case = self.contestant, self.contestant.case
        low, median, high = np.percentile(self.rates, (25, 50, 75))
        result = {
            "name": contestant.name,
            "solver": contestant.solver,
            **dataclasses.asdict(case),
            "cores": contestant.cores,
            "seeds_per_turn": self.seeds,
            "turns": len(self.seconds),
            "rounds_per_s": {"median": median, "q1": low, "q3": high},
            "first_call_s": self.first_s,
            "compile_s": max(self.first_s - self.unit_s, 0.0),
        }
        if self.outcomes:
            runs = pooled(self.outcomes)
            result |= {"mean_reward": runs.reward.mean(), "mean_cost": runs.cost.mean()}
        for field in ("gap", "feasibility"):
            found = [getattr(outcome, field) for outcome in self.outcomes]
            if found and found[0] is not None:
                result["worst_" + field] = max(float(np.max(x)) for x in found)
        return result


def _timed(contestant: Contestant, seeds: int, root: int) -> tuple[float, Outcome | None]:
    start = time.perf_counter()
    outcome = contestant.play(seeds, root)
    return time.perf_counter() - start, outcome


def take_turns(
    contestants: Iterable[Contestant],
    turns: int,
    turn_s: float,
    step: Callable[[str], object] = lambda name: None,
) -> list[Entry]:
    """Warm everybody up, then play `turns` turns each; `step` is told before every call."""
    entries = [Entry(contestant) for contestant in contestants]
    for entry in entries:
        step(f"compile {label(entry.contestant)}")
        entry.warm_up(turn_s)
    for turn in range(turns):
        for entry in entries:
            step(label(entry.contestant))
            entry.turn(root=10 + turn)
    return entries


def check(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Compare everyone's mean reward and cost with the package's; raise where they differ."""
    reference = {
        entry.contestant.case: entry
        for entry in reversed(entries)
        if entry.contestant.name == "this package" and entry.contestant.solver == "exact"
    }
    found = []
    for entry in entries:
        judge = reference.get(entry.contestant.case)
        # Boosted ascent of any win is another relaxation: it need not choose alike.
        boosted = entry.contestant.case.reward_model == "AWC"
        if judge is None or entry is judge or not entry.outcomes or boosted:
            continue
        name = label(entry.contestant)
        if entry.contestant.solver != "exact":
            # Where several bounds are 1 the optimum is not unique, and solvers choose among
            # optima differently: its certificate is reported, and tested where solvers are.
            found.append({"name": name, **certificate(pooled(entry.outcomes))})
            continue
        off = assert_agrees(name, pooled(entry.outcomes), pooled(judge.outcomes))
        runs = sum(len(outcome.reward) for outcome in entry.outcomes)
        found.append({"name": name, "runs": runs, **off._asdict(), "false_alarm": FALSE_ALARM})
    return found


def label(contestant: Contestant) -> str:
    """Name, reward model, budget and sizes, for a progress bar or an error."""
    case = contestant.case
    solver = "" if contestant.solver == "exact" else ", projected gradient"
    return f"{contestant.name}{solver}: {case.reward_model} K={case.num_arms} {case.budget}"
