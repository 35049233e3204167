"""Any win: boosted projected gradient ascent on the multilinear extension.

F(z) = 1 - prod_k (1 - U_k z_k) is monotone and DR-submodular, not concave: a stationary point
of F itself is only worth half the optimum. The boosted (non-oblivious) gradient

    grad G(z) = integral over s in [0, 1] of e^{s-1} grad F(s z) ds

has, for every feasible x,  grad G(z).(x - z) >= (1 - 1/e) F(x) - F(z),  so where projected
ascent along it stops, F(z) >= (1 - 1/e) max F (Zhang, Deng, Chen, Hu, Yang 2022, Stochastic
continuous submodular maximization: boosting via non-oblivious function).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from c2mabv_jax.relaxation.certificate import Solution
from c2mabv_jax.relaxation.polytope import in_polytope
from c2mabv_jax.relaxation.projected_gradient import ascend
from c2mabv_jax.rewards import REWARD_MODELS

QUADRATURE = 8  # Gauss-Legendre nodes: exact for the polynomial part up to degree 15
MAX_STEPS = 100
STEP = 48.0  # learning rate times K: F is flat, and curves the more the more arms it has
SLOPE_TOLERANCE = 1e-3
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(QUADRATURE)
NODES = tuple(float(x) for x in (_NODES + 1) / 2)
WEIGHTS = tuple(float(w) for w in _WEIGHTS / 2 * np.exp((_NODES + 1) / 2 - 1))


def boosted_gradient(values: Array, marginals: Array) -> Array:
    """grad G at z `[K, ...]` for reward bounds U `[K, ...]`, by Gauss-Legendre quadrature."""
    gradient = REWARD_MODELS["AWC"].gradient
    terms = (w * gradient(values, s * marginals) for s, w in zip(NODES, WEIGHTS, strict=True))
    return sum(terms, jnp.zeros_like(marginals))


def boosted_ascent(
    values: Array,
    costs: Array,
    num_selected: int,
    budget: ArrayLike,
    at_most: bool = True,
    start: Array | None = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = MAX_STEPS,
    tolerance: float = SLOPE_TOLERANCE,
) -> Solution:
    """Maximise F(z) = 1 - prod(1 - U_k z_k) over box, cardinality and budget, ratio 1 - 1/e.

    Args:
      values: U in [0, 1], `[K, ...]`.
      costs, num_selected, budget, at_most: the feasible set, as in `project`.
      start: first point, `[K, ...]`; the even spread N / K by default.
      optimizer: an optax transformation; sgd with learning rate 48 / K by default.
      max_steps, tolerance: as in `ascend`.

    Returns:
      A `Solution` with objective F(z) and a gap such that, by the inequality above,
      F(z) >= (1 - 1/e) max F - gap. The marginals are usually fractional in many entries.

    Example:
      >>> u, c = jnp.array([0.9, 0.5, 0.1]), jnp.array([0.8, 0.3, 0.1])
      >>> float(boosted_ascent(u, c, num_selected=2, budget=0.5).certificate.objective) > 0.5
      True
    """
    values, polytope = in_polytope(values, costs, num_selected, budget, at_most)
    if start is None:
        start = jnp.full(values.shape, num_selected / values.shape[0], values.dtype)
    return ascend(
        lambda z: REWARD_MODELS["AWC"].relaxed(values, z),
        start,
        *polytope,
        gradient=lambda z: boosted_gradient(values, z),
        optimizer=optimizer or optax.sgd(STEP / values.shape[0]),
        max_steps=max_steps,
        tolerance=tolerance,
    )
