"""Negative controls: systems broken on purpose, which the claims must contradict.

A verifier that lets these pass proves nothing. Each control is a variant of one piece of the
package, put to the same claims, at the same error level, as the system itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax import confidence
from c2mabv_jax.array import streams
from c2mabv_jax.array.arms import arm_index
from c2mabv_jax.confidence import Bounds
from c2mabv_jax.engine.round import expected_reward
from c2mabv_jax.environments.synthetic import Synthetic
from c2mabv_jax.policies.base import Decision, Feedback, register
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.learning import Learned
from c2mabv_jax.policies.two_tier import TwoTier
from c2mabv_jax.policies.typed import TypedC2MABV, TypedState
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import solve_lp, top_n
from c2mabv_jax.rewards import reward_model
from c2mabv_jax.verification.laboratory import System


class Control(NamedTuple):
    """A broken system and the claims that it faces; every one of them must be contradicted.

    Attributes:
      name: for people and reports.
      what: what is broken.
      system: the variant.
      faces: names of claims.
      on: the instances (and memories) used, of those that the claims name; empty where a claim
        has none.
      sizes: of the experiments, where `run.enough` is not: fields of a preset.
    """

    name: str
    what: str
    system: System
    faces: tuple[str, ...]
    on: tuple[str, ...]
    sizes: dict[str, int] = {}  # noqa: RUF012 (read only)


def _as(kind: type[C2MABV]) -> Callable[[C2MABV], C2MABV]:
    """The same parameters under a broken policy."""

    def convert(policy: C2MABV) -> C2MABV:
        return kind(**{f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)})

    return convert


@register
@dataclasses.dataclass(frozen=True)
class CostBoundSwapped(C2MABV):
    """Costs are judged by their upper bound."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        width = _width(self, problem, state, state.estimates.counts[1])
        _, mean = state.estimates.means()
        upper = jnp.minimum(1, mean + self.alpha_cost * width)
        return super().bounds(problem, state)._replace(cost_lcb=upper)


@register
@dataclasses.dataclass(frozen=True)
class RewardBoundSwapped(C2MABV):
    """Rewards are judged by their lower bound."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        width = _width(self, problem, state, state.estimates.counts[0])
        mean, _ = state.estimates.means()
        lower = jnp.maximum(0, mean - self.alpha_reward * width)
        return super().bounds(problem, state)._replace(reward_ucb=lower)


@register
@dataclasses.dataclass(frozen=True)
class NoLogarithm(C2MABV):
    """The radius is sqrt(1 / (2 n)): the logarithm is forgotten."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        return _bounds(self, state, lambda n: jnp.where(n > 0, (2 * jnp.maximum(n, 1)) ** -0.5, 2))


@register
@dataclasses.dataclass(frozen=True)
class OneTooMany(C2MABV):
    """The radius counts the round to come as if it had been observed."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        def width(count: Array) -> Array:
            return confidence.hoeffding_radius(state.round, count + 1, problem.num_arms, self.delta)

        return _bounds(self, state, width)


@register
@dataclasses.dataclass(frozen=True)
class CountsTwice(C2MABV):
    """The first observation of every arm is counted twice."""

    def update(
        self, problem: Problem, state: Learned, decision: Decision, feedback: Feedback
    ) -> Learned:
        after = super().update(problem, state, decision, feedback)
        first = (state.estimates.count == 0) & feedback.observed
        estimates = after.estimates._replace(count=after.estimates.count + first)
        return after._replace(estimates=estimates)


@register
@dataclasses.dataclass(frozen=True)
class NoArmsInLogarithm(C2MABV):
    """K is missing from ell_t."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        return _bounds(
            self, state, lambda n: confidence.hoeffding_radius(state.round, n, 1, self.delta)
        )


@register
@dataclasses.dataclass(frozen=True)
class LastRoundsLogarithm(C2MABV):
    """ell_(t-1) instead of ell_t."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        t = jnp.maximum(state.round - 1, 1)
        return _bounds(
            self,
            state,
            lambda n: confidence.hoeffding_radius(t, n, problem.num_arms, self.delta),
        )


@register
@dataclasses.dataclass(frozen=True)
class CostBelowZero(C2MABV):
    """The lower bound of the cost is not cut at 0."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        count, mean = state.estimates.counts[1], state.estimates.means()[1]
        width = self.alpha_cost * _width(self, problem, state, count)
        bound = super().bounds(problem, state)
        return bound._replace(cost_lcb=jnp.where(count > 0, mean - width, bound.cost_lcb))


