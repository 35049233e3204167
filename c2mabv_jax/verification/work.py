"""How much there is to simulate: the total of the progress bar."""

from __future__ import annotations

from c2mabv_jax.verification.claims import (
    bounds,
    constants,
    coverage,
    exact_values,
    growth,
    invariants,
    minimax,
    types,
)
from c2mabv_jax.verification.presets import Preset


def planned(preset: Preset, names: list[str]) -> int:
    """Rounds times runs that the named claims will play (controls add little)."""
    total, wanted = 0, set(names)
    watched = {claim.name for claim in (*invariants.CLAIMS, *bounds.CLAIMS)}
    watched |= {"coverage-promise", "unbiased-feedback"}
    if wanted & watched:
        total += len(invariants.ALL) * preset.horizon * preset.runs
    if "coverage-exact" in wanted:
        settings = len(coverage.ALPHAS) * len(coverage.ALWAYS_SEEN)
        total += settings * preset.coverage_horizon * preset.coverage_runs
    if "exact-values" in wanted:
        rounds = sum(horizon * len(alphas) for horizon, alphas in exact_values.CASES.values())
        total += rounds * preset.coverage_runs
    if "minimax" in wanted:
        last = preset.minimax_horizon
        horizons = last + last // 4 + last // 16
        total += horizons * len(minimax.FACTORS) * preset.minimax_runs
    if "worst-instance" in wanted and preset.search is not None:
        sizes = preset.search
        generation = sizes.population * sizes.seeds
        total += 2 * sizes.horizon * (sizes.generations * generation + 2 * sizes.confirm)
    if wanted & {claim.name for claim in (*constants.CLAIMS, *growth.CLAIMS)}:
        settings = len(constants.BINDING) * len(constants.ALPHAS) + 1 + len(constants.OTHER_MODELS)
        total += settings * preset.long_rounds[-1] * preset.long_runs
    if wanted & {"types-expected-bounds", "types-leading-violation"}:
        total += preset.long_rounds[-1] * round(types.SHARE * preset.long_runs)
    return total
