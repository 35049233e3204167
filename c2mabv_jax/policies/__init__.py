"""Policies on one protocol: C2MAB-V and what it is compared with."""

from c2mabv_jax.policies.base import Decision, Feedback, Policy
from c2mabv_jax.policies.c2mabv import C2MABV, C2MABVState
from c2mabv_jax.policies.saving import load_state, save_state

__all__ = ["C2MABV", "C2MABVState", "Decision", "Feedback", "Policy", "load_state", "save_state"]