@register
@dataclasses.dataclass(frozen=True)
class DiscountFloored(C2MABV):
    """Discounted counts below 1 are raised to 1, so that a forgotten arm's width stops growing."""

    def bounds(self, problem: Problem, state: Learned) -> Bounds:
        if self.discount is None:
            return super().bounds(problem, state)
        sums, t = state.estimates.remembered(), jnp.minimum(state.round, 1 / (1 - self.discount))
        widths = [
            confidence.hoeffding_radius(t, jnp.maximum(n, n > 0), problem.num_arms, self.delta)
            for n in sums.counts
        ]
        means, alphas = sums.means(), (self.alpha_reward, self.alpha_cost)
        wide = [jnp.where(jnp.isinf(w), w, a * w) for a, w in zip(alphas, widths, strict=True)]
        return confidence.optimistic(means[0], wide[0], means[1], wide[1])


class Tampered(C2MABV):
    """C2MAB-V with something done to what the local server sends."""

    def relax(self, problem: Problem, state: Learned, *options: Any) -> Decision:
        relaxed = super().relax(problem, state, *options)
        return self.tamper(problem, self.bounds(problem, state), relaxed)

    def tamper(self, problem: Problem, bound: Bounds, relaxed: Decision) -> Decision:
        raise NotImplementedError


@register
@dataclasses.dataclass(frozen=True)
class ShrunkMarginals(Tampered):
    """z is shrunk by 10 %."""

    def tamper(self, problem: Problem, bound: Bounds, relaxed: Decision) -> Decision:
        return relaxed._replace(marginals=0.9 * relaxed.marginals)


@register
@dataclasses.dataclass(frozen=True)
class AllInWithoutLogarithm(Tampered):
    """All in solved with the weights U instead of ln U."""

    def tamper(self, problem: Problem, bound: Bounds, relaxed: Decision) -> Decision:
        return relaxed._replace(marginals=_lp(problem, bound.reward_ucb, bound.cost_lcb))


@register
@dataclasses.dataclass(frozen=True)
class WorseCandidate(Tampered):
    """Of the two candidates of any win the worse one is kept."""

    def tamper(self, problem: Problem, bound: Bounds, relaxed: Decision) -> Decision:
        model, upper = reward_model(problem), bound.reward_ucb
        first, second = (
            _lp(problem, weights(upper), bound.cost_lcb) for weights in model.lp_weights
        )
        worse = model.relaxed(upper, second) < model.relaxed(upper, first)
        return relaxed._replace(marginals=jnp.where(worse, second, first))


@register
@dataclasses.dataclass(frozen=True)
class ReversedCascade(Tampered):
    """The cascade asks its last arm first."""

    def tamper(self, problem: Problem, bound: Bounds, relaxed: Decision) -> Decision:
        priority = relaxed.priority
        if priority is None:
            priority = arm_index(relaxed.marginals).astype(relaxed.marginals.dtype)
            priority = jnp.broadcast_to(priority, relaxed.marginals.shape)
        return relaxed._replace(priority=-priority)


@register
@dataclasses.dataclass(frozen=True)
class EveryOtherRoundWorst(C2MABV):
    """Every other round the arms of least mean reward - mean cost are played."""

    def select(self, problem: Problem, state: Learned, key: Array, **options: Any) -> Decision:
        decision = super().select(problem, state, key, **options)
        reward, cost = state.estimates.means()
        worst = top_n(cost - reward, problem.num_selected)
        selected = jnp.where(state.round % 2 == 0, worst, decision.selected)
        return decision._replace(selected=selected)


def _lp(problem: Problem, weights: Array, costs: Array) -> Array:
    return solve_lp(weights, costs, problem.num_selected, problem.budget, problem.at_most).marginals


def one_round_late(policy: C2MABV) -> Any:
    """Feedback arrives a round after it is due."""
    if isinstance(policy, TwoTier):
        return dataclasses.replace(policy, delay=policy.delay + 1, max_delay=None)
    return TwoTier(local=policy, delay=1)


def other_billing(problem: Problem) -> Problem:
    """The other rule of billing than the problem says."""
    return problem.replace(billing="selected" if problem.billing == "queried" else "queried")


