"""C2MAB-V, cost-aware online multi-LLM selection (arXiv 2405.16587), as a batched simulator.

How a round flows, and where each step lives:

    environments   what LLMs answer and charge
    confidence     local server: upper bounds on reward, lower bounds on cost
    relaxation     local server: the relaxed problem, solved with a certificate
    rounding       scheduling cloud: marginals to a set
    policies       the tiers together, and what C2MAB-V is compared with
    engine         rounds, blocks of runs, what is observed of them
    results        every quantity, defined once; labelled datasets
    simulation     `simulate`: many seeds of one configuration, as an xarray.Dataset
    theory         optima, bounds, predictions, statistics of claims
    service        a selector for live services, in money, for many threads

Symbols (SPEC of the project): K `num_arms`, N `num_selected`, T `horizon`, t `round`,
mu `mean_reward` [K], c `mean_cost` [K], rho `budget`, X `reward` [K], Y `cost` [K],
n `count` [K], U `reward_ucb` [K], L `cost_lcb` [K], z `marginals` [K], S_t `selected` [K],
O_t `observed` [K]. Arrays are arm first; batch axes trail.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "Observer": "c2mabv_jax.engine.observer",
    "Problem": "c2mabv_jax.problem",
    "ProblemError": "c2mabv_jax.errors",
    "simulate": "c2mabv_jax.simulation",
}

__all__ = [
    "Observer",
    "Problem",
    "ProblemError",
    "confidence",
    "environments",
    "policies",
    "relaxation",
    "rewards",
    "rounding",
    "service",
    "simulate",
    "simulation",
    "theory",
]

if TYPE_CHECKING:
    from c2mabv_jax import (
        confidence,
        environments,
        policies,
        relaxation,
        rewards,
        rounding,
        service,
        theory,
    )
    from c2mabv_jax.engine.observer import Observer
    from c2mabv_jax.errors import ProblemError
    from c2mabv_jax.problem import Problem
    from c2mabv_jax.simulation import simulate


def __getattr__(name: str) -> Any:
    """Load parts on first use: `c2mabv --help` need not wait for JAX."""
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"c2mabv_jax.{name}")
    raise AttributeError(f"module 'c2mabv_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
