"""What LLMs answer and charge: synthetic laws, scenarios of real LLMs, replay of logs."""

from c2mabv_jax.environments import generators, laws
from c2mabv_jax.environments.base import Environment, Outcome
from c2mabv_jax.environments.changing import Changing, changing
from c2mabv_jax.environments.logs import LogError, LogReport
from c2mabv_jax.environments.replay import replay
from c2mabv_jax.environments.scenarios import figures, scenario, scenario_names
from c2mabv_jax.environments.synthetic import synthetic
from c2mabv_jax.environments.typed import by_type

__all__ = [
    "Changing",
    "Environment",
    "LogError",
    "LogReport",
    "Outcome",
    "by_type",
    "changing",
    "figures",
    "generators",
    "laws",
    "replay",
    "scenario",
    "scenario_names",
    "synthetic",
]