def of_observed(problem: Problem, environment: Any, decision: Decision, feedback: Feedback):
    """The expected reward of the arms that happened to be observed."""
    return expected_reward(problem, environment, None, feedback.observed)


@register
@dataclasses.dataclass(frozen=True)
class IndependentCoins(C2MABV):
    """Every arm is selected by a coin of its own."""

    def select(
        self, problem: Problem, state: Learned, key: Array, *, available: Array | None = None
    ) -> Decision:
        decision = self.relax(problem, state, available)
        return decision._replace(selected=coins(key, decision.marginals, problem.num_selected))


@register
@dataclasses.dataclass(frozen=True)
class LearnsUnobserved(C2MABV):
    """A cascade's unobserved arms are learned from as if they had been asked."""

    def update(
        self, problem: Problem, state: Learned, decision: Decision, feedback: Feedback
    ) -> Learned:
        peeking = feedback._replace(observed=decision.selected)
        return super().update(problem, state, decision, peeking)


@register
@dataclasses.dataclass(frozen=True)
class TypesMixedUp(TypedC2MABV):
    """What a query of one type shows is learned as if it had been of the next."""

    def update(
        self, problem: Problem, state: TypedState, decision: Decision, feedback: Feedback
    ) -> TypedState:
        context, edge = decision.memo
        memo = (context + 1) % self.num_types, edge
        return super().update(problem, state, decision._replace(memo=memo), feedback)


def mixed_up(policy: TypedC2MABV) -> TypedC2MABV:
    """The same parameters, types mixed up."""
    return TypesMixedUp(**{f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)})


def as_frequent(policy: TypedC2MABV) -> TypedC2MABV:
    """All types taken to be equally frequent."""
    return dataclasses.replace(policy, frequencies=(1 / policy.num_types,) * policy.num_types)


def price_per_type(policy: TypedC2MABV) -> TypedC2MABV:
    """Every type has the budget, and so a price, of its own."""
    return dataclasses.replace(policy, budget="split")


def coins(key: Array, marginals: Array, num_selected: int) -> Array:
    """Independent coins: right marginals, wrong number of arms."""
    del num_selected
    return streams.uniforms(key, marginals.shape[0], marginals.dtype) < marginals


def systematic(key: Array, marginals: Array, num_selected: int) -> Array:
    """Systematic sampling (Madow 1949): right marginals and size, positive correlations."""
    del num_selected
    uniform = streams.uniforms(key, 1, marginals.dtype)
    ends = jnp.cumsum(marginals, axis=0)
    starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    return jnp.floor(ends - uniform) > jnp.floor(starts - uniform)


def correlated(environment: Synthetic) -> Synthetic:
    """A shared query difficulty: an arm asked late is asked on hard queries only."""
    return dataclasses.replace(environment, correlation=np.asarray(0.7))


def _width(policy: C2MABV, problem: Problem, state: Learned, count: Array) -> Array:
    """The radius of C2MAB-V, 2 (which clips every bound) where nothing was observed."""
    width = confidence.hoeffding_radius(state.round, count, problem.num_arms, policy.delta)
    return jnp.minimum(width, 2 / jnp.maximum(policy.alpha_cost, 1e-3))


def _bounds(policy: C2MABV, state: Learned, width: Callable[[Array], Array]) -> Bounds:
    means, counts = state.estimates.means(), state.estimates.counts
    widths = [
        jnp.where(count > 0, alpha * width(count), 2)
        for alpha, count in zip((policy.alpha_reward, policy.alpha_cost), counts, strict=True)
    ]
    return confidence.optimistic(means[0], widths[0], means[1], widths[1])


