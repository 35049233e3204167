"""Local server: keeps the confidence bounds and solves the relaxed problem.

Tier 1 of 2. User feedback comes here and never leaves; what goes to the scheduling cloud is
the relaxed vector z (and, for a cascade, the order in which to ask).
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from c2mabv_jax import confidence
from c2mabv_jax.confidence import Bounds, Radius
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import (
    Certificate,
    Solution,
    boosted_ascent,
    projected_gradient,
    solve_lp,
)
from c2mabv_jax.rewards import reward_model

Solver = Literal["exact", "projected_gradient"]
Edges = tuple[tuple[Array, Array], ...]
SOLVERS = {"exact": solve_lp, "projected_gradient": projected_gradient}
BOOSTED_STEPS = 10  # of candidate (a) per round; its certificate says what is missing


def bounds(
    problem: Problem,
    estimates: Estimates,
    t: Array,
    alpha_reward: Array,
    alpha_cost: Array,
    delta: Array,
    radius: Radius = "hoeffding",
) -> Bounds:
    """U = min(1, mean + alpha_reward w) and L = max(0, mean - alpha_cost w), `[K, ...]`.

    For "kl" the bounds are the KL confidence limits at level alpha^2 x_n, so that alpha
    scales their width as it scales the other radii.
    """
    means, counts = estimates.means(), estimates.counts
    num_arms = problem.num_arms
    if radius == "kl":
        levels = [
            alpha**2 * confidence.kl_level(n, num_arms, delta)
            for alpha, n in zip((alpha_reward, alpha_cost), counts, strict=True)
        ]
        bound = Bounds(
            confidence.kl_bound(means[0], counts[0], levels[0], upper=True),
            confidence.kl_bound(means[1], counts[1], levels[1], upper=False),
        )
        return bound
    if radius == "hoeffding":
        width = lambda n: confidence.hoeffding_radius(t, n, num_arms, delta)  # noqa: E731
    elif radius == "anytime":
        width = lambda n: confidence.anytime_radius(n, num_arms, delta)  # noqa: E731
    elif radius == "ucb1":
        width = lambda n: confidence.ucb1_radius(t, n)  # noqa: E731
    else:
        variances = estimates.variances()
        widths = [
            confidence.bernstein_radius(n, v, num_arms, delta)
            for n, v in zip(counts, variances, strict=True)
        ]
    if radius != "bernstein":
        first = width(counts[0])
        widths = [first, first if counts[1] is counts[0] else width(counts[1])]
    # 0 times an infinite radius is not a number: an arm never seen stays fully optimistic.
    scaled = [
        jnp.where(jnp.isinf(w), jnp.inf, alpha * w)
        for alpha, w in zip((alpha_reward, alpha_cost), widths, strict=True)
    ]
    return confidence.optimistic(means[0], scaled[0], means[1], scaled[1])


def of_available(bound: Bounds, available: Array | None) -> Bounds:
    """Bounds that make an absent LLM the last choice: reward 0, cost 1."""
    if available is None:
        return bound
    reward = jnp.where(available, bound.reward_ucb, 0)
    return Bounds(reward, jnp.where(available, bound.cost_lcb, 1))


def relax(
    problem: Problem, bound: Bounds, edges: Edges | None = None, solver: Solver = "exact"
) -> tuple[Solution, Edges]:
    """Solve the relaxed problem at the bounds.

    Each reward model names one or two linear objectives; each is solved and the solution
    with the largest relaxed reward is kept (ties: the first). `edges` are the warm starts of
    the last round, one per objective; the new ones are returned.

    Any win has the two linear candidates U and -ln(1 - U), of which the first alone has ratio
    1 - 1/e; with "projected_gradient" a third joins them, boosted ascent on the multilinear
    extension (same ratio, interior marginals, about a hundred times slower). The certificate
    is that of the candidate kept, and speaks about that candidate's own problem.
    """
    model = reward_model(problem)
    # All objectives are solved at once, side by side behind the arm axis.
    solution = SOLVERS[solver](
        jnp.stack([weights(bound.reward_ucb) for weights in model.lp_weights], axis=1),
        bound.cost_lcb[:, None],
        problem.num_selected,
        problem.budget,
        at_most=problem.at_most,
        warm=None if edges is None else jax.tree.map(lambda *e: jnp.stack(e, axis=1), *edges),
    )
    solutions = [_column(solution, index) for index in range(len(model.lp_weights))]
    edges = tuple(solution.edge for solution in solutions)
    if problem.reward_model == "AWC" and solver == "projected_gradient":
        solutions.append(
            boosted_ascent(
                bound.reward_ucb,
                bound.cost_lcb,
                problem.num_selected,
                problem.budget,
                at_most=problem.at_most,
                max_steps=BOOSTED_STEPS,
            )
        )
    best = solutions[0]
    if len(solutions) > 1:
        value = model.relaxed(bound.reward_ucb, best.marginals)
        for other in solutions[1:]:
            other_value = model.relaxed(bound.reward_ucb, other.marginals)
            better = other_value > value
            best = _pick(better, other, best)
            value = jnp.where(better, other_value, value)
    return best, edges


def _column(solutions: Solution, index: int) -> Solution:
    """One of several solutions `[K, M, ...]`, with entries `[K, ...]`."""
    marginals, certificate, multiplier, edge = solutions
    return Solution(
        marginals[:, index],
        Certificate(*(entry[index] for entry in certificate)),
        multiplier[index],
        (edge[0][:, index], edge[1][:, index]),
    )


def _pick(which: Array, new: Solution, old: Solution) -> Solution:
    """Column-wise choice between two solutions."""
    certificate = Certificate(
        *(jnp.where(which, a, b) for a, b in zip(new.certificate, old.certificate, strict=True))
    )
    return Solution(
        jnp.where(which, new.marginals, old.marginals),
        certificate,
        jnp.where(which, new.multiplier, old.multiplier),
        old.edge,
    )


def cascade_priority(problem: Problem, estimates: Estimates, bound: Bounds | None) -> Array | None:
    """In which order a cascade asks: ascending priority `[K, ...]`; None for given order."""
    if not problem.cascading or problem.cascade_order == "given":
        return None
    if problem.cascade_order == "cheapest" or bound is None:
        return estimates.means()[1]
    return -bound.reward_ucb
