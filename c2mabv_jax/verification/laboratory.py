"""Where claims take their measurements: runs of the system under test, each made once.

The system under test is the package itself, or a variant that is broken on purpose
(`controls`). A claim asks for runs of an instance; the laboratory plays them on all cores,
keeps them for other claims, and reports its progress.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import Array

from c2mabv_jax import rounding
from c2mabv_jax.array import sums
from c2mabv_jax.engine.block import Point
from c2mabv_jax.engine.round import expected_reward
from c2mabv_jax.engine.runner import Runs, all_done
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem
from c2mabv_jax.simulation import simulate
from c2mabv_jax.verification.instances import Instance
from c2mabv_jax.verification.presets import Preset
from c2mabv_jax.verification.transcript import Transcript, write_down
from c2mabv_jax.verification.watch import Watch, Watcher


def _as_is(thing: Any) -> Any:
    return thing


def expected_of_set(problem: Problem, environment: Any, decision: Any, feedback: Any) -> Array:
    """r(S_t; mu), as the simulator accounts for it."""
    del feedback
    return expected_reward(problem, environment, None, decision.selected)


@dataclasses.dataclass(frozen=True)
class System:
    """The system under test, or a broken variant of it.

    Attributes:
      name: "C2MAB-V", or what is broken.
      policy: from the C2MAB-V policy to the policy that is run.
      environment: from an instance's environment to the one that is run.
      problem: from an instance's problem to the one that is run.
      expected: how r(S_t; mu) is accounted for, `(problem, environment, decision, feedback)`
        to `[...]`.
      round: rounding of marginals, `(key, marginals [K, ...], N) -> bool [K, ...]`.
    """

    name: str = "C2MAB-V"
    policy: Callable[[C2MABV], Any] = _as_is
    environment: Callable[[Any], Any] = _as_is
    problem: Callable[[Problem], Problem] = _as_is
    expected: Callable[..., Array] = expected_of_set
    round: Callable[[Array, Array, int], Array] = rounding.dependent_round


class Paths(NamedTuple):
    """Watched runs on the host, float64; entries `[runs, R]`, per arm `[runs, R, K]`.

    Field by field a `watch.Watch`, with `round` the recorded rounds `[R]`.
    """

    round: np.ndarray
    watch: Any


@dataclasses.dataclass
class Laboratory:
    """Runs for claims.

    Attributes:
      preset: sizes of the experiments.
      seed: root of all random numbers.
      system: what is under test.
      progress: called with the number of rounds times runs done.
      found: worst instances of the searches that were made.
      only: the instances and memories to be used, of those that a claim names; None for all.
    """

    preset: Preset
    seed: int = 0
    system: System = dataclasses.field(default_factory=System)
    progress: Callable[[int], None] = _as_is
    only: tuple[str, ...] | None = None
    found: list[Any] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._paths: dict[Any, Paths] = {}
        self._simulated: dict[Any, xr.Dataset] = {}
        self._transcripts: dict[Any, Transcript] = {}

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a claim's instances that are to be used."""
        return [name for name in names if self.only is None or name in self.only]

    def paths(self, instance: Instance, policy: C2MABV, rounds: Sequence[int], runs: int) -> Paths:
        """Watched runs of one instance, recorded at `rounds`; at most `MOST_RECORDS`."""
        key = (instance.name, policy, tuple(rounds), runs)
        if key not in self._paths:
            self._paths[key] = self.paths_of([instance] * runs, policy, rounds)
        return self._paths[key]

    def under_test(self, instance: Instance, policy: Any) -> Point:
        """An instance and a policy as the system plays them."""
        return Point(
            self.system.problem(instance.problem),
            self.system.environment(instance.environment),
            self.system.policy(policy),
        )

    def transcript(self, instance: Instance, policy: Any, horizon: int, runs: int) -> Transcript:
        """Every round of runs 0 .. runs - 1 of one instance."""
        key = (instance.name, policy, horizon, runs)
        if key not in self._transcripts:
            self._transcripts[key] = write_down(
                self.under_test(instance, policy),
                self.seed,
                runs,
                horizon,
                self.system.expected,
            )
            self.progress(horizon * runs)
        return self._transcripts[key]

    def paths_of(
        self, instances: Sequence[Instance], policy: C2MABV, rounds: Sequence[int]
    ) -> Paths:
        """Watched runs, one instance each (of one structure: sizes, reward model, laws)."""
        points, which = _distinct(instances)
        tested = [self.under_test(instance, policy) for instance in points]
        watchers = [Watcher(one.benchmark, one.best.multiplier) for one in points]
        return self.play(tested, watchers, which, rounds)

    def play(
        self,
        points: Sequence[Point],
        watchers: Sequence[Watcher],
        which: np.ndarray,
        rounds: Sequence[int],
    ) -> Paths:
        """Watched runs; run i plays `points[which[i]]` with seed id i.

        Args:
          points: of one structure.
          watchers: of every point.
          which: `[runs]`.
          rounds: to be recorded, ascending.
        """
        record_at = np.asarray(sorted(set(rounds)), np.int32)
        # Every call has the same shapes, so one compiled program serves all of them.
        spare = np.full(max(0, MOST_RECORDS - len(record_at)), record_at[-1], np.int32)
        runs = Runs(points, watchers, np.concatenate([record_at, spare]))

        def block(start: int) -> Watch:
            mine = which[start : start + runs.lanes]
            seen = runs.play(mine, start + np.arange(len(mine)), self.seed)
            self.progress(int(record_at[-1]) * len(mine))
            return _on_host(seen, len(record_at))

        pieces = all_done(block, range(0, len(which), runs.lanes))
        joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=0), *pieces)
        return Paths(record_at.astype(np.int64), joined)

    def together(self, tasks: Sequence[Callable[[], Any]]) -> None:
        """Make several measurements, one per core, so that claims find them made."""
        all_done(lambda task: task(), tasks)

    def long(
        self, instance: Instance, policy: Any, warm_up: bool = False, share: float = 1
    ) -> xr.Dataset:
        """Runs of `c2mabv_jax.simulate` up to the longest horizon of the preset.

        Recorded at the preset's `long_rounds` and, for figures, at log-spaced rounds between.
        A warm-up plays a few rounds only, so that the program is compiled. `share` of the
        preset's runs are played, and 64 at least.
        """
        key = (instance.name, policy)
        if key not in self._simulated:
            horizon, runs = self.preset.long_rounds[-1], self.preset.long_runs
            runs = max(min(64, runs), round(share * runs))
            spaced = np.rint(np.geomspace(100, horizon, LONG_RECORDS)).astype(int)
            rounds = np.union1d(spaced, self.preset.long_rounds)
            if warm_up:
                rounds = np.arange(1, len(rounds) + 1)
                horizon, runs = len(rounds), 1
            data = simulate(
                *self.under_test(instance, policy),
                horizon,
                runs,
                list(rounds),
                seed=self.seed,
                progress=lambda done: self.progress(done * horizon),
            )
            if warm_up:
                return data
            self._simulated[key] = data
        return self._simulated[key]


MOST_RECORDS = 25  # 2^24 rounds, the longest horizon of a preset, halved down to 1
LONG_RECORDS = 24


def _distinct(instances: Sequence[Instance]) -> tuple[list[Instance], np.ndarray]:
    order: dict[int, int] = {}
    points: list[Instance] = []
    which = []
    for instance in instances:
        if id(instance) not in order:
            order[id(instance)] = len(points)
            points.append(instance)
        which.append(order[id(instance)])
    return points, np.asarray(which)


def _on_host(seen: Watch, records: int) -> Watch:
    """Compensated sums as float64, runs first, without the spare records."""
    plain = [
        sums.value(entry) if isinstance(entry, sums.Sum) else np.asarray(entry) for entry in seen
    ]
    return Watch(*(np.moveaxis(entry[:records], -1, 0) for entry in plain))  # type: ignore[arg-type]
