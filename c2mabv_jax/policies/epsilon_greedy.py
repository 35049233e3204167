"""Epsilon-greedy: now and then a uniformly random set, otherwise the LP at the means.

Auer, Cesa-Bianchi, Fischer 2002: eps_t = min(1, a K / (d^2 t)) with d at most the smallest gap.
Its form for sets, and the budget in the greedy step, are this project's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.errors import check_number
from c2mabv_jax.policies.base import Decision, register
from c2mabv_jax.policies.learning import Learned, Learning, by_lp, means, own_key
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import top_n


@register
@dataclasses.dataclass(frozen=True)
class EpsilonGreedy(Learning):
    """Epsilon-greedy with the budget in the greedy step.

    An exploring round plays N arms (with `at_most` too), every N-set alike, and ignores the
    budget. A greedy round plays the LP optimum at the empirical means, in which an arm never
    observed counts as reward 1 and cost 0. The marginals of a decision are those of both
    kinds of round together.

    Attributes:
      epsilon: a constant rate in [0, 1]; None to let it decay.
      exploration: a of the decaying rate a K / (d^2 t).
      gap: d of the decaying rate; the default is a guess, not a gap of any instance.
    """

    epsilon: Any = None
    exploration: Any = 1.0
    gap: Any = 0.2

    solves_lp = True

    def __post_init__(self) -> None:
        check_number("epsilon", self.epsilon, 0, 1)
        check_number("exploration", self.exploration)
        check_number("gap", self.gap, 1e-6, 1)

    def rate(self, problem: Problem, t: Array) -> Array:
        """eps_t, the probability of an exploring round, `[...]`."""
        if self.epsilon is not None:
            return jnp.asarray(self.epsilon, jnp.result_type(float))
        return jnp.minimum(1, self.exploration * problem.num_arms / (self.gap**2 * t))

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        """Explore with probability eps_t, else be greedy."""
        greedy = by_lp(problem, key, means(state.estimates), state, available)
        uniform = streams.uniforms(own_key(key, 0), problem.num_arms + 1)
        rate = self.rate(problem, state.round)
        explores = uniform[-1] < rate
        anything = top_n(uniform[:-1], problem.num_selected)
        share = problem.num_selected / problem.num_arms
        return greedy._replace(
            selected=jnp.where(explores, anything, greedy.selected),
            marginals=rate * share + (1 - rate) * greedy.marginals,
        )
