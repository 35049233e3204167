"""Rounding: exact laws by enumeration of the tree, cardinality in float32, correlations.

Every probability inside a duel is a ratio j / k with k <= m when the marginals are multiples of
1 / m. So a lattice of uniforms with lcm(1..m) cells in each direction meets every branch of the
tree in proportion to its probability, and the laws below are exact: nothing in them is random.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from c2mabv_jax import rounding
from c2mabv_jax.array import streams

GRIDS = [(4, 4), (5, 3)]  # arms, parts of a unit
NOISE = 1e-6  # of float32 marginals


def sets(num_arms):
    """All sets as 0/1 columns by binary code, `[K, 2^K]`."""
    return (np.arange(2**num_arms) >> np.arange(num_arms)[:, None]) & 1


def grid(num_arms, parts, whole):
    """All marginals in multiples of 1 / parts whose sum is whole (or is not), `[K, Z]`."""
    z = np.array(list(itertools.product(range(parts + 1), repeat=num_arms))).T
    return z[:, (z.sum(0) % parts == 0) == whole] / parts


@functools.cache
def law(num_arms, parts, whole):
    """Marginals `[K, Z]` and the exact law of the rounded set, `[2^K, Z]`."""
    z = grid(num_arms, parts, whole)
    cells = int(np.lcm.reduce(np.arange(1, parts + 1)))
    used = num_arms - 1 if whole else num_arms  # the last coin is for what a sum leaves over
    middles = (np.arange(cells) + 0.5) / cells
    uniform = np.full((num_arms, cells**used), 0.5)
    uniform[:used] = np.array(list(itertools.product(middles, repeat=used))).T

    @jax.jit
    def select(z):
        each = jnp.broadcast_to(z[:, None], uniform.shape)
        return rounding.pivotal(jnp.asarray(uniform, each.dtype), each)

    columns = [np.asarray(select(jnp.asarray(column, jnp.float32))) for column in z.T]
    codes = [(1 << np.arange(num_arms)) @ column for column in columns]
    counts = np.array([np.bincount(code, minlength=2**num_arms) for code in codes])
    return z, counts.T / uniform.shape[1]


def covariances(z, probability):
    """Cov(X_i, X_j) for every pair, `[K, K, Z]`."""
    members = sets(len(z))
    both = np.einsum("is,js,sz->ijz", members, members, probability)
    return both - z[:, None] * z[None]


@pytest.mark.smoke
@pytest.mark.parametrize("num_arms, parts", GRIDS)
@pytest.mark.parametrize("whole", [True, False])
def test_marginals_and_cardinality_are_exact(num_arms, parts, whole):
    z, probability = law(num_arms, parts, whole)
    members = sets(num_arms)
    np.testing.assert_allclose(members @ probability, z, atol=NOISE)
    size, total = members.sum(0)[:, None], z.sum(0)
    possible = (size >= np.floor(total + NOISE)) & (size <= np.ceil(total - NOISE))
    assert (probability[~possible] == 0).all()


@pytest.mark.parametrize("num_arms, parts", GRIDS)
@pytest.mark.parametrize("whole", [True, False])
def test_pairs_are_never_positively_correlated(num_arms, parts, whole):
    z, probability = law(num_arms, parts, whole)
    pair = ~np.eye(num_arms, dtype=bool)
    assert covariances(z, probability)[pair].max() <= NOISE


@pytest.mark.parametrize("num_arms, parts", GRIDS)
def test_any_win_gains_from_rounding(num_arms, parts):
    """E f(S) >= F(z) for the submodular any-win reward, at random rewards."""
    z, probability = law(num_arms, parts, True)
    rng = np.random.default_rng(2)
    for values in rng.random((20, num_arms)) ** 0.5:
        reward = 1 - np.prod(np.where(sets(num_arms), 1 - values[:, None], 1), axis=0)
        relaxed = 1 - np.prod(1 - values[:, None] * z, axis=0)
        assert (reward @ probability >= relaxed - NOISE).all()


def test_closed_forms():
    # One of three: a plain draw, covariances -z_i z_j.
    z, probability = law(4, 4, True)
    where = lambda *point: np.flatnonzero((point == z.T).all(1))[0]  # noqa: E731
    one = where(0.25, 0.25, 0.5, 0)
    np.testing.assert_allclose(probability[[1, 2, 4], one], [0.25, 0.25, 0.5], atol=NOISE)
    # Neighbours duel first: of four halves, one of the first two and one of the last two.
    halves = where(0.5, 0.5, 0.5, 0.5)
    np.testing.assert_allclose(probability[[0b0011, 0b1100], halves], 0, atol=NOISE)
    np.testing.assert_allclose(
        probability[[0b0101, 0b0110, 0b1001, 0b1010], halves], 0.25, atol=NOISE
    )


def systematic(uniform, z):
    """Madow's systematic sampling: exact marginals and size, positive correlations."""
    ends = np.concatenate([np.zeros_like(z[:1]), np.cumsum(z, axis=0)])
    return np.diff(np.floor(ends - uniform), axis=0).astype(int)


