"""C2MAB-V: confidence bounds, relaxed problem, dependent rounding (arXiv 2405.16587).

The algorithm follows the abstract of the paper; constants inside the radius and the rounding
scheme are reconstructed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.xla import stored
from c2mabv_jax.confidence import RADII, Bounds, Radius
from c2mabv_jax.errors import ProblemError, is_traced
from c2mabv_jax.policies import delta, local_server, scheduling_cloud
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, Policy, register
from c2mabv_jax.policies.estimates import Estimates, empty, observe
from c2mabv_jax.policies.forgetting import Discounted, Windowed
from c2mabv_jax.problem import Problem
from c2mabv_jax.rewards import reward_model

LONGEST_WINDOW = 2**30  # rounds are int32


class C2MABVState(NamedTuple):
    """State of the local server.

    Attributes:
      round: t, the round to come, int32 scalar or `[...]`.
      estimates: counts and sums, `[K, ...]` (or what remembers less, see `forgetting`).
      edges: where the last relaxed solutions lay, bool `[K, ...]` pairs (warm start).
    """

    round: Array
    estimates: Any
    edges: local_server.Edges


@register
@dataclasses.dataclass(frozen=True)
class C2MABV(Policy):
    """The C2MAB-V policy.

    Attributes:
      alpha_reward: factor on the reward radius; 1 is what theory wants, small is practice.
      alpha_cost: factor on the cost radius.
      delta: confidence parameter in (0, 1), or "1/T" (needs `at_horizon`; `simulate` does it).
      solver: "exact" (parametric LP) or "projected_gradient".
      radius: "hoeffding" (C2MAB-V), "anytime", "ucb1", "bernstein" or "kl".
      discount: factor per round on what was learned, in (0, 1), for changing worlds; None
        remembers everything.
      window: rounds remembered, for changing worlds; None remembers everything.

    Example:
      >>> policy = C2MABV(alpha_reward=0.3, alpha_cost=0.05)
      >>> state = policy.init(problem)
      >>> decision = policy.select(problem, state, jax.random.key(0))
      >>> state = policy.update(problem, state, decision, feedback)
    """

    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05
    solver: local_server.Solver = dataclasses.field(default="exact", metadata={"static": True})
    radius: Radius = dataclasses.field(default="hoeffding", metadata={"static": True})
    discount: Any = None
    window: Any = None

    def __post_init__(self) -> None:
        for field in ("alpha_reward", "alpha_cost", "discount", "window"):
            if isinstance(getattr(self, field), str):
                raise ProblemError(f"{field} = {getattr(self, field)!r}: give a number")
        if self.discount is not None and self.window is not None:
            raise ProblemError("window: give either discount or window, not both")
        if self._forgets and self.radius == "bernstein":
            raise ProblemError("radius = 'bernstein': needs the whole past; leave out discount")
        if (
            self.discount is not None
            and not is_traced(self.discount)
            and not 0 < float(self.discount) < 1
        ):
            raise ProblemError(f"discount = {self.discount!r}: give a number in (0, 1)")
        if self.window is not None and not is_traced(self.window):
            whole = np.isfinite(float(self.window)) and int(self.window) == self.window
            if not (whole and 1 <= self.window <= LONGEST_WINDOW):
                fix = f"give a whole number of rounds from 1 to {LONGEST_WINDOW}"
                raise ProblemError(f"window = {self.window!r}: {fix}")
        for field, allowed in (("solver", ("exact", "projected_gradient")), ("radius", RADII)):
            value = getattr(self, field)
            if value not in allowed:
                raise ProblemError(f"{field} = {value!r}: choose one of " + ", ".join(allowed))
        for field in ("alpha_reward", "alpha_cost"):
            value = getattr(self, field)
            if not is_traced(value) and not (np.isfinite(float(value)) and float(value) >= 0):
                raise ProblemError(f"{field} = {value!r}: give a finite number, 0 or more")
        delta.check(self.delta)

    def at_horizon(self, horizon: Any) -> C2MABV:
        """The policy with delta = "1/T" made a number; itself otherwise."""
        return delta.at_horizon(self, horizon)

    def init(self, problem: Problem) -> C2MABVState:
        """State before the first round."""
        some = jnp.arange(problem.num_arms) < problem.num_selected  # any set of N will do
        return C2MABVState(
            round=jnp.int32(1),
            estimates=self._nothing(problem),
            edges=((some, some),) * len(reward_model(problem).lp_weights),
        )

    @property
    def _forgets(self) -> bool:
        return self.discount is not None or self.window is not None

    def _nothing(self, problem: Problem) -> Estimates | Discounted | Windowed:
        if self.discount is not None:
            return Discounted.empty(problem)
        if self.window is not None:
            return Windowed.empty(problem)
        return empty(problem, squares=self.radius == "bernstein")

    def relax(
        self, problem: Problem, state: C2MABVState, available: Array | None = None
    ) -> Decision:
        """Local server: bounds and relaxed solution; `selected` is still empty."""
        bound = local_server.of_available(self.bounds(problem, state), available)
        bound = Bounds(*map(stored, bound))
        solution, edges = local_server.relax(problem, bound, state.edges, self.solver)
        return Decision(
            selected=jnp.zeros(solution.marginals.shape, bool),
            marginals=solution.marginals,
            priority=local_server.cascade_priority(problem, self._remembered(state), bound),
            evidence=Evidence(solution.certificate, bound, sent=1),
            memo=edges,
        )

    def select(
        self, problem: Problem, state: C2MABVState, key: Array, *, available: Array | None = None
    ) -> Decision:
        """One round of both tiers: relax at the local server, round in the cloud."""
        relaxed = self.relax(problem, state, available)
        selected = scheduling_cloud.round_marginals(problem, key, relaxed.marginals)
        return relaxed._replace(selected=selected)

    def bounds(self, problem: Problem, state: C2MABVState):
        """The confidence bounds `[K, ...]` for the round to come."""
        level = delta.number(self)
        t = state.round
        if self.window is not None:
            t = jnp.minimum(t, self.window)
        elif self.discount is not None:
            t = jnp.minimum(t, 1 / (1 - self.discount))
        return local_server.bounds(
            problem,
            self._remembered(state),
            t,
            self.alpha_reward,
            self.alpha_cost,
            level,
            self.radius,
        )

    def update(
        self, problem: Problem, state: C2MABVState, decision: Decision, feedback: Feedback
    ) -> C2MABVState:
        """Learn from the observed arms; the last solution is the next warm start."""
        edges = state.edges if decision.memo is None else decision.memo
        if self.discount is not None:
            estimates = state.estimates.observe(feedback, self.discount)
        elif self.window is not None:
            estimates = state.estimates.observe(feedback, self.window)
        else:
            estimates = observe(state.estimates, feedback)
        return C2MABVState(state.round + 1, estimates, edges)

    def _remembered(self, state: C2MABVState):
        return state.estimates.remembered() if self._forgets else state.estimates
