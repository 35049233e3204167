"""Advice from a log of one's own: which budget buys which quality, and how soon."""

from c2mabv_jax.advice.known import Known, known_sets
from c2mabv_jax.advice.recommend import Recommendation, recommend
from c2mabv_jax.advice.report import write_advice
from c2mabv_jax.advice.study import ALPHA_PAIRS, Run, Study, budgets_from, pose, study

__all__ = [
    "ALPHA_PAIRS",
    "Known",
    "Recommendation",
    "Run",
    "Study",
    "budgets_from",
    "known_sets",
    "pose",
    "recommend",
    "study",
    "write_advice",
]