def test_these_checks_find_the_wrong_schemes():
    """Negative controls: independent coins miss the size, systematic sampling correlates."""
    z = np.full((4, 1), 0.5)
    values = np.array([0.9, 0.0, 0.9, 0.0])
    reward = 1 - np.prod(np.where(sets(4), 1 - values[:, None], 1), axis=0)
    relaxed = 1 - np.prod(1 - values * 0.5)

    coins = np.full((16, 1), 1 / 16)
    np.testing.assert_allclose(sets(4) @ coins, z)
    assert (coins[sets(4).sum(0) != 2] > 0).any()

    drawn = systematic((np.arange(400) + 0.5) / 400, np.repeat(z, 400, axis=1))
    code = (1 << np.arange(4)) @ drawn
    law_of_it = np.bincount(code, minlength=16)[:, None] / 400
    np.testing.assert_allclose(sets(4) @ law_of_it, z, atol=1e-9)
    assert covariances(z, law_of_it)[0, 2, 0] > 0.2
    assert (reward @ law_of_it)[0] < relaxed - 0.1


def test_vertex_rounding_has_the_law_of_the_tree():
    """At most two fractional entries: one uniform, P(first) = its marginal, never both."""
    cells = 1000
    uniform = jnp.asarray((np.arange(cells) + 0.5) / cells, jnp.float32)
    select = jax.jit(rounding.round_vertex, static_argnames="num_selected")
    for chance in (0.001, 0.25, 0.7, 0.999):
        z = jnp.asarray([1.0, chance, 0.0, 1 - chance], jnp.float32)
        selected, ordinary = select(
            uniform, jnp.broadcast_to(z[:, None], (4, cells)), num_selected=2
        )
        assert np.asarray(ordinary).all()
        np.testing.assert_array_equal(np.asarray(selected).sum(0), 2)
        np.testing.assert_allclose(np.asarray(selected).mean(1), z, atol=1e-3)
    # A single fractional entry is a coin where sizes may differ, and is refused where not.
    z = jnp.broadcast_to(jnp.asarray([1.0, 0.3, 0.0, 0.0])[:, None], (4, cells))
    selected, ordinary = select(uniform, z)
    np.testing.assert_allclose(np.asarray(selected).mean(1), z[:, 0], atol=1e-3)
    assert np.asarray(ordinary).all()
    assert not np.asarray(select(uniform, z, num_selected=1)[1]).any()


