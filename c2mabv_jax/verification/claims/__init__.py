"""All claims, in the order of the report."""

from __future__ import annotations

from c2mabv_jax.verification.claim import Claim
from c2mabv_jax.verification.claims import (
    audit,
    bounds,
    constants,
    coverage,
    exact_values,
    forgetting,
    growth,
    invariants,
    minimax,
    rounding_law,
    types,
)
from c2mabv_jax.verification.search import CLAIM as WORST_INSTANCE

_IN_ORDER = (
    *invariants.CLAIMS,
    *audit.CLAIMS,
    *forgetting.CLAIMS,
    *rounding_law.CLAIMS,
    *coverage.CLAIMS,
    *exact_values.CLAIMS,
    *bounds.CLAIMS,
    *minimax.CLAIMS,
    WORST_INSTANCE,
    *growth.CLAIMS,
    *constants.CLAIMS,
    *types.CLAIMS,
)

CLAIMS: dict[str, Claim] = {claim.name: claim for claim in _IN_ORDER}
