"""The feasible set of the relaxed problem, and how far a point is from being the best in it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.array.arms import largest, total
from c2mabv_jax.relaxation.topn import top_n


class Polytope(NamedTuple):
    """Box, cardinality and budget: z in [0, 1]^K, 1.z = N (or <= N), c.z <= rho.

    Attributes:
      costs: c >= 0, `[K, ...]`.
      num_selected: N, static.
      budget: rho, `[...]`.
      at_most: sum z <= N instead of = N, static.
    """

    costs: Array
    num_selected: int
    budget: Array
    at_most: bool

    def cheapest(self) -> Array:
        """The N cheapest arms (ties: lower index), bool `[K, ...]`."""
        return top_n(-self.costs, self.num_selected)

    def infeasibility(self, marginals: Array) -> Array:
        """Largest violation of cardinality, budget and box, `[...]`, in their own units."""
        size = total(marginals) - self.num_selected
        size = jnp.maximum(size, 0) if self.at_most else jnp.abs(size)
        over = jnp.maximum(total(self.costs * marginals) - self.budget, 0)
        outside = largest(jnp.maximum(-marginals, marginals - 1))
        return jnp.maximum(jnp.maximum(size, over), jnp.maximum(outside, 0))

    def dual_gap(self, gradient: Array, marginals: Array, price: Array, level: Array) -> Array:
        """Upper bound on max over x of gradient.(x - z) from any price >= 0 and level, `[...]`.

        The dual bound minus gradient.z, regrouped so that nothing cancels: unspent budget at
        its price, unused places at theirs, and every arm that is not where its sign wants it.
        """
        reduced = gradient - level - price * self.costs
        misplaced = jnp.where(reduced > 0, reduced * (1 - marginals), -reduced * marginals)
        unused = self.num_selected - total(marginals)
        unspent = self.budget - total(self.costs * marginals)
        return price * unspent + level * unused + total(misplaced)


def in_polytope(
    point: ArrayLike, costs: ArrayLike, num_selected: int, budget: ArrayLike, at_most: bool
) -> tuple[Array, Polytope]:
    """Point `[K, ...]` and polytope of one shape and float dtype.

    The arm axis comes first; the batch axes behind it broadcast as in NumPy.
    """
    point, costs = jnp.asarray(point), jnp.asarray(costs)
    dtype = jnp.result_type(point, costs, jnp.float32)
    batch = jnp.broadcast_shapes(point.shape[1:], costs.shape[1:], jnp.shape(budget))

    def lanes(values: Array) -> Array:
        missing = (1,) * (len(batch) + 1 - values.ndim)
        spread = values.reshape(values.shape[:1] + missing + values.shape[1:])
        return jnp.broadcast_to(spread, values.shape[:1] + batch).astype(dtype)

    budget = jnp.broadcast_to(jnp.asarray(budget, dtype), batch)
    return lanes(point), Polytope(lanes(costs), num_selected, budget, at_most)
