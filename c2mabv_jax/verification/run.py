"""A whole verification: measure every claim, judge them together, put the controls to them."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

import jax

from c2mabv_jax.engine.runner import all_done
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.theory.statistics import bonferroni
from c2mabv_jax.verification.claim import (
    Claim,
    Comparison,
    Outcome,
    Verdict,
    judge,
    statistical,
)
from c2mabv_jax.verification.claims import CLAIMS
from c2mabv_jax.verification.controls import CONTROLS, Control
from c2mabv_jax.verification.laboratory import Laboratory
from c2mabv_jax.verification.presets import Preset, Spec

HASTE = "jax_disable_most_optimizations"


@dataclasses.dataclass(frozen=True)
class Caught:
    """A negative control and what it met.

    Attributes:
      control: the broken system.
      verdicts: on the claims it faced.
      seconds: wall time.
    """

    control: Control
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def by(self) -> tuple[str, ...]:
        """The claims that it contradicts."""
        return tuple(v.claim.name for v in self.verdicts if v.outcome == Outcome.CONTRADICTED)

    @property
    def caught(self) -> bool:
        """Whether every claim that it faced contradicts it."""
        return self.by == self.control.faces


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that was found.

    Attributes:
      spec, preset: what was asked.
      verdicts: of the claims.
      controls: what became of the broken systems.
      comparisons: statistical comparisons made; each was judged at `error`.
      error: the preset's level divided by `comparisons`.
      seconds: wall time.
      laboratory: the runs, for figures.
    """

    spec: Spec
    preset: Preset
    verdicts: tuple[Verdict, ...]
    controls: tuple[Caught, ...]
    comparisons: int
    error: float
    seconds: float
    laboratory: Laboratory

    @property
    def status(self) -> int:
        """Exit status: 1 if a claim is contradicted or a control was not caught, else 0."""
        contradicted = any(v.outcome == Outcome.CONTRADICTED for v in self.verdicts)
        return int(contradicted or not all(control.caught for control in self.controls))


def claims_of(preset: Preset) -> list[Claim]:
    """The claims that a preset tests.

    Raises:
      ProblemError: an unknown claim, or one that the preset's sizes leave out.
    """

    def fits(claim: Claim) -> bool:
        if claim.name == "worst-instance":
            return preset.search is not None
        # An asymptotic claim wants two horizons from `claim.horizon` on.
        longest = preset.long_rounds[0] if preset.long_rounds else 0
        return claim.horizon == 1 or longest >= claim.horizon

    if preset.claims is None:
        return [claim for claim in CLAIMS.values() if fits(claim)]
    chosen = []
    for name in preset.claims:
        if name not in CLAIMS:
            raise ProblemError(f"claims = {name!r}: choose from {', '.join(CLAIMS)}")
        if not fits(CLAIMS[name]):
            raise ProblemError(
                f"claims = {name!r}: needs "
                + ("a search" if name == "worst-instance" else "long_rounds from 10000 on")
                + "; choose a larger preset"
            )
        chosen.append(CLAIMS[name])
    return chosen


def verify(
    spec: Spec | None = None,
    *,
    step: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
    controls: Sequence[Control] = CONTROLS,
) -> Report:
    """Test every claim of a spec, and the controls if it asks for them.

    Args:
      spec: preset, seed and changes; "quick" by default.
      step: called with the name of every claim or control as it starts.
      progress: called with the number of runs times rounds just played.
      controls: the broken systems.

    Raises:
      ProblemError: an unknown claim.
    """
    spec = Spec() if spec is None else spec
    preset, began = spec.resolve(), time.perf_counter()
    laboratory = Laboratory(preset, spec.seed, progress=progress)
    measured: list[tuple[Claim, list[Comparison], float]] = []
    for claim in claims_of(preset):
        step(claim.name)
        with hastily() if claim.brief else contextlib.nullcontext():
            measured.append((claim, *_timed(claim, laboratory)))
    number = sum(statistical(comparisons) for _, comparisons, _ in measured)
    error = bonferroni(preset.level, number)
    verdicts = tuple(
        judge(claim, comparisons, error, seconds, command(spec, claim, comparisons, error))
        for claim, comparisons, seconds in measured
    )

    def faced(control: Control) -> Caught:
        step(f"control {control.name}")
        return face(control, preset, spec, error, progress)

    # Each compiles a program of its own, which takes one core.
    with hastily():
        caught = all_done(faced, controls if preset.controls else ())
    return Report(
        spec=spec,
        preset=preset,
        verdicts=verdicts,
        controls=tuple(caught),
        comparisons=number,
        error=error,
        seconds=time.perf_counter() - began,
        laboratory=laboratory,
    )


@contextlib.contextmanager
def hastily() -> Iterator[None]:
    """Compile without most optimisations, in all threads: half the time, some bits differ."""
    before = jax.config.read(HASTE)
    jax.config.update(HASTE, True)
    try:
        yield
    finally:
        jax.config.update(HASTE, before)


def face(
    control: Control,
    preset: Preset,
    spec: Spec,
    error: float,
    progress: Callable[[int], None] = lambda _: None,
) -> Caught:
    """Put a broken system to its claims, each comparison at the same error level."""
    began = time.perf_counter()
    laboratory = Laboratory(
        enough(preset, control), spec.seed, control.system, progress=progress, only=control.on
    )
    verdicts = []
    for name in control.faces:
        comparisons, seconds = _timed(CLAIMS[name], laboratory)
        verdicts.append(judge(CLAIMS[name], comparisons, error, seconds, ""))
    return Caught(control, tuple(verdicts), time.perf_counter() - began)


def enough(preset: Preset, control: Control) -> Preset:
    """Sizes at which a broken system is seen: errors this gross need no more runs."""
    most = {"horizon": 1024, "runs": 256, "coverage_runs": 4096, "rounding_draws": 65_536}
    sizes = {field: min(value, getattr(preset, field)) for field, value in most.items()}
    return preset.model_copy(update=sizes | control.sizes)


def _timed(claim: Claim, laboratory: Laboratory) -> tuple[list[Comparison], float]:
    began = time.perf_counter()
    return claim.measure(laboratory), time.perf_counter() - began


def command(spec: Spec, claim: Claim, comparisons: Sequence[Comparison], error: float) -> str:
    """The command that repeats one claim at the error level it had in the whole report."""
    level = min(0.999, error * max(1, statistical(comparisons)))
    sizes = " SPEC.toml" if spec.changes else ""
    return (
        f"c2mabv verify{sizes} --preset {spec.preset} --seed {spec.seed} --only {claim.name} "
        f"--level {level:.6g} --out {claim.name}"
    )
