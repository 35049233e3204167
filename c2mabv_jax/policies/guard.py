"""What a policy is shown passes here first: shapes and types when traced, values when run.

Services hand over what judges and bills say, and one NaN in a running sum is there for good.
Arguments of the wrong size or type raise while the call is traced and cost nothing later. What
is no finite number counts as unobserved, and a value outside [0, 1] is cut; both are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax.errors import ProblemError, require
from c2mabv_jax.problem import Problem

if TYPE_CHECKING:
    from c2mabv_jax.policies.base import Feedback, Policy


def check_state(policy: Policy, problem: Problem, state: Any) -> None:
    """Raise a `ProblemError` unless the state is of this policy and this number of LLMs."""
    expected = jax.eval_shape(lambda: policy.init(problem))
    fix = "make it with `policy.init(problem)` of this policy and this problem"
    structure: Any = jax.tree.structure(expected)
    if structure != jax.tree.structure(state):
        raise ProblemError(f"state = {type(state).__name__}: not of this policy; {fix}")
    wanted = jax.tree.leaves_with_path(expected)
    for (where, want), leaf in zip(wanted, jax.tree.leaves(state), strict=True):
        found = jnp.shape(leaf)[: want.ndim]  # a batch trails
        if found != want.shape:
            name = "state" + jax.tree_util.keystr(where)
            raise ProblemError(f"{name}: has shape {list(found)}, not {list(want.shape)}; {fix}")


def clean(problem: Problem, selected: Any, feedback: Feedback) -> Feedback:
    """The feedback a policy may learn from; clean values pass bit for bit.

    Args:
      problem: K, and whether reward and cost of an arm share one count; then one that is no
        number takes the other with it.
      selected: S_t, bool `[K, ...]`; its shape is that of everything in `feedback`.
      feedback: what the round showed.

    Returns:
      Feedback of finite numbers in [0, 1]; `refused` marks the arms where one was not.

    Raises:
      ProblemError: a shape or type that does not fit.
    """
    shape = jnp.shape(selected)
    require(
        shape[:1] == (problem.num_arms,),
        "decision.selected",
        list(shape),
        f"a shape of [K, ...] with K = num_arms = {problem.num_arms} is needed",
    )
    observed = _mask("observed", feedback.observed, shape)
    billed = observed if feedback.billed is None else _mask("billed", feedback.billed, shape)
    reward, reward_known, reward_mended = _share("reward", feedback.reward, shape)
    cost, cost_known, cost_mended = _share("cost", feedback.cost, shape)
    seen = reward_known & cost_known if problem.same_counts else reward_known
    return feedback._replace(
        reward=reward,
        cost=cost,
        observed=observed & seen,
        billed=billed & cost_known,
        refused=(observed & reward_mended) | (billed & cost_mended),
    )


def _mask(field: str, value: Any, shape: tuple[int, ...]) -> Array:
    mask = jnp.asarray(value)
    fix = f"give one bool per LLM, shape {list(shape)}"
    require(mask.dtype == bool, field, str(mask.dtype), fix)
    require(mask.shape == shape, field, list(mask.shape), fix)
    return mask


def _share(field: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Numbers in [0, 1]; which of them were finite; which are not what they were."""
    numbers = jnp.asarray(value)
    fix = f"give one number in [0, 1] per LLM, shape {list(shape)}"
    real = numbers.dtype == bool or jnp.issubdtype(numbers.dtype, jnp.floating)
    real = real or jnp.issubdtype(numbers.dtype, jnp.integer)
    require(bool(real), field, str(numbers.dtype), fix)
    require(numbers.shape == shape, field, list(numbers.shape), fix)
    numbers = numbers.astype(jnp.result_type(float))
    known = jnp.isfinite(numbers)
    mended = jnp.where(known, jnp.clip(numbers, 0, 1), 0)
    return mended, known, mended != numbers
