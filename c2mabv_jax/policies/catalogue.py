"""The policies by name: what Python, a TOML file and the command line can ask for."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import known
from c2mabv_jax.policies.base import Policy
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.conservative import Conservative
from c2mabv_jax.policies.cucb import CUCB
from c2mabv_jax.policies.direct import C2MABVDirect
from c2mabv_jax.policies.epsilon_greedy import EpsilonGreedy
from c2mabv_jax.policies.explore_then_commit import ExploreThenCommit
from c2mabv_jax.policies.fixed_set import FixedSet
from c2mabv_jax.policies.lyapunov import LyapunovQueue
from c2mabv_jax.policies.omega_ucb import OmegaUCB
from c2mabv_jax.policies.oracle import Oracle
from c2mabv_jax.policies.pessimistic_optimistic import PessimisticOptimistic
from c2mabv_jax.policies.primal_dual import PrimalDualBwK
from c2mabv_jax.policies.thompson import ThompsonSampling
from c2mabv_jax.policies.two_tier import TwoTier
from c2mabv_jax.policies.typed import TypedC2MABV
from c2mabv_jax.policies.typed_baselines import TypedOracle, TypedThompson
from c2mabv_jax.policies.ucb_bwk import UCBBwK
from c2mabv_jax.policies.uniform import UniformRandom
from c2mabv_jax.problem import Problem


class Entry(NamedTuple):
    """One policy.

    Attributes:
      name: what a user types.
      policy: its class.
      description: one line for people.
      build: `build(problem, environment, **options)` makes it. The environment may be None,
        except for policies that know the truth.
      options: names of what may be given, beyond the defaults of this entry.
    """

    name: str
    policy: type
    description: str
    build: Callable[..., Policy]
    options: tuple[str, ...] = ()


def policy(name: str, problem: Problem, environment: Any = None, **options: Any) -> Policy:
    """A policy by name.

    Args:
      name: of an entry of `POLICIES` or `TYPED`.
      problem: what it will play.
      environment: where it will play; needed by policies that know the truth.
      options: fields of the policy, such as `alpha_reward=0.3`.

    Raises:
      ProblemError: an unknown name or option (with the nearest one there is), or a bad value.

    Example:
      >>> catalogue.policy("c2mabv", problem, environment, alpha_reward=0.3, alpha_cost=0.05)
    """
    entry = find(name)
    for option, value in options.items():
        if option not in entry.options:
            raise ProblemError(f"{option} = {value!r}: {_choices(name, option, entry.options)}")
    return entry.build(problem, environment, **options)


def find(name: str) -> Entry:
    """The entry of this name."""
    for entry in (*POLICIES, *TYPED):
        if entry.name == name:
            return entry
    names = [entry.name for entry in (*POLICIES, *TYPED)]
    raise ProblemError(f"policy = {name!r}: {_near(name, names)}choose one of {', '.join(names)}")


def _choices(name: str, option: str, options: tuple[str, ...]) -> str:
    if not options:
        return f"{name} has no options; leave it out"
    return f"{name} has no such option; {_near(option, options)}choose among {', '.join(options)}"


def _near(word: str, words: Any) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _fields(cls: type, without: Any = ()) -> tuple[str, ...]:
    # A horizon is told by whoever knows how long the run is.
    return tuple(
        f.name for f in dataclasses.fields(cls) if f.name not in without and f.name != "horizon"
    )


def _entry(name: str, cls: type, description: str, **defaults: Any) -> Entry:
    def build(problem: Problem, environment: Any, **options: Any) -> Policy:
        del problem, environment
        return cls(**defaults | options)

    return Entry(name, cls, description, build, _fields(cls, defaults))


def _two_tiers(problem: Problem, environment: Any, **options: Any) -> TwoTier:
    del problem, environment
    own = {field: options.pop(field) for field in _fields(TwoTier) if field in options}
    return TwoTier(local=C2MABV(**options), **own)


def _typed(cls: type, without: tuple[str, ...] = (), **defaults: Any) -> dict[str, Any]:
    """How a policy that sees types is built, and its options; G is that of the environment."""

    def build(problem: Problem, environment: Any, **options: Any) -> Policy:
        del problem
        known.check_types(cls.__name__, environment)
        if options.get("frequencies") == "known":
            options["frequencies"] = environment.by_type.frequencies
        return cls(num_types=environment.num_types, **defaults | options)

    return {"build": build, "options": _fields(cls, ("num_types", *defaults, *without))}


POLICIES: tuple[Entry, ...] = (
    _entry("c2mabv", C2MABV, "C2MAB-V: optimistic bounds, relaxed problem, dependent rounding"),
    _entry("c2mabv-direct", C2MABVDirect, "C2MAB-V by enumeration: no relaxation, no rounding"),
    _entry("c2mabv-kl", C2MABV, "C2MAB-V with KL confidence bounds", radius="kl"),
    _entry(
        "c2mabv-bernstein", C2MABV, "C2MAB-V with empirical Bernstein bounds", radius="bernstein"
    ),
    Entry(
        "two-tier",
        TwoTier,
        "C2MAB-V solved every `resolve_every` rounds, feedback `delay` rounds late",
        _two_tiers,
        _fields(TwoTier, ("local",)) + _fields(C2MABV),
    ),
    Entry("oracle", Oracle, "knows the truth: the best mixed policy", known.oracle),
    Entry(
        "best-fixed-set",
        FixedSet,
        "knows the truth: the best single set within the budget",
        known.best_fixed_set,
    ),
    Entry(
        "fixed-set",
        FixedSet,
        "always the LLMs named by `models`, else the N best, whatever they cost",
        known.fixed_set,
        ("models",),
    ),
    Entry("always-dearest", FixedSet, "always the dearest (AWC: one LLM; else N)", known.dearest),
    Entry(
        "always-cheapest", FixedSet, "always the cheapest (AWC: one LLM; else N)", known.cheapest
    ),
    _entry("uniform", UniformRandom, "N random LLMs, every set alike"),
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

# Policies that see the type of a query; they play only where queries have types.
TYPED: tuple[Entry, ...] = (
    Entry(
        "c2mabv-types",
        TypedC2MABV,
        "C2MAB-V by type of query: one price of the budget for all types",
        **_typed(TypedC2MABV, budget="common"),
    ),
    Entry(
        "c2mabv-split",
        TypedC2MABV,
        "C2MAB-V by type of query: every type has the budget per query for itself",
        **_typed(TypedC2MABV, ("frequencies",), budget="split"),
    ),
    Entry(
        "thompson-types",
        TypedThompson,
        "Thompson sampling by type of query, the budget in the LP",
        **_typed(TypedThompson),
    ),
    Entry(
        "oracle-types",
        TypedOracle,
        "knows the truth: the best mixed policy that sees the type",
        known.oracle_by_type,
    ),
)