def test_two_fractional_entries_that_are_no_pair_go_to_the_tree():
    """Their sum is .7 or 1.3: neither, one or both of them are selected."""
    z = jnp.asarray([[1.0, 1.0], [0.3, 0.8], [0.0, 0.0], [0.4, 0.5]], jnp.float32)
    _, ordinary = rounding.round_vertex(jnp.asarray([0.5, 0.5]), z)
    assert not np.asarray(ordinary).any()
    # 2e4 draws each; 4 marginals at 5 standard errors: false alarm below 3e-6.
    batch = 20_000
    keys = streams.run_keys(jax.random.key(12), jnp.arange(batch))
    for column in np.asarray(z).T:
        spread = jnp.broadcast_to(jnp.asarray(column)[:, None], (4, batch))
        chosen = np.asarray(rounding.dependent_round(keys, spread))
        error = 5 * np.sqrt(column * (1 - column) / batch)
        assert (np.abs(chosen.mean(axis=1) - column) <= error + 1e-6).all()


@pytest.mark.parametrize("num_arms, num_selected", [(9, 4), (17, 5)])
def test_cardinality_is_never_wrong_in_float32(num_arms, num_selected):
    """Marginals whose float32 sum falls short of N, or overshoots, by up to 1e-5; edge draws."""
    rng = np.random.default_rng(7)
    batch = 20_000
    z = rng.dirichlet(np.full(num_arms, 0.7), batch).T * num_selected
    for _ in range(200):  # spread what exceeds 1 over the rest
        over = np.maximum(z - 1, 0).sum(0)
        z = np.minimum(z, 1)
        room = 1 - z
        z = z + room * over / np.maximum(room.sum(0), 1e-12)
    vertices = np.zeros((num_arms, batch // 4))
    vertices[: num_selected - 1] = 1
    vertices[num_selected - 1] = rng.random(batch // 4)
    vertices[num_selected] = 1 - vertices[num_selected - 1]
    z[:, : batch // 4] = vertices
    z = (z * (1 + rng.uniform(-2e-6, 2e-6, batch))).astype(np.float32)
    error = z.astype(np.float64).sum(0) - num_selected
    assert error.min() < -2e-6 < 2e-6 < error.max()

    drawn = rng.random((num_arms, batch))
    drawn[rng.random(drawn.shape) < 0.2] = 0
    drawn[rng.random(drawn.shape) < 0.2] = 1 - 2.0**-24
    drawn = jnp.asarray(drawn, jnp.float32)
    selected = jax.jit(rounding.pivotal, static_argnums=2)(drawn, jnp.asarray(z), num_selected)
    np.testing.assert_array_equal(np.asarray(selected).sum(0), num_selected)

    keys = streams.run_keys(jax.random.key(3), jnp.arange(batch))
    selected = jax.jit(rounding.dependent_round, static_argnums=2)(
        keys, jnp.asarray(z), num_selected
    )
    np.testing.assert_array_equal(np.asarray(selected).sum(0), num_selected)
    chosen, never = np.asarray(selected), z < 1e-6
    assert not chosen[never].any()


def test_dependent_round_keeps_marginals_and_pairs():
    """2e5 draws at one interior z. False alarm at most 1e-6: normal limit of a binomial, with
    Bonferroni over 6 marginals (two-sided) and 15 pair covariances (one-sided)."""
    z = np.array([0.15, 0.9, 0.35, 0.6, 0.55, 0.45], np.float32)
    batch, deviation = 200_000, 5.6  # normal quantile of 1e-6 / 27
    keys = streams.run_keys(jax.random.key(11), jnp.arange(batch))
    spread = jnp.broadcast_to(jnp.asarray(z)[:, None], (6, batch))
    chosen = np.asarray(jax.jit(rounding.dependent_round, static_argnums=2)(keys, spread, 3))
    np.testing.assert_array_equal(chosen.sum(0), 3)
    error = deviation * np.sqrt(z * (1 - z) / batch)
    assert (np.abs(chosen.mean(1) - z) <= error).all()
    for i, j in itertools.combinations(range(6), 2):
        product = (chosen[i] - z[i]) * (chosen[j] - z[j])
        assert product.mean() <= deviation * product.std() / np.sqrt(batch)
    # Negative control: marginals that are off by 1 % of a unit are found out.
    assert (np.abs(chosen.mean(1) - (z + 0.01)) > error).all()
