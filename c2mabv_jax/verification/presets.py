"""How large the experiments are, and the file in which a user may say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from c2mabv_jax import toml
from c2mabv_jax.errors import ProblemError


class Search(BaseModel):
    """Sizes of the search for bad instances; see `search`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    population: int = Field(default=256, ge=16, description="instances per generation")
    generations: int = Field(default=4, ge=1)
    seeds: int = Field(default=2, ge=1, description="runs per instance while searching")
    horizon: int = Field(default=8192, ge=10)
    confirm: int = Field(default=256, ge=30, description="fresh runs of the worst instance found")


class Preset(BaseModel):
    """Sizes of a whole verification.

    Attributes:
      level: error level of the whole report.
      horizon, runs: of the watched runs, which test bounds and invariants.
      long_rounds, long_runs: horizons and runs for growth and leading constants; empty leaves
        these claims out.
      coverage_horizon, coverage_runs: of the comparison with exact failure probabilities.
      rounding_draws: of the law of the rounding.
      minimax_horizon, minimax_runs: last horizon, and runs per gap and horizon.
      search: of the search for bad instances, or None.
      controls: whether the negative controls run.
      claims: names of the claims to test; None for all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: float = Field(default=0.01, gt=0, lt=1)
    horizon: int = Field(default=81_920, ge=64, le=2**24)
    runs: int = Field(default=256, ge=64)
    long_rounds: tuple[int, ...] = (10_000, 100_000)
    long_runs: int = Field(default=128, ge=30)
    coverage_horizon: int = Field(default=100, ge=10, le=2000)
    coverage_runs: int = Field(default=8192, ge=256)
    rounding_draws: int = Field(default=65_536, ge=1024)
    minimax_horizon: int = Field(default=16_384, ge=1024)
    minimax_runs: int = Field(default=64, ge=30)
    search: Search | None = Search()
    controls: bool = True
    claims: tuple[str, ...] | None = None

    @pydantic.field_validator("long_rounds")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or len(value) == 1 or (value and value[0] < 1000):
            raise ValueError("give two or more ascending rounds from 1000 on, or none")
        return value


PresetName = Literal["tiny", "quick", "constants", "full", "gpu"]

PRESETS: dict[str, Preset] = {
    # A second or two each, once compiled: for measuring the false-alarm rate of the report.
    "tiny": Preset(
        level=0.05,
        horizon=256,
        runs=256,
        long_rounds=(),
        coverage_horizon=50,
        coverage_runs=2048,
        rounding_draws=16_384,
        minimax_horizon=4096,
        minimax_runs=32,
        search=None,
        controls=False,
    ),
    # Below two minutes on two cores.
    "quick": Preset(),
    # The leading constants alone, to a million rounds: minutes.
    "constants": Preset(
        long_rounds=(10_000, 100_000, 1_000_000),
        long_runs=256,
        search=None,
        controls=False,
        claims=(
            "leading-violation",
            "leading-violation-other-models",
            "leading-regret",
            "growth-lagrangian",
            "growth-violation",
        ),
    ),
    # At most 25 minutes on two cores. At a million rounds half intervals of all constants are below
    # 2 %, at the level of the report and so at 99 %: a run varies by 3 to 13 % around its mean.
    "full": Preset(
        horizon=131_072,
        runs=1024,
        long_rounds=(10_000, 100_000, 1_000_000),
        long_runs=1024,
        coverage_horizon=1000,
        coverage_runs=65_536,
        rounding_draws=1_048_576,
        minimax_horizon=131_072,
        minimax_runs=256,
        search=Search(population=1024, generations=10, seeds=2, horizon=8192, confirm=1024),
    ),
    # The same on an accelerator, with more runs.
    "gpu": Preset(
        horizon=131_072,
        runs=16_384,
        long_rounds=(10_000, 100_000, 1_000_000),
        long_runs=32768,
        coverage_horizon=1000,
        coverage_runs=1_048_576,
        rounding_draws=4_194_304,
        minimax_horizon=131_072,
        minimax_runs=4096,
        search=Search(population=8192, generations=20, seeds=16, horizon=8192, confirm=32768),
    ),
}


class Spec(BaseModel):
    """What a SPEC.toml may say: a preset, a seed, and changes to the preset.

    Example:
      preset = "quick"
      seed = 7
      level = 0.001
      horizon = 8192
      runs = 1024
      claims = ["expected-regret", "coverage-exact"]

      [search]
      population = 1024
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: PresetName = "quick"
    seed: int = Field(default=0, ge=0, lt=2**32)
    changes: dict[str, Any] = {}

    def resolve(self) -> Preset:
        """The preset with its changes, validated; errors name the field."""
        base = PRESETS[self.preset].model_dump()
        changes = dict(self.changes)
        if isinstance(changes.get("search"), dict):
            changes["search"] = {**(base["search"] or {}), **changes["search"]}
        elif changes.get("search") is False:
            changes["search"] = None
        elif changes.get("search") is True:
            changes["search"] = base["search"] or {}
        return _validated(Preset, {**base, **changes})


def read_spec(path: Path | None, **overrides: Any) -> Spec:
    """A spec from a TOML file (or none) and options of the command line, which win.

    Raises:
      ProblemError: unreadable file, unknown field, or a value that does not fit; one line.
    """
    table: dict[str, Any] = {} if path is None else toml.read(path, "SPEC")
    table.update({key: value for key, value in overrides.items() if value is not None})
    own: dict[str, Any] = {key: table.pop(key) for key in ("preset", "seed") if key in table}
    spec = _validated(Spec, {**own, "changes": table})
    spec.resolve()
    return spec


def _validated(model: Any, table: dict[str, Any]) -> Any:
    try:
        return model.model_validate(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "spec"
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(set(Preset.model_fields) | {"preset", "seed"}))
            raise ProblemError(f"{field}: no such field; choose from {known}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise ProblemError(f"{field} = {first['input']!r}: {message}") from None
