"""Advice from a log of one's own: is a fixed model as good, which budget buys which quality."""

from c2mabv_jax.advice.aim import Aim, aim_of
from c2mabv_jax.advice.known import Known, known_sets
from c2mabv_jax.advice.recommend import Recommendation, recommend
from c2mabv_jax.advice.report import write_advice
from c2mabv_jax.advice.resample import Interval, Resampled
from c2mabv_jax.advice.study import ALPHA_PAIRS, Run, Study, budgets_from, pose, study
from c2mabv_jax.advice.verdict import Verdict, judge

__all__ = [
    "ALPHA_PAIRS",
    "Aim",
    "Interval",
    "Known",
    "Recommendation",
    "Resampled",
    "Run",
    "Study",
    "Verdict",
    "aim_of",
    "budgets_from",
    "judge",
    "known_sets",
    "pose",
    "recommend",
    "study",
    "write_advice",
]
