"""What happens to a policy's state in a live service; compiled once per structure.

A decision is a function of the state and of its number alone, so an open ticket is a number
and a set: whatever `update` wants besides (coins, warm starts) is drawn again when the feedback
comes. Where it comes before the next choice, that is the very decision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.policies.base import Feedback, Policy, State
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.forgetting import Discounted, Windowed
from c2mabv_jax.problem import Problem

MEMORIES = (Estimates, Discounted, Windowed)
# Leaves of states that are money, by the names on their path, and to which power.
_MONEY = {"cost": 1, "cost_square": 2, "spent": 1, "queue": 1, "excess": 1}


@register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveProblem(Problem):
    """A problem in which the reward or the cost of an answer may come without the other."""

    @property
    def same_counts(self) -> bool:
        return False


class Chosen(NamedTuple):
    """Decisions of one state: entries `[M, K]`, `order` None for lower index first."""

    selected: Array
    marginals: Array
    order: Array | None


def _key(root: Array, number: Array) -> Array:
    return streams.fold_in(streams.fold_in(root, number[1]), number[0])


@jax.jit
def choose(
    policy: Policy,
    problem: Problem,
    state: State,
    root: Array,
    numbers: Array,
    available: Array,
) -> Chosen:
    """The decisions of these numbers, uint32 `[M, 2]` (low word first), at one state.

    Of the LLMs, bool `[K]` says which are `available`.
    """

    def single(number: Array) -> Chosen:
        decision = policy.select(problem, state, _key(root, number), available=available)
        return Chosen(decision.selected & available, decision.marginals, decision.priority)

    return jax.vmap(single)(numbers)


@jax.jit
def learn(
    policy: Policy,
    problem: Problem,
    state: State,
    root: Array,
    number: Array,
    selected: Array,
    feedback: Feedback,
) -> State:
    """The state after the feedback on the decision of this number."""
    decision = policy.select(problem, state, _key(root, number))
    return policy.update(problem, state, decision._replace(selected=selected), feedback)


@jax.jit
def bounds(policy: Policy, problem: Problem, state: State, root: Array) -> Bounds | None:
    """The confidence bounds `[K]` of the decision to come; None for policies without."""
    return policy.select(problem, state, root).evidence.bounds


@jax.jit
def remember(
    policy: Policy, problem: Problem, state: State, root: Array, feedback: Feedback
) -> State:
    """The state after R queries of a log, entries of the feedback `[R, K]`.

    Estimates and the count of rounds are those of a policy that saw them all; what was spent on
    the log is not on the account of the service.
    """

    def row(state: State, shown: tuple[Array, Feedback]) -> tuple[State, None]:
        number, feedback = shown
        decision = policy.select(problem, state, streams.fold_in(root, number))
        decision = decision._replace(selected=feedback.observed)
        return policy.update(problem, state, decision, feedback), None

    numbers = jnp.arange(feedback.reward.shape[0], dtype=jnp.uint32)
    after, _ = jax.lax.scan(row, state, (numbers, feedback))

    def keep(where: tuple, old: Array, new: Array) -> Array:
        return new if _names(where) & {"estimates", "round"} else old

    return jax.tree_util.tree_map_with_path(keep, state, after)


def in_other_money(state: State, factor: float) -> State:
    """The state when one unit of scaled cost is `1 / factor` of what it was.

    A policy of one's own calls what it keeps in money `cost`, `spent`, `queue` or `excess`, and
    sums of squares `cost_square`.
    """

    def convert(where: tuple, leaf: Array) -> Array:
        power = sum(_MONEY.get(name, 0) for name in _names(where))
        return leaf * factor**power if power else leaf

    return jax.tree_util.tree_map_with_path(convert, state)


def with_models(
    policy: Policy,
    problem: Problem,
    state: State,
    new_policy: Policy,
    new_problem: Problem,
    kept: Sequence[int],
) -> State:
    """The state for other LLMs: first those `kept` (indices into the old), then new ones.

    What is as long as there are LLMs goes with them; a new LLM begins as in a new state. Warm
    starts, which are whole sets, begin anew.
    """
    before = jax.eval_shape(lambda: policy.init(problem))
    index = np.asarray(kept, int)

    def carry(where: tuple, was: Any, begun: Array, old: Array) -> Array:
        if _names(where) & {"edge", "edges"}:
            return begun
        axes = [i for i, (m, n) in enumerate(zip(was.shape, begun.shape, strict=True)) if m != n]
        if not axes:
            return old
        begun, old = jnp.moveaxis(begun, axes[0], 0), jnp.moveaxis(old, axes[0], 0)
        return jnp.moveaxis(begun.at[: len(index)].set(old[index]), 0, axes[0])

    begun = new_policy.init(new_problem)
    return jax.tree_util.tree_map_with_path(carry, before, begun, state)


def memory(state: State) -> Any:
    """The estimates inside a state, `estimates.Estimates` or the like; None without any."""

    def is_memory(node: Any) -> bool:
        return isinstance(node, MEMORIES)

    found = [x for x in jax.tree.leaves(state, is_leaf=is_memory) if is_memory(x)]
    return found[0] if found else None


def _names(where: tuple) -> set[str]:
    return {getattr(entry, "name", "") for entry in where}
