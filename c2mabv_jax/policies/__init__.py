"""Policies on one protocol: C2MAB-V and what it is compared with.

`catalogue.policy(name, problem, environment, **options)` makes one by name.
"""

from c2mabv_jax.policies import catalogue
from c2mabv_jax.policies.base import Decision, Evidence, Feedback, Policy, register
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.policies.catalogue import POLICIES
from c2mabv_jax.policies.conservative import Conservative
from c2mabv_jax.policies.cucb import CUCB
from c2mabv_jax.policies.direct import C2MABVDirect
from c2mabv_jax.policies.epsilon_greedy import EpsilonGreedy
from c2mabv_jax.policies.explore_then_commit import ExploreThenCommit
from c2mabv_jax.policies.fixed_set import FixedSet
from c2mabv_jax.policies.learning import Learned, Learning
from c2mabv_jax.policies.lyapunov import LyapunovQueue
from c2mabv_jax.policies.omega_ucb import OmegaUCB
from c2mabv_jax.policies.oracle import Oracle
from c2mabv_jax.policies.pessimistic_optimistic import PessimisticOptimistic
from c2mabv_jax.policies.primal_dual import PrimalDualBwK
from c2mabv_jax.policies.saving import load_state, save_state
from c2mabv_jax.policies.thompson import ThompsonSampling
from c2mabv_jax.policies.two_tier import TwoTier
from c2mabv_jax.policies.typed import TypedC2MABV
from c2mabv_jax.policies.typed_baselines import TypedOracle, TypedThompson
from c2mabv_jax.policies.ucb_bwk import UCBBwK
from c2mabv_jax.policies.uniform import UniformRandom

__all__ = [
    "C2MABV",
    "CUCB",
    "POLICIES",
    "C2MABVDirect",
    "Conservative",
    "Decision",
    "EpsilonGreedy",
    "Evidence",
    "ExploreThenCommit",
    "Feedback",
    "FixedSet",
    "Learned",
    "Learning",
    "LyapunovQueue",
    "OmegaUCB",
    "Oracle",
    "PessimisticOptimistic",
    "Policy",
    "PrimalDualBwK",
    "ThompsonSampling",
    "TwoTier",
    "TypedC2MABV",
    "TypedOracle",
    "TypedThompson",
    "UCBBwK",
    "UniformRandom",
    "catalogue",
    "load_state",
    "register",
    "save_state",
]
