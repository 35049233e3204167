"""Policies that see the type of a query and share one budget among all types.

One price of the budget serves all types: a dollar goes where it buys most. Estimates are kept
per type and LLM; apart from that these are the plain policies. Rewards must add up over types:
SUC, or one LLM per query, where all reward models are the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array.arms import arm_index, spread
from c2mabv_jax.array.xla import stored
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.errors import ProblemError, check_number, is_traced, one_of
from c2mabv_jax.policies import delta, local_server, scheduling_cloud
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, Policy, register
from c2mabv_jax.policies.estimates import Estimates, empty, observe
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import Solution, solve_lp, solve_typed_lp, words
from c2mabv_jax.relaxation.typed import check_additive, mixture, of_ends


class TypedState(NamedTuple):
    """State of a policy that learns means by type.

    Attributes:
      round: t, the round to come, int32 `[...]`.
      seen: queries of each type so far, int32 `[G, ...]`.
      estimates: counts and sums of type g and arm k at g K + k, `[G K, ...]`.
      edge: where the last relaxed solution lay, two sets for every type (warm start).
    """

    round: Array
    seen: Array
    estimates: Estimates
    edge: tuple[Array, Array]


class TypedPolicy(Policy):
    """What policies that learn by type share."""

    typed = True
    num_types: int

    def init(self, problem: Problem) -> TypedState:
        """State before the first round."""
        check_additive(problem)
        some = np.arange(problem.num_arms) < problem.num_selected
        edge = words.pack(jnp.repeat(jnp.asarray(some)[:, None], self.num_types, axis=1))
        return TypedState(
            round=jnp.int32(1),
            seen=jnp.zeros(self.num_types, jnp.int32),
            estimates=empty(self.flat(problem)),
            edge=(edge, edge),
        )

    def flat(self, problem: Problem) -> Problem:
        """The problem with an arm for every type and LLM."""
        return problem.replace(num_arms=self.num_types * problem.num_arms)

    def decide(
        self, problem: Problem, key: Array, solution: Solution, context: Array, evidence: Evidence
    ) -> Decision:
        """Round the relaxed solution `[K, ...]` for a query of this type."""
        return Decision(
            selected=scheduling_cloud.round_marginals(problem, key, solution.marginals),
            marginals=solution.marginals,
            evidence=evidence,
            memo=(context, solution.edge),
        )

    def update(
        self, problem: Problem, state: TypedState, decision: Decision, feedback: Feedback
    ) -> TypedState:
        """Learn about the arms of the round's type; the last solution is the next warm start."""
        context, edge = decision.memo
        here = arm_index(state.seen) == context
        estimates = observe(state.estimates, in_place(feedback, here))
        return TypedState(state.round + 1, state.seen + here, estimates, edge)


@register
@dataclasses.dataclass(frozen=True)
class TypedC2MABV(TypedPolicy):
    """C2MAB-V with types: bounds per type and LLM, one price of the budget for all types.

    Attributes:
      num_types: G.
      frequencies: p, `[G]` (or `[G, B]`), where they are known; None estimates them as queries
        come, the query at hand included.
      alpha_reward, alpha_cost, delta, radius: as in `C2MABV`; the radius is that of G K arms.
      budget: "common" (one price for all types) or "split" (every type has the budget per
        query for itself: what one compares with).

    Example:
      >>> policy = TypedC2MABV(num_types=2, alpha_reward=0.3, alpha_cost=0.05)
      >>> state = policy.init(problem)
      >>> decision = policy.select(problem, state, jax.random.key(0), context=jnp.int32(1))
      >>> state = policy.update(problem, state, decision, feedback)
    """

    num_types: int = dataclasses.field(metadata={"static": True})
    frequencies: Any = None
    alpha_reward: Any = 1.0
    alpha_cost: Any = 1.0
    delta: Any = 0.05
    radius: str = dataclasses.field(default="hoeffding", metadata={"static": True})
    budget: str = dataclasses.field(default="common", metadata={"static": True})

    def __post_init__(self) -> None:
        check_types(self.num_types, self.frequencies)
        for field in ("alpha_reward", "alpha_cost"):
            check_number(field, getattr(self, field))
        one_of("radius", self.radius, ("hoeffding", "anytime", "ucb1", "kl"))
        one_of("budget", self.budget, ("common", "split"))
        delta.check(self.delta)

    def at_horizon(self, horizon: Any) -> TypedC2MABV:
        """The policy with delta = "1/T" made a number; itself otherwise."""
        return delta.at_horizon(self, horizon)

    def select(
        self,
        problem: Problem,
        state: TypedState,
        key: Array,
        *,
        available: Array | None = None,
        context: Array | None = None,
    ) -> Decision:
        """Bounds of all types, their relaxed problem, and the set for a query of this type."""
        context = told(context, available)
        bounds = Bounds(*(by_type(stored(x), self.num_types) for x in self.bounds(problem, state)))
        if self.budget == "common":
            share = frequencies(self.frequencies, state, context)
            solution = one_price(problem, *bounds, share, context, state.edge)
        else:
            solution = each_its_own(problem, bounds, state.edge, context)
        return self.decide(
            problem, key, solution, context, Evidence(solution.certificate, bounds, sent=1)
        )

    def bounds(self, problem: Problem, state: TypedState) -> Bounds:
        """Confidence bounds of every type and LLM, `[G K, ...]`."""
        return local_server.bounds(
            self.flat(problem), state.estimates, state.round, self.alpha_reward,
            self.alpha_cost, delta.number(self), self.radius,  # type: ignore[arg-type]
        )  # fmt: skip


