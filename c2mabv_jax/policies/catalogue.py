"""The baselines by name: what a command line or a sweep can ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from c2mabv_jax.policies.base import Policy
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.conservative import Conservative
from c2mabv_jax.policies.cucb import CUCB
from c2mabv_jax.policies.epsilon_greedy import EpsilonGreedy
from c2mabv_jax.policies.explore_then_commit import ExploreThenCommit
from c2mabv_jax.policies.lyapunov import LyapunovQueue
from c2mabv_jax.policies.omega_ucb import OmegaUCB
from c2mabv_jax.policies.pessimistic_optimistic import PessimisticOptimistic
from c2mabv_jax.policies.primal_dual import PrimalDualBwK
from c2mabv_jax.policies.thompson import ThompsonSampling
from c2mabv_jax.policies.ucb_bwk import UCBBwK
from c2mabv_jax.problem import Problem


class Entry(NamedTuple):
    """One baseline.

    Attributes:
      name: what a user types.
      policy: its class.
      description: one line for people.
      build: makes it for a problem and an environment (None where unknown), with default
        parameters.
    """

    name: str
    policy: type
    description: str
    build: Callable[[Problem, Any], Policy]


def _entry(name: str, policy: type, description: str, **options: Any) -> Entry:
    return Entry(name, policy, description, lambda problem, environment: policy(**options))


POLICIES: tuple[Entry, ...] = (
    _entry("c2mabv-kl", C2MABV, "C2MAB-V with KL confidence bounds", radius="kl"),
    _entry(
        "c2mabv-bernstein", C2MABV, "C2MAB-V with empirical Bernstein bounds", radius="bernstein"
    ),
    _entry("cucb", CUCB, "the N largest UCB1 bounds, no budget"),
    _entry("cucb-kl", CUCB, "the N largest KL-UCB bounds, no budget", index="kl"),
    _entry("thompson", ThompsonSampling, "Thompson sampling, the budget in the LP"),
    _entry("thompson-top", ThompsonSampling, "Thompson sampling, no budget", choice="top"),
    _entry(
        "thompson-ratio",
        ThompsonSampling,
        "Thompson sampling, the N largest drawn reward per drawn cost",
        choice="ratio",
    ),
    _entry("epsilon-greedy", EpsilonGreedy, "greedy LP, exploring at a rate that decays as 1/t"),
    _entry(
        "epsilon-greedy-constant",
        EpsilonGreedy,
        "greedy LP, exploring in one round of ten",
        epsilon=0.1,
    ),
    _entry("explore-then-commit", ExploreThenCommit, "round-robin, then the LP at the means"),
    _entry("conservative", Conservative, "LP at pessimistic costs, with forced exploration"),
    _entry("lyapunov", LyapunovQueue, "virtual queue: overspending is the price of cost"),
    _entry(
        "pessimistic-optimistic",
        PessimisticOptimistic,
        "virtual queue with a budget tightened by 1/sqrt(t)",
    ),
    _entry("primal-dual", PrimalDualBwK, "primal-dual bandits with knapsacks"),
    _entry("ucb-bwk", UCBBwK, "optimistic LP with a reserve, until the budget is spent"),
    _entry("omega-ucb", OmegaUCB, "the N largest Wilson ratios of reward to cost"),
    _entry("ratio-cucb", OmegaUCB, "the N largest UCB1 ratios of reward to cost", bound="ucb1"),
)
