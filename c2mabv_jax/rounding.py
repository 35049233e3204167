"""Scheduling cloud: discretisation rounding of marginals to a set.

Every rounding here keeps the marginals exactly, P(k in S) = z_k, never selects more or fewer
arms than floor/ceil of sum z, and is negatively correlated, so that E f(S) >= F(z) for
submodular rewards (Srinivasan 2001; Chekuri, Vondrak, Zenklusen 2010). Arrays are arm first,
`[K, ...]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.array import streams
from c2mabv_jax.array.arms import arm_index, once, reduce_arms, total
from c2mabv_jax.array.xla import stored

_WHOLE = 1e-5  # two entries whose sum is this close to 1 are one unit that was split


def _snap(marginals: Array, num_arms: int) -> Array:
    """Sums of marginals carry rounding error: what is within it of 0 or 1 is meant to be it."""
    tolerance = 4 * num_arms * jnp.finfo(marginals.dtype).eps
    return jnp.where(marginals < tolerance, 0, jnp.where(marginals > 1 - tolerance, 1, marginals))


def dependent_round(key: Array, marginals: Array, num_selected: int | None = None) -> Array:
    """Round marginals to a set with dependent (pivotal) rounding.

    Args:
      key: one key, or a batch of keys `[...]`.
      marginals: z in [0, 1], `[K, ...]`.
      num_selected: N, when the marginals are known to sum to N; then exactly N arms are
        selected even where a float sum falls short of N.

    Returns:
      selected, bool `[K, ...]`, with floor(sum z) or ceil(sum z) arms.

    Vertices of the relaxed polytope have at most two fractional entries and take one uniform
    number; anything else runs the tournament of `pivotal`. Both give the same law.
    """
    marginals = _snap(jnp.clip(marginals, 0, 1), marginals.shape[0])
    uniform = streams.uniforms(key, 1, marginals.dtype)[0]
    selected, ordinary = round_vertex(uniform, marginals, num_selected)

    def tournament() -> Array:
        many = streams.uniforms(key, marginals.shape[0], marginals.dtype)
        return jnp.where(ordinary, selected, pivotal(many, marginals, num_selected))

    return jax.lax.cond(jnp.all(ordinary), lambda: selected, tournament)


def round_vertex(
    uniform: Array, marginals: Array, num_selected: int | None = None
) -> tuple[Array, Array]:
    """Round marginals with at most two fractional entries, from one uniform `[...]`.

    Returns the set `[K, ...]` and whether it applies, `[...]`: no fractional entry, one, or
    two that sum to 1, of which exactly one is selected.
    """
    num_arms = marginals.shape[0]
    index = arm_index(marginals)
    fractional = (marginals > 0) & (marginals < 1)
    mass = total(jnp.where(fractional, marginals, 0))
    number = total(fractional.astype(jnp.int32))
    first = index == reduce_arms(jnp.minimum, jnp.where(fractional, index, num_arms))
    chance = total(jnp.where(first, marginals, 0))
    takes_first = once(uniform < chance, jnp.where(uniform < 0, 2, 1).astype(marginals.dtype))
    selected = jnp.where(fractional, first == takes_first, marginals > 0.5)
    pair = (number == 2) & (jnp.abs(mass - 1) < _WHOLE)
    single = (number == 1) if num_selected is None else jnp.zeros(uniform.shape, bool)
    return selected, (number == 0) | pair | single


def pivotal(uniform: Array, marginals: Array, num_selected: int | None = None) -> Array:
    """Pivotal rounding as a tournament of duels, from uniforms `[K, ...]`.

    Gandhi, Khuller, Parthasarathy, Srinivasan 2006; Deville and Tille 1998. Neighbours duel
    level by level (K - 1 duels, then one coin for what is left of a fractional sum); after a
    duel at most one of the two is still fractional and goes on, so the depth is
    ceil(log2 K).
    """
    num_arms = marginals.shape[0]
    marginals = _snap(jnp.clip(marginals, 0, 1), num_arms)

    # A node is the one item of its subtree that is still fractional: its arm and its mass.
    index = arm_index(marginals)
    arms, mass = jnp.broadcast_to(index, marginals.shape), marginals
    selected = jnp.zeros(marginals.shape, bool)
    node = np.arange(num_arms)  # in whose subtree an arm is
    duel = 0
    while len(arms) > 1:
        pairs = len(arms) // 2
        u = uniform[duel : duel + pairs]
        duel += pairs
        a, b = arms[0 : 2 * pairs : 2], arms[1 : 2 * pairs : 2]
        pa, pb = mass[0 : 2 * pairs : 2], mass[1 : 2 * pairs : 2]
        small = pa + pb <= 1
        # sum <= 1: the winner takes it all, P(a) = pa / sum. sum > 1: one gets 1, the other
        # keeps sum - 1, P(a gets 1) = (1 - pb) / (2 - sum). Whole numbers stay put.
        gap = jnp.where(small, pa + pb, 2 - pa - pb)
        a_wins = u * gap < jnp.where(small, pa, 1 - pb)
        rest = _snap(jnp.where(small, pa + pb, pa + pb - 1), num_arms)
        decided = jnp.where(a_wins == small, b, a)
        node = np.where(node < 2 * pairs, node // 2, node - pairs)
        duelled = (node < pairs).reshape(index.shape)
        out = duelled & (index == jnp.take(decided, np.minimum(node, pairs - 1), axis=0))
        won = ~jnp.take(small, np.minimum(node, pairs - 1), axis=0)
        selected = stored(jnp.where(out, won, selected))
        arms = jnp.concatenate([jnp.where(a_wins == small, a, b), arms[2 * pairs :]])
        mass = jnp.concatenate([rest, mass[2 * pairs :]])
    last = mass[0] > 0.5 if num_selected is not None else uniform[duel] < mass[0]
    return jnp.where(index == arms[0], last, selected)
