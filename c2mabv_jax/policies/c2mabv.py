"""C2MAB-V: confidence bounds, relaxed problem, dependent rounding (arXiv 2405.16587).

The algorithm follows the abstract of the paper; constants inside the radius and the rounding
scheme are reconstructed.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array.xla import stored
from c2mabv_jax.confidence import RADII, Bounds, Radius
from c2mabv_jax.errors import ProblemError, check_number, is_traced, one_of, require
from c2mabv_jax.policies import delta, local_server, scheduling_cloud
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, register
from c2mabv_jax.policies.estimates import Estimates, empty
from c2mabv_jax.policies.forgetting import Discounted, Windowed
from c2mabv_jax.policies.learning import Learned, Learning, learn, start
from c2mabv_jax.problem import Problem

LONGEST_WINDOW = 2**30  # rounds are int32
_RANGES = {
    "discount": "give a number in (0, 1)",
    "window": f"give a whole number of rounds from 1 to {LONGEST_WINDOW}",
}


@register
@dataclasses.dataclass(frozen=True)
class C2MABV(Learning):
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
        if self.discount is not None and self.window is not None:
            raise ProblemError("window: give either discount or window, not both")
        if self._forgets and self.radius == "bernstein":
            raise ProblemError("radius = 'bernstein': needs the whole past; leave out discount")
        for field, number, inside in (
            ("discount", self.discount, lambda x: 0 < x < 1),
            ("window", self.window, lambda x: x % 1 == 0 and 1 <= x <= LONGEST_WINDOW),
        ):
            require(not isinstance(number, str), field, number, "give a number")
            if number is not None and not is_traced(number):
                require(inside(float(number)), field, number, _RANGES[field])
        for field in ("alpha_reward", "alpha_cost"):
            require(getattr(self, field) is not None, field, None, "give a number")
            check_number(field, getattr(self, field))
        one_of("solver", self.solver, ("exact", "projected_gradient"))
        one_of("radius", self.radius, RADII)
        delta.check(self.delta)

    def at_horizon(self, horizon: Any) -> C2MABV:
        """The policy with delta = "1/T" made a number; itself otherwise."""
        return delta.at_horizon(self, horizon)

    def init(self, problem: Problem) -> Learned:
        """State before the first round."""
        return start(problem, lp=True, estimates=self._nothing(problem))

    @property
    def _forgets(self) -> bool:
        return self.discount is not None or self.window is not None

    def _nothing(self, problem: Problem) -> Estimates | Discounted | Windowed:
        if self.discount is not None:
            return Discounted.empty(problem)
        if self.window is not None:
            return Windowed.empty(problem)
        return empty(problem, squares=self.radius == "bernstein")

    def relax(self, problem: Problem, state: Learned, available: Array | None = None) -> Decision:
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
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """One round of both tiers: relax at the local server, round in the cloud."""
        relaxed = self.relax(problem, state, available)
        selected = scheduling_cloud.round_marginals(problem, key, relaxed.marginals)
        return relaxed._replace(selected=selected)

    def bounds(self, problem: Problem, state: Learned):
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
        self, problem: Problem, state: Learned, decision: Decision, feedback: Feedback
    ) -> Learned:
        """Learn from the observed arms; the last solution is the next warm start."""
        del problem
        if not self._forgets:
            return learn(state, decision, feedback)
        memory = self.window if self.discount is None else self.discount
        return learn(state, decision, feedback, lambda past, new: past.observe(new, memory))

    def _remembered(self, state: Learned):
        return state.estimates.remembered() if self._forgets else state.estimates