CONTROLS: tuple[Control, ...] = tuple(
    Control(name, what, System(name, **parts), faces, on, *sizes)
    for name, what, parts, faces, on, *sizes in (
        (
            "cost-bound-swapped",
            "costs judged by their upper confidence bound",
            {"policy": _as(CostBoundSwapped)},
            ("exact-values",),
            ("steady-2",),
        ),
        (
            "reward-bound-swapped",
            "rewards judged by their lower confidence bound",
            {"policy": _as(RewardBoundSwapped)},
            ("coverage-exact",),
            ("single",),
        ),
        (
            "no-logarithm",
            "radius without the logarithm",
            {"policy": _as(NoLogarithm)},
            ("coverage-exact",),
            ("single",),
        ),
        (
            "off-by-one-radius",
            "the radius counts one observation too many",
            {"policy": _as(OneTooMany)},
            ("coverage-exact",),
            ("single",),
        ),
        (
            "off-by-one-count",
            "the first observation of every arm is counted twice",
            {"policy": _as(CountsTwice)},
            ("counts",),
            ("swap-2",),
        ),
        (
            "independent-coins",
            "every arm selected by a coin of its own",
            {"policy": _as(IndependentCoins), "round": coins},
            ("cardinality", "rounding-law"),
            ("dear-6",),
        ),
        (
            "systematic-rounding",
            "systematic sampling of interior marginals",
            {"round": systematic},
            ("rounding-law",),
            (),
        ),
        (
            "learns-unobserved",
            "a cascade's unobserved arms are learned from",
            {"policy": _as(LearnsUnobserved)},
            ("counts",),
            ("cascade-4",),
        ),
        (
            "correlated-cascade",
            "arms share a query difficulty under cascading feedback",
            {"environment": correlated},
            ("unbiased-feedback",),
            ("cascade-4",),
        ),
        (
            "no-arms-in-logarithm",
            "K missing from ell_t",
            {"policy": _as(NoArmsInLogarithm)},
            ("bounds-as-defined", "coverage-exact"),
            ("dear-6", "everyone-5"),
        ),
        (
            "last-rounds-logarithm",
            "ell_(t-1) instead of ell_t",
            {"policy": _as(LastRoundsLogarithm)},
            ("bounds-as-defined",),
            ("dear-6",),
        ),
        (
            "cost-below-zero",
            "the lower bound of the cost is not cut at 0",
            {"policy": _as(CostBelowZero)},
            ("bounds-as-defined",),
            ("dear-6",),
        ),
        (
            "discount-floored",
            "discounted counts below 1 are raised to 1",
            {"policy": _as(DiscountFloored)},
            ("bounds-that-forget", "re-exploration"),
            ("dear-6", "jump-2", "discount"),
        ),
        (
            "feedback-late",
            "feedback is used one round later than it is due",
            {"policy": one_round_late},
            ("bounds-as-defined", "delayed-feedback"),
            ("any-win-3",),
        ),
        (
            "shrunk-marginals",
            "z shrunk by 10 %",
            {"policy": _as(ShrunkMarginals)},
            ("relaxed-optimum",),
            ("any-win-3",),
        ),
        (
            "all-in-without-logarithm",
            "all in solved with weights U instead of ln U",
            {"policy": _as(AllInWithoutLogarithm)},
            ("relaxed-optimum",),
            ("all-in-4",),
        ),
        (
            "worse-candidate",
            "the worse of any win's two candidates kept",
            {"policy": _as(WorseCandidate)},
            ("better-candidate",),
            ("any-win-3",),
        ),
        (
            "cascade-reversed",
            "the cascade asks its last arm first",
            {"policy": _as(ReversedCascade)},
            ("cascade-order", "cascade-length"),
            ("any-win-3",),
        ),
        (
            "billing-inverted",
            "queried arms billed instead of selected ones, and the other way round",
            {"problem": other_billing},
            ("billing",),
            ("any-win-3",),
        ),
        (
            "expected-of-observed",
            "the expected reward is that of the observed arms",
            {"expected": of_observed},
            ("expected-reward",),
            ("any-win-3",),
        ),
        (
            "types-mixed-up",
            "what a query of one type shows is learned for another type",
            {"policy": mixed_up},
            ("types-bounds", "types-gain"),
            ("types-2x3",),
        ),
        (
            "frequencies-ignored",
            "all types taken to be equally frequent",
            {"policy": as_frequent},
            ("types-relaxed-optimum",),
            ("types-2x3",),
        ),
        (
            "price-per-type",
            "every type has the budget for itself instead of one price for all",
            {"policy": price_per_type},
            ("types-relaxed-optimum",),
            ("types-2x3",),
        ),
        (
            "every-other-round-worst",
            "half the rounds play the worst arms: half of the worst that is possible",
            {"policy": _as(EveryOtherRoundWorst)},
            (
                "expected-regret",
                "expected-lagrangian",
                "expected-violation",
                "pathwise-regret",
                "pathwise-violation",
                "anytime-regret",
                "anytime-violation",
            ),
            ("dear-6",),
            {"horizon": 49_152, "runs": 64},
        ),
    )
)
