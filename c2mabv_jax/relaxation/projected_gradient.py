"""Projected gradient ascent: steps by an optax transformation, then back onto the polytope.

    z <- project(z + u),   u the update that an optax transformation makes of the gradient

On a linear objective one sufficiently long step ends at an optimal vertex, and
`projected_gradient` takes that step by default: the end of the step is found directly
(`active_set`), at O(K) a pivot, and from the vertex of the last round few or no pivots are
left. Any other objective, or any other transformation, goes through `ascend`.
Both return the certificate that weak duality gives: for every lambda >= 0 and nu

    max over x of g.x  <=  lambda rho + nu N + sum_k max(g_k - lambda c_k - nu, 0).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.array.arms import largest, total
from c2mabv_jax.relaxation.active_set import Vertex, end_of_long_step
from c2mabv_jax.relaxation.certificate import (
    INFEASIBLE,
    NOT_CONVERGED,
    OPTIMAL,
    Certificate,
    Solution,
)
from c2mabv_jax.relaxation.polytope import Polytope, in_polytope
from c2mabv_jax.relaxation.projection import project_with_multipliers
from c2mabv_jax.relaxation.topn import top_n

LONG_STEP_LENGTH = 2.0**20  # a power of two costs no digits
LONG_STEP = optax.sgd(LONG_STEP_LENGTH)
PIVOTS_PER_ARM = 8


def projected_gradient(
    weights: Array,
    costs: Array,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
    warm: tuple[Array, Array] | None = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = 1000,
    tolerance: float | None = None,
) -> Solution:
    """Maximise weights.z over box, cardinality and budget by projected gradient steps.

    Args:
      weights: `[K, ...]`, finite; any sign.
      costs: `[K, ...]`, finite and >= 0.
      num_selected: N (static), 1..K.
      budget: rho >= 0, scalar or `[...]`.
      at_most: sum z <= N instead of = N.
      warm: `edge` of an earlier solution of a similar problem; saves pivots, and leaves the
        optimum what it is.
      optimizer: an optax transformation whose updates are the steps, or None for one
        gradient step long enough to end at an optimal vertex.
      max_steps: most steps of `optimizer`; the long step has its own limit of pivots.
      tolerance: largest gap that counts as optimal; by default what rounding leaves.

    Returns:
      A `Solution`, as `solve_lp` returns. With the long step at most two marginals are
      fractional. Infeasible problems return the N cheapest arms and say so in the status.

    Example:
      >>> w, c = jnp.array([0.9, 0.5, 0.1]), jnp.array([0.8, 0.3, 0.1])
      >>> projected_gradient(w, c, num_selected=1, budget=0.5).marginals.round(3)
      Array([0.4, 0.6, 0. ], dtype=float32)

    Reference:
      Mangasarian and Meyer 1979, nonlinear perturbation of linear programs: a long enough
      step of projected gradient is exact.
    """
    weights, polytope = in_polytope(weights, costs, num_selected, budget, at_most)
    if optimizer is not None:
        objective = lambda z: total(weights * z)  # noqa: E731
        return ascend(
            objective,
            _mixture(warm, polytope),
            *polytope,
            gradient=lambda z: weights,
            optimizer=optimizer,
            max_steps=max_steps,
            tolerance=tolerance,
        )
    step, _ = LONG_STEP.update(-weights, LONG_STEP.init(weights))
    vertex = _end(step, polytope, warm)
    price, level = vertex.price / LONG_STEP_LENGTH, vertex.level / LONG_STEP_LENGTH
    return _certified(
        total(weights * vertex.marginals),
        weights,
        vertex._replace(price=price, level=level),
        polytope,
        tolerance,
    )


def ascend(
    objective: Callable[[Array], Array],
    start: Array,
    costs: Array,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = False,
    *,
    gradient: Callable[[Array], Array] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = 200,
    tolerance: float | None = None,
) -> Solution:
    """Projected gradient ascent on any smooth objective over box, cardinality and budget.

    Args:
      objective: from z `[K, ...]` to `[...]`; batch entries must not mix.
      start: first point, `[K, ...]`; it is projected first.
      costs, num_selected, budget, at_most: the feasible set, as in `project`.
      gradient: from z `[K, ...]` to `[K, ...]`; the derivative of `objective` by default,
        another ascent direction (the gradient of a surrogate) where given.
      optimizer: an optax transformation; `optax.sgd(1.0)` by default. Its state must be
        elementwise (sgd, momentum, adam), so that lanes stay independent of each other.
      max_steps: steps at most; each lane stops at its fixed point.
      tolerance: largest gap that counts as optimal; by default sqrt(eps).

    Returns:
      A `Solution`: `objective` at the last point, and as `gap` the largest first-order gain
      max over x of gradient(z).(x - z), which bounds OPT - objective(z) where the objective
      is concave (and is what ratios of surrogates are stated in). `edge` is the optimal
      edge of the linearised objective.
    """
    start, polytope = in_polytope(start, costs, num_selected, budget, at_most)
    if optimizer is None:
        optimizer = optax.sgd(1.0)
    if gradient is None:
        gradient = jax.grad(lambda z: objective(z).sum())
    dtype = start.dtype
    still = 4 * jnp.finfo(dtype).eps

    def step(carry):
        z, price, memory, done, number = carry
        updates, memory = optimizer.update(-gradient(z), memory, z)
        new = project_with_multipliers(z + updates, polytope, price)
        moved = largest(jnp.abs(new.marginals - z))
        z = jnp.where(done, z, new.marginals)
        return z, new.price, memory, done | (moved <= still), number + 1

    first = project_with_multipliers(start, polytope)
    z = first.marginals
    carry = (z, first.price, optimizer.init(z), jnp.zeros_like(first.infeasible), jnp.int32(0))
    z, *_ = jax.lax.while_loop(
        lambda carry: ~jnp.all(carry[3]) & (carry[4] < max_steps), step, carry
    )
    direction = gradient(z)
    end = _end(direction, polytope, None)
    return _certified(
        objective(z),
        direction,
        end._replace(marginals=jnp.where(end.infeasible, end.marginals, z)),
        polytope,
        float(jnp.finfo(dtype).eps) ** 0.5 if tolerance is None else tolerance,
    )


def _end(update: Array, polytope: Polytope, warm: tuple[Array, Array] | None) -> Vertex:
    """End of the long step; the N cheapest arms in infeasible lanes."""
    if warm is None:
        top = top_n(update, polytope.num_selected, positive=polytope.at_most)
        warm = (top, top)
    limit = PIVOTS_PER_ARM * (update.shape[0] + 4)
    vertex = end_of_long_step(update, polytope, warm, limit)
    if polytope.at_most:
        return vertex

    def with_cheapest() -> Vertex:
        cheapest = polytope.cheapest()
        z = jnp.where(vertex.infeasible, cheapest, vertex.marginals).astype(update.dtype)
        upper, lower = (jnp.where(vertex.infeasible, cheapest, ends) for ends in vertex.edge)
        return vertex._replace(marginals=z, edge=(upper, lower))

    return jax.lax.cond(jnp.any(vertex.infeasible), with_cheapest, lambda: vertex)


def _certified(
    objective: Array,
    gradient: Array,
    vertex: Vertex,
    polytope: Polytope,
    tolerance: float | None,
) -> Solution:
    z, infeasible = vertex.marginals, vertex.infeasible
    gap = polytope.dual_gap(gradient, z, vertex.price, vertex.level)
    gap = jnp.where(infeasible, 0, jnp.maximum(gap, 0))
    size = largest(jnp.abs(gradient)) + vertex.price * polytope.budget
    rounding = 16 * polytope.num_selected * jnp.finfo(z.dtype).eps * size
    allowed = rounding if tolerance is None else jnp.full_like(gap, tolerance)
    reached = vertex.converged & (gap <= allowed)
    status = jnp.where(infeasible, INFEASIBLE, jnp.where(reached, OPTIMAL, NOT_CONVERGED))
    certificate = Certificate(
        objective=objective,
        feasibility=polytope.infeasibility(z),
        gap=gap,
        status=status.astype(jnp.int32),
    )
    return Solution(z, certificate, jnp.where(infeasible, 0, vertex.price), vertex.edge)


def _mixture(warm: tuple[Array, Array] | None, polytope: Polytope) -> Array:
    """A first point: halfway between the warm sets, or the centre of the cardinality."""
    costs = polytope.costs
    if warm is None:
        return jnp.full(costs.shape, polytope.num_selected / costs.shape[0], costs.dtype)
    upper, lower = warm
    return (jnp.where(upper, 0.5, 0) + jnp.where(lower, 0.5, 0)).astype(costs.dtype)
