"""Claims of the theory, put to the test: claims as data, evidence, verdicts, negative controls."""

from c2mabv_jax.verification.claim import Claim, Comparison, Finding, Outcome, Verdict
from c2mabv_jax.verification.presets import PRESETS, Preset, Spec
from c2mabv_jax.verification.run import Report, verify

__all__ = [
    "PRESETS",
    "Claim",
    "Comparison",
    "Finding",
    "Outcome",
    "Preset",
    "Report",
    "Spec",
    "Verdict",
    "verify",
]
