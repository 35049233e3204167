"""Transcripts audited: every round of some runs, recomputed on the host in float64.

Bounds from the outcomes seen, optima by the verifier's own dual and by enumeration, orders,
bills and expected rewards by their definitions. Nothing of the package is trusted, so that each
mistake of a formula has a claim that names it; all but `cascade-length` are free of sampling
error.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.two_tier import TwoTier
from c2mabv_jax.verification import dual, ledger
from c2mabv_jax.verification.claim import Claim, Comparison
from c2mabv_jax.verification.instances import CATALOGUE, Instance
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.possible import legal_sets, set_reward
from c2mabv_jax.verification.statistic import Exact, Mean
from c2mabv_jax.verification.transcript import Transcript

HORIZON, RUNS = 256, 64
SMALLEST = 1e-6  # rewards and failures are clipped here before a logarithm
MARGIN = 1e-3  # an optimum is called unique when the next set is worth this much less
RATIO = 1 - np.exp(-1)
PLAYED = C2MABV(alpha_reward=0.3, alpha_cost=0.1)  # bounds leave 1 and 0 soon
THREE = ("dear-6", "any-win-3", "all-in-4")
DELAYS = (1, 5)


def tolerance() -> float:
    """Rounding error of a few sums of numbers below 10."""
    return 128 * float(jnp.finfo(jnp.result_type(float)).eps)


def variant(name: str, **options: str) -> Instance:
    """An instance under another rule of feedback, billing or order."""
    instance = CATALOGUE[name]
    label = ", ".join([name, *options.values()])
    return dataclasses.replace(instance, name=label, problem=instance.problem.replace(**options))


# Every order and both rules of billing, of both kinds of cascade together.
_QUERIED = variant("any-win-3", cascade_order="highest-ucb", billing="queried")
CASCADES = (
    CATALOGUE["any-win-3"],
    _QUERIED,
    variant("all-in-4", feedback="cascading", cascade_order="given"),
    variant("all-in-4", feedback="cascading", billing="queried"),
)


def _three() -> tuple[Instance, ...]:
    return tuple(CATALOGUE[name] for name in THREE)


def written(laboratory: Laboratory, instance: Instance, policy: object = PLAYED) -> Transcript:
    """The transcript of an instance that audits share."""
    return laboratory.transcript(instance, policy, HORIZON, RUNS)


def among(laboratory: Laboratory, instances: tuple[Instance, ...]) -> Iterator[Instance]:
    """Those of a claim's instances that are to be used (named by what they are variants of)."""
    for instance in instances:
        if laboratory.among([instance.name.split(",")[0]]):
            yield instance


def side_by_side(
    laboratory: Laboratory, instances: Iterable[Instance], policies: Sequence[object] = (PLAYED,)
) -> None:
    """Write transcripts on all cores; each compiles a program of its own."""
    pairs = itertools.product(instances, policies)
    laboratory.together([functools.partial(written, laboratory, *pair) for pair in pairs])


def rows(entry: np.ndarray) -> np.ndarray:
    """Rounds of all runs below each other, `[runs T, K]`."""
    return entry.reshape(-1, entry.shape[-1])


# Bounds ------------------------------------------------------------------------------------


def _known(seen: Transcript, **options: float) -> ledger.Known:
    return ledger.known(seen.observed, seen.reward, seen.billed, seen.cost, **options)  # type: ignore[arg-type]