def frequencies(known: Any, state: TypedState, context: Array) -> Array:
    """Frequencies of the types `[G, ...]`: the known ones, or of the queries so far."""
    if known is not None:
        return spread(known, state.round)
    seen = state.seen + (arm_index(state.seen) == context)
    dtype = jnp.result_type(float)
    return seen.astype(dtype) / state.round.astype(dtype)


def one_price(
    problem: Problem,
    weights: Array,
    costs: Array,
    share: Array,
    context: Array,
    edge: tuple[Array, Array] | None = None,
) -> Solution:
    """All types together, `[G, K, ...]`; of the marginals those of one type, `[K, ...]`."""
    numbers = weights, costs, share, problem.num_selected, problem.budget, problem.at_most, edge
    if len(weights) == 1:
        plain = solve_typed_lp(*numbers)
        return plain._replace(marginals=plain.marginals[0])
    best = mixture(*numbers)
    upper, lower = (of_type(words.by_type(x), context) for x in (best.upper, best.lower))
    marginals = of_ends(upper, lower, best.part, problem.num_arms)
    return Solution(marginals, best.certificate, best.multiplier, (best.upper, best.lower))


def each_its_own(
    problem: Problem, bounds: Bounds, edge: tuple[Array, Array], context: Array
) -> Solution:
    """Every type alone, with the whole budget per query: G plain problems side by side."""
    num_arms = problem.num_arms
    solution = solve_lp(
        jnp.swapaxes(bounds.reward_ucb, 0, 1),
        jnp.swapaxes(bounds.cost_lcb, 0, 1),
        problem.num_selected,
        problem.budget,
        at_most=problem.at_most,
        warm=(words.unpack(edge[0], num_arms), words.unpack(edge[1], num_arms)),
    )
    here = arm_index(solution.multiplier) == context
    mine = lambda x: jnp.where(here, x, 0).sum(axis=0).astype(x.dtype)  # noqa: E731
    return solution._replace(
        marginals=of_type(jnp.swapaxes(solution.marginals, 0, 1), context),
        certificate=type(solution.certificate)(*map(mine, solution.certificate)),
        multiplier=mine(solution.multiplier),
        edge=(words.pack(solution.edge[0]), words.pack(solution.edge[1])),
    )


def by_type(values: Array, num_types: int) -> Array:
    """Values `[G K, ...]` as `[G, K, ...]`."""
    return values.reshape((num_types, -1, *values.shape[1:]))


def of_type(values: Array, context: Array) -> Array:
    """The entry of one type, `[K, ...]` of `[G, K, ...]`."""
    mine = values[0]
    for g in range(1, len(values)):
        mine = jnp.where(context == g, values[g], mine)
    return mine


def in_place(feedback: Feedback, here: Array) -> Feedback:
    """Feedback `[K, ...]` at the arms of its type, `[G K, ...]`; `here` is bool `[G, ...]`."""
    flat = lambda x: x.reshape((-1, *x.shape[2:]))  # noqa: E731
    everywhere = lambda x: flat(jnp.broadcast_to(x, (len(here), *x.shape)))  # noqa: E731
    placed = lambda x: None if x is None else flat(here[:, None] & x)  # noqa: E731
    return Feedback(
        everywhere(feedback.reward),
        everywhere(feedback.cost),
        placed(feedback.observed),  # type: ignore[arg-type]
        placed(feedback.billed),
        placed(feedback.refused) if isinstance(feedback.refused, jax.Array) else feedback.refused,
    )


def check_types(num_types: Any, frequencies: Any) -> None:
    """Raise unless these are a number of types and their frequencies."""
    if isinstance(num_types, bool) or not isinstance(num_types, int | np.integer) or num_types < 1:
        raise ProblemError(f"num_types = {num_types!r}: give a whole number, 1 or more")
    if not isinstance(frequencies, list | tuple | np.ndarray):
        return  # none, or traced
    if len(frequencies) != num_types:
        raise ProblemError(f"frequencies: {len(frequencies)} numbers; give {num_types}, one a type")
    if any(is_traced(share) for share in frequencies):
        return
    if not (np.isfinite(frequencies) & (np.asarray(frequencies) >= 0)).all():
        raise ProblemError(f"frequencies = {frequencies!r}: give probabilities, 0 or more")


def told(context: Array | None, available: Array | None) -> Array:
    """The type of the query; raises where none was told, or where LLMs come and go."""
    if available is not None:
        raise ProblemError("available: policies by type play where every LLM is always there")
    if context is None:
        raise ProblemError("context: not given; tell the type of the query (int32, from 0)")
    return context