def _off(seen: Transcript, expected: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest difference of a bound from what it ought to be."""
    upper, lower = expected
    return float(max(np.abs(seen.reward_ucb - upper).max(), np.abs(seen.cost_lcb - lower).max()))


def _bounds(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    chosen = among(laboratory, (*_three(), _QUERIED))
    side_by_side(laboratory, chosen, (PLAYED, C2MABV()))
    for instance in among(laboratory, (*_three(), _QUERIED)):
        for policy in (PLAYED, C2MABV()):
            seen = written(laboratory, instance, policy)
            expected = ledger.bounds(
                _known(seen),
                float(policy.alpha_reward),
                float(policy.alpha_cost),
                float(policy.delta),
            )
            what = f"{instance.name}, alpha = ({policy.alpha_reward:g}, {policy.alpha_cost:g})"
            comparisons.append(_nothing(f"{what}: largest error", _off(seen, expected)))
    return comparisons


def _delayed(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, (CATALOGUE["any-win-3"],)):
        for delay in DELAYS:
            late = TwoTier(local=PLAYED, delay=delay, max_delay=max(DELAYS))
            seen = written(laboratory, instance, late)
            expected = ledger.bounds(_known(seen, delay=delay), 0.3, 0.1, float(PLAYED.delta))
            what = f"{instance.name}, feedback {delay} rounds late"
            comparisons.append(_nothing(f"{what}: largest error", _off(seen, expected)))
    return comparisons


def _nothing(what: str, error: float) -> Comparison:
    return Comparison(what, Exact(error, RUNS), ceiling=tolerance())


# Relaxed problems --------------------------------------------------------------------------


def weights(reward_model: str, upper: np.ndarray) -> list[np.ndarray]:
    """The linear objectives of a reward model at the bounds U."""
    if reward_model == "SUC":
        return [upper]
    if reward_model == "AIC":
        return [np.log(np.maximum(upper, SMALLEST))]
    return [upper, -np.log(np.maximum(1 - upper, SMALLEST))]


def _feasible(instance: Instance, lower: np.ndarray) -> np.ndarray:
    """Rounds whose relaxed problem has a point, clear of rounding error."""
    problem = instance.problem
    least = 0.0 if problem.at_most else np.sort(lower, axis=1)[:, : problem.num_selected].sum(1)
    return np.broadcast_to(least <= float(problem.budget) - MARGIN, len(lower))


def shortfall(instance: Instance, seen: Transcript) -> np.ndarray:
    """By how much z_t misses the best value, over its rounding error; the best objective's.

    `[rounds]`: at most 1 where z_t solves the relaxed problem of one of its objectives.
    """
    problem, budget = instance.problem, float(instance.problem.budget)
    upper, lower, z = (rows(x) for x in (seen.reward_ucb, seen.cost_lcb, seen.marginals))
    keep = _feasible(instance, lower)
    upper, lower, z = upper[keep], lower[keep], z[keep]
    outside = np.maximum(np.maximum(-z, z - 1).max(1), (lower * z).sum(1) - budget)
    off = z.sum(1) - problem.num_selected
    outside = np.maximum(outside, off if problem.at_most else np.abs(off)) / tolerance()
    missed = []
    for w in weights(problem.reward_model, upper):
        value, price = dual.solve(w, lower, problem.num_selected, budget, problem.at_most)
        scale = problem.num_selected * np.abs(w).max(1) + price * (1 + budget)
        missed.append((value - (w * z).sum(1)) / (tolerance() * (1 + scale)))
    return np.maximum(np.min(missed, axis=0), outside)


def _optimal(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, _three()):
        for policy in (PLAYED, C2MABV()):
            worst = shortfall(instance, written(laboratory, instance, policy))
            comparisons.append(
                Comparison(
                    f"{instance.name}, alpha = {policy.alpha_reward:g}, {len(worst):,} rounds: "
                    "dual gap / rounding error",
                    Exact(float(worst.max()), RUNS),
                    ceiling=1,
                )
            )
    return comparisons


def _sets(instance: Instance, upper: np.ndarray, lower: np.ndarray):
    """r(S; U), c(S; L) of every legal set, `[rounds, sets]`, and the sets as 0/1 rows."""
    problem = instance.problem
    chosen = legal_sets(problem.num_arms, problem.num_selected, problem.at_most)
    table = np.array([[k in s for k in range(problem.num_arms)] for s in chosen], float)
    values = np.stack(
        [_reward_of_rows(problem.reward_model, upper, row.astype(bool)) for row in table], axis=1
    )
    return values, lower @ table.T, table


def _reward_of_rows(reward_model: str, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    if reward_model == "AIC":
        return values[:, chosen].prod(1)
    if reward_model == "SUC":
        return values[:, chosen].sum(1)
    return 1 - (1 - values[:, chosen]).prod(1)


def relaxed_value(reward_model: str, upper: np.ndarray, z: np.ndarray) -> np.ndarray:
    """F(z): multilinear for any win, exp(z.ln U) for all in, `[rounds]`."""
    if reward_model == "AIC":
        return np.exp((z * np.log(np.maximum(upper, SMALLEST))).sum(1))
    return 1 - (1 - upper * z).prod(1) if reward_model == "AWC" else (upper * z).sum(1)


def _better(laboratory: Laboratory) -> list[Comparison]:
    """Any win: F(z_t) is not below F of any candidate that is a unique optimum."""
    comparisons = []
    for instance in among(laboratory, (CATALOGUE["any-win-3"], _QUERIED)):
        problem, budget = instance.problem, float(instance.problem.budget)
        seen = written(laboratory, instance)
        upper, lower, z = (rows(x) for x in (seen.reward_ucb, seen.cost_lcb, seen.marginals))
        _, costs, table = _sets(instance, upper, lower)
        value, worst = relaxed_value("AWC", upper, z), 0.0
        decided = 0
        for w in weights("AWC", upper):
            price = dual.solve(w, lower, problem.num_selected, budget, problem.at_most).price
            shares, unique = dual.mixture(w @ table.T, costs, price, budget, MARGIN)
            missed = relaxed_value("AWC", upper, shares @ table) - value
            decided += int(unique.sum())
            worst = max(worst, float(missed[unique].max(initial=0.0)))
        comparisons += [
            Comparison(
                f"{instance.name}: F of a candidate - F(z), largest of {decided:,}",
                Exact(worst, RUNS),
                ceiling=tolerance() / MARGIN**0.5,
            ),
            Comparison(
                f"{instance.name}: share of candidates that are unique optima",
                Exact(decided / (2 * len(upper)), RUNS),
                floor=0.05,
            ),
        ]
    return comparisons


def _ratio(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, (CATALOGUE["any-win-3"], CATALOGUE["all-in-4"])):
        problem, budget = instance.problem, float(instance.problem.budget)
        for policy in (PLAYED, C2MABV()):
            seen = written(laboratory, instance, policy)
            upper, lower, z = (rows(x) for x in (seen.reward_ucb, seen.cost_lcb, seen.marginals))
            keep = _feasible(instance, lower)
            upper, lower, z = upper[keep], lower[keep], z[keep]
            values, costs, _ = _sets(instance, upper, lower)
            if problem.reward_model == "AWC":
                best, least, mark = dual.best_mixture(values, costs, budget), RATIO, "mixture"
            else:
                best = np.where(costs <= budget, values, -np.inf).max(1)
                least, mark = 1.0, "fixed set"
            some = np.isfinite(best) & (best > MARGIN)
            ratio = relaxed_value(problem.reward_model, upper, z)[some] / best[some]
            comparisons.append(
                Comparison(
                    f"{instance.name}, alpha = {policy.alpha_reward:g}: least F(z) / best {mark} "
                    f"(mean {ratio.mean():.3f})",
                    Exact(float(ratio.min()), RUNS),
                    floor=least - tolerance(),
                )
            )
    return comparisons


# Cascades ----------------------------------------------------------------------------------


def _places(instance: Instance, seen: Transcript) -> np.ndarray:
    """Place of every selected arm, by the verifier's own priority, `[runs, T, K]`."""
    order, known = instance.problem.cascade_order, _known(seen)
    priority = {
        "given": np.broadcast_to(np.arange(seen.selected.shape[2]), seen.selected.shape),
        "cheapest": ledger.means(known.paid, known.billed),
        "highest-ucb": -seen.reward_ucb,
    }[order]
    return ledger.places(priority.astype(float), seen.selected)


def _order(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    side_by_side(laboratory, among(laboratory, CASCADES))
    for instance in among(laboratory, CASCADES):
        seen = written(laboratory, instance)
        place = _places(instance, seen)
        stops = 1 if instance.problem.reward_model == "AWC" else 0
        length = seen.observed.sum(-1)
        prefix = (seen.observed == (place < length[..., None])).all(-1)
        ends = seen.observed & (seen.reward == stops)
        last = (ends & (place == length[..., None] - 1)).any(-1)
        whole = length == seen.selected.sum(-1)
        right = prefix & (ends.sum(-1) == last) & (last | whole)
        comparisons.append(
            Comparison(
                f"{instance.name}: rounds that were not asked in order up to the stop",
                Exact(float((~right).sum()), RUNS),
                0,
                0,
            )
        )
    return comparisons


def _length(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, CASCADES):
        seen = written(laboratory, instance)
        stops = 1 if instance.problem.reward_model == "AWC" else 0
        mean = np.asarray(instance.environment.mean_reward, float)
        expected = ledger.expected_length(mean, _places(instance, seen), stops)
        comparisons.append(
            Comparison(
                f"{instance.name}: |O_t| - closed form, E|O| = {expected.mean():.3f}",
                Mean((seen.observed.sum(-1) - expected).mean(1)),
                0,
                0,
                resolution=0.05,
            )
        )
    return comparisons


# Accounts ----------------------------------------------------------------------------------


def _billing(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, (CATALOGUE["dear-6"], *CASCADES)):
        seen = written(laboratory, instance)
        queried = instance.problem.billing == "queried"
        due = seen.observed if queried else seen.selected
        wrong = (seen.billed != due).any(-1)
        off = np.abs(np.where(due, seen.cost, 0).sum(-1) - seen.spent)
        comparisons += [
            Comparison(
                f"{instance.name}: rounds billed wrongly", Exact(float(wrong.sum()), RUNS), 0, 0
            ),
            _nothing(f"{instance.name}: largest |charged - sum of bills|", float(off.max())),
        ]
    return comparisons


def _expected(laboratory: Laboratory) -> list[Comparison]:
    comparisons = []
    for instance in among(laboratory, _three()):
        seen, problem = written(laboratory, instance), instance.problem
        mean = np.asarray(instance.environment.mean_reward, float)
        value = {
            chosen: set_reward(problem.reward_model, mean, chosen)
            for chosen in legal_sets(problem.num_arms, problem.num_selected, problem.at_most)
        }
        played = np.array(
            [value[tuple(np.flatnonzero(chosen))] for chosen in rows(seen.selected)]
        ).reshape(seen.expected.shape)
        comparisons.append(
            _nothing(
                f"{instance.name}: largest |r(S_t) - by enumeration|",
                float(np.abs(seen.expected - played).max()),
            )
        )
    return comparisons


EVERY_ROUND = "the worst of every round, without sampling error"
SHORT = f"{RUNS} runs of {HORIZON} rounds, written down and recomputed on the host in float64"
NONE = ("none: every round",)

CLAIMS = (
    Claim(
        name="bounds-as-defined",
        statement="In every round U = min(1, mean + alpha sqrt(ell_t / (2 n))) and "
        "L = max(0, mean - alpha sqrt(ell_t / (2 m))) with ell_t = ln(2 pi^2 K t^3 / (3 delta)) "
        "and n, m the observations and bills before round t",
        assumptions=NONE,
        instances=(*THREE, _QUERIED.name),
        statistic="largest difference from the formula",
        test=f"{EVERY_ROUND}; {SHORT}",
        power="K or a round missing in the logarithm, a clip, a count or a late feedback moves a "
        "bound by hundredths; rounding by 1e-5",
        measure=_bounds,
        brief=True,
        source="THEORY 1.1",
    ),
    Claim(
        name="delayed-feedback",
        statement="With feedback d rounds late the learner's state before round t is that of the "
        "feedback of rounds 1 .. t - 1 - d, no more and no less",
        assumptions=NONE,
        instances=("any-win-3",),
        statistic="largest difference of the bounds from those of the delayed feedback",
        test=f"{EVERY_ROUND}; d in {DELAYS}",
        power="one round earlier or later moves a bound by hundredths",
        measure=_delayed,
        brief=True,
    ),
    Claim(
        name="relaxed-optimum",
        statement="z_t is feasible and solves a linear objective of the reward model (U; ln U for "
        "all-in; U or -ln(1 - U) for any-win) at the bounds",
        assumptions=("rounds with a feasible point",),
        instances=THREE,
        statistic="the verifier's own dual minus the value of z_t, over its rounding error",
        test=EVERY_ROUND,
        power="rounding error is about 1e-5: z shrunk by a thousandth is seen",
        measure=_optimal,
        brief=True,
        source="linear programming duality; the solver's certificate is not used",
    ),
    Claim(
        name="better-candidate",
        statement="Any win: of the two linear candidates the one with the larger multilinear "
        "value F is kept",
        assumptions=("rounds in which a candidate is the only optimum of its objective",),
        instances=("any-win-3", _QUERIED.name),
        statistic="largest F(candidate) - F(z_t)",
        test=EVERY_ROUND,
        power="every round in which the candidates differ",
        measure=_better,
        brief=True,
    ),
    Claim(
        name="relaxed-ratio",
        statement="F(z_t) >= (1 - 1/e) x the best mixture of sets (any-win), and >= the best "
        "fixed set (all-in), both at the bounds U_t, L_t",
        assumptions=("rounds with a feasible point",),
        instances=("any-win-3", "all-in-4"),
        statistic="least ratio; the benchmark by enumeration",
        test=EVERY_ROUND,
        power="the measured ratio is shown",
        measure=_ratio,
        brief=True,
        source="THEORY 4.3, 4.4",
    ),
    Claim(
        name="cascade-order",
        statement="A cascade asks the selected arms in its order up to and including the first "
        "success (any-win) or failure (all-in)",
        assumptions=("Bernoulli rewards",),
        instances=tuple(instance.name for instance in CASCADES),
        statistic="rounds that differ from the verifier's own order and stop",
        test=EVERY_ROUND,
        power="one round is enough",
        measure=_order,
        brief=True,
    ),
    Claim(
        name="cascade-length",
        statement="E |O_t| = sum over places of the probability that no earlier arm stopped, "
        "given the set and the order",
        assumptions=("Bernoulli rewards, independent across arms",),
        instances=tuple(instance.name for instance in CASCADES),
        statistic="mean over runs of |O_t| minus its closed form",
        test="t interval holds 0, and is narrow",
        power="half intervals of about .02; a reversed order changes E|O| by .1 to .3",
        measure=_length,
        brief=True,
    ),
    Claim(
        name="billing",
        statement="Every round is charged the costs of the arms that its rule bills: all of S_t, "
        "or the queried O_t",
        assumptions=NONE,
        instances=("dear-6", *(instance.name for instance in CASCADES)),
        statistic="rounds billed wrongly; largest difference of charge and sum",
        test=EVERY_ROUND,
        power="one round is enough",
        measure=_billing,
        brief=True,
    ),
    Claim(
        name="expected-reward",
        statement="The expected reward accounted for is r(S_t; mu) of the set that was selected",
        assumptions=NONE,
        instances=THREE,
        statistic="largest difference from the definition, by enumeration",
        test=EVERY_ROUND,
        power="one round is enough",
        measure=_expected,
        brief=True,
    ),
)
