"""Claims, comparisons, statistics: how evidence becomes a verdict. No simulation here."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from c2mabv_jax.errors import ProblemError
from c2mabv_jax.verification import PRESETS, Claim, Comparison, Outcome, Spec
from c2mabv_jax.verification import search as searching
from c2mabv_jax.verification.claim import finite, judge, statistical, worst
from c2mabv_jax.verification.claims import CLAIMS, bounds, invariants
from c2mabv_jax.verification.controls import CONTROLS
from c2mabv_jax.verification.instances import CATALOGUE
from c2mabv_jax.verification.laboratory import MOST_RECORDS
from c2mabv_jax.verification.possible import TEETH, worst_per_round
from c2mabv_jax.verification.presets import read_spec
from c2mabv_jax.verification.run import claims_of
from c2mabv_jax.verification.statistic import Exact, Mean, OfMeans, Share, loglog_slope


class Fixed:
    """A statistic with a given interval."""

    exact, runs = False, 100

    def __init__(self, low, high, estimate=None):
        self.low, self.high = low, high
        self.estimate = (low + high) / 2 if estimate is None else estimate

    def interval(self, error):
        return self.low, self.high


@pytest.mark.parametrize(
    ("low", "high", "floor", "ceiling", "outcome"),
    [
        (1, 2, -math.inf, 3, Outcome.HOLDS),
        (1, 4, -math.inf, 3, Outcome.UNDECIDED),
        (4, 5, -math.inf, 3, Outcome.CONTRADICTED),
        (1, 2, 0, math.inf, Outcome.HOLDS),
        (-2, -1, 0, math.inf, Outcome.CONTRADICTED),
        (-1, 1, 0, math.inf, Outcome.UNDECIDED),
        (0.9, 1.1, 0.8, 1.2, Outcome.HOLDS),
        (0.7, 1.1, 0.8, 1.2, Outcome.UNDECIDED),
        (1.3, 1.4, 0.8, 1.2, Outcome.CONTRADICTED),
        (0.9, 1.1, 1, 1, Outcome.HOLDS),
        (1.1, 1.2, 1, 1, Outcome.CONTRADICTED),
        (0.5, 1.5, 1, 1, Outcome.UNDECIDED),  # wider than the resolution
    ],
)
def test_outcome_of_an_interval(low, high, floor, ceiling, outcome):
    comparison = Comparison("x", Fixed(low, high), floor, ceiling, resolution=0.2)
    assert comparison.judge(0.01).outcome == outcome


def test_rounding_widens_the_interval_and_no_number_contradicts():
    point = Comparison("x", Fixed(1.001, 1.002), 1, 1)
    assert point.judge(0.01).outcome == Outcome.CONTRADICTED
    assert Comparison("x", Fixed(1.001, 1.002), 1, 1, rounding=0.002).judge(0.01).outcome == (
        Outcome.HOLDS
    )
    nothing = Comparison("x", Fixed(-math.inf, math.inf, math.nan), ceiling=1)
    assert nothing.judge(0.01).outcome == Outcome.CONTRADICTED


def test_a_bound_that_cannot_fail_is_vacuous_and_never_holds():
    """Ratio: what the worst policy would do / the bound."""
    assert Comparison("x", Fixed(1, 2), ceiling=3, ratio=1.0).judge(0.01).outcome == Outcome.VACUOUS
    assert Comparison("x", Fixed(1, 2), ceiling=3, ratio=1.1).judge(0.01).outcome == Outcome.HOLDS
    impossible = Comparison("x", Fixed(4, 5), ceiling=3, ratio=0.5).judge(0.01)
    assert impossible.outcome == Outcome.CONTRADICTED  # whatever the ratio said
    assert worst([Outcome.HOLDS, Outcome.VACUOUS]) == Outcome.VACUOUS
    assert worst([Outcome.VACUOUS, Outcome.UNDECIDED]) == Outcome.UNDECIDED


def test_worst_per_round_against_the_definition():
    """Any win at most N: the empty set is worst; sum-up: a linear programme over sets."""
    found = worst_per_round(CATALOGUE["any-win-3"])
    assert found.regret == pytest.approx(CATALOGUE["any-win-3"].benchmark)
    assert found.overspend == pytest.approx(0.9 + 0.35 - 0.6)
    found = worst_per_round(CATALOGUE["dear-6"])
    assert found.regret == pytest.approx(CATALOGUE["dear-6"].best.relaxed - 0.1)
    assert found.overspend == pytest.approx(0.9 + 0.95 - 0.6)
    found = worst_per_round(CATALOGUE["all-in-4"])
    assert found.regret == pytest.approx(0.9 * 0.85 - 0.1 * 0.85)


@pytest.mark.parametrize("name", ["quick", "full", "gpu"])
def test_bounds_are_judged_where_they_can_fail(name):
    """Of every preset that people read: the worst policy is 3 times beyond every bound."""
    preset = PRESETS[name]
    t = preset.horizon
    for label in invariants.ALL:
        instance = CATALOGUE[label]
        limits = [bounds.regret_limit(instance, t, kind="expected")]
        limits += [bounds.regret_limit(instance, t, kind="pathwise", anytime=True)]
        for bound in limits:
            assert t * worst_per_round(instance).regret >= TEETH * bound.value, label
    for label in bounds.BINDING:
        instance = CATALOGUE[label]
        for options in ({"kind": "expected"}, {"kind": "pathwise", "anytime": True}):
            bound = bounds.overspend_limit(instance, t, **options)
            assert t * worst_per_round(instance).overspend >= TEETH * bound.value, label
    assert min(searching.room(preset.search.horizon).values()) >= TEETH


@pytest.mark.parametrize("horizon", [64, 81_920, 131_072, 2**24])
def test_running_maxima_are_compared_with_bounds_of_nearly_the_same_round(horizon):
    """A gap 1..4 at the start let bounds of round 1 judge round 4: runs "beyond" that were not."""
    rounds = np.asarray(invariants.halved(horizon))
    assert rounds[0] == 1 and rounds[-1] == horizon and len(rounds) <= MOST_RECORDS
    assert (rounds[1:] <= 2 * rounds[:-1] + 1).all()


def test_worst_outcome_decides_and_is_shown():
    claim = Claim("c", "s", (), (), "", "", "", lambda laboratory: [])
    comparisons = [
        Comparison("good", Exact(0, 10), 0, 0),
        Comparison("bad", Fixed(2, 3), ceiling=1),
        Comparison("vague", Fixed(0, 3), ceiling=1),
    ]
    verdict = judge(claim, comparisons, 0.01, 1.0, "repeat")
    assert verdict.outcome == Outcome.CONTRADICTED and verdict.decisive.what == "bad"
    assert statistical(comparisons) == 2
    assert worst([Outcome.HOLDS, Outcome.UNDECIDED]) == Outcome.UNDECIDED
    table = json.loads(json.dumps(verdict.as_table(), allow_nan=False))
    assert table["verdict"] == "contradicted" and table["findings"][1]["floor"] is None
    assert table["findings"][0]["error"] == 0  # exact: no sampling error
    assert finite(math.inf) is None and finite(1.5) == 1.5


def test_intervals_cover_as_stated():
    """Coverage of 90 % intervals in 4000 repetitions: within 4 s.e., false alarm 6e-5."""
    rng, error, repeats = np.random.default_rng(5), 0.1, 4000
    slack = 4 * math.sqrt(error * (1 - error) / repeats)
    hits = 0
    for samples in rng.normal(3, 2, (repeats, 40)):
        low, high = Mean(samples).interval(error)
        hits += low <= 3 <= high
    assert abs(hits / repeats - (1 - error)) < slack
    hits = sum(
        low <= 0.07 <= high
        for low, high in (
            Share(int(x), 200).interval(error) for x in rng.binomial(200, 0.07, repeats)
        )
    )
    assert hits / repeats > 1 - error - slack  # Clopper-Pearson is conservative


def test_share_of_zero_events():
    """The rule of three: no event in n runs certifies -ln(error / 2) / n."""
    low, high = Share(0, 1000).interval(0.1)
    assert low == 0 and high == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert Share(1000, 1000).interval(0.1)[1] == 1


def test_slope_interval_agrees_with_the_delta_method():
    """Two correlated points of a run: s.e. of ln(R2/R1)/ln(T2/T1), to the bootstrap's 10 %."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(400, 1))
    runs = np.array([10.0, 35.0]) * (1 + 0.2 * common + 0.1 * rng.normal(size=(400, 2)))
    statistic = OfMeans(loglog_slope(100, 1000), (runs,))
    mean = runs.mean(0)
    relative = np.cov((runs / mean).T) / 400
    deviation = math.sqrt(relative[0, 0] + relative[1, 1] - 2 * relative[0, 1]) / math.log(10)
    assert statistic.estimate == pytest.approx(math.log10(mean[1] / mean[0]))
    low, high = statistic.interval(0.05)
    assert (high - low) / 2 == pytest.approx(stats.t.isf(0.025, 399) * deviation, rel=0.1)
    # Resampling each group by itself loses the correlation, as it must for unrelated runs.
    apart = OfMeans(
        lambda a, b: math.log(b[0] / a[0]) / math.log(10), (runs[:, :1], runs[:, 1:])
    ).interval(0.05)
    assert apart[1] - apart[0] > 1.3 * (high - low)


def test_slope_of_what_is_not_positive_is_no_number():
    statistic = OfMeans(loglog_slope(10, 100), (np.array([[-1.0, 2.0]] * 40),))
    assert math.isnan(statistic.estimate)
    assert Comparison("x", statistic, ceiling=1).judge(0.01).outcome == Outcome.CONTRADICTED


def test_claims_are_complete_and_controls_face_known_ones():
    for claim in CLAIMS.values():
        for field in ("name", "statement", "statistic", "test", "power", "source"):
            assert getattr(claim, field).strip(), (claim.name, field)
        assert claim.assumptions and claim.instances
    for control in CONTROLS:
        assert control.faces and set(control.faces) <= set(CLAIMS)
    names = [control.name for control in CONTROLS]
    assert len(set(names)) == len(names)


def test_presets_resolve_and_asymptotic_claims_need_long_runs():
    for name, preset in PRESETS.items():
        assert Spec(preset=name).resolve() == preset
        assert claims_of(preset)
    tiny = {claim.name for claim in claims_of(PRESETS["tiny"])}
    assert "leading-violation" not in tiny and "worst-instance" not in tiny
    assert {claim.name for claim in claims_of(PRESETS["quick"])} == set(CLAIMS)
    with pytest.raises(ProblemError, match="leading-violation"):
        claims_of(PRESETS["tiny"].model_copy(update={"claims": ("leading-violation",)}))


def test_spec_file(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(
        'preset = "quick"\nseed = 3\nhorizon = 512\n[search]\npopulation = 64\n', encoding="utf-8"
    )
    spec = read_spec(path, level=0.5, seed=None)
    preset = spec.resolve()
    assert (spec.preset, spec.seed) == ("quick", 3)
    assert (preset.horizon, preset.level, preset.search.population) == (512, 0.5, 64)
    assert preset.search.generations == PRESETS["quick"].search.generations
    path.write_text("search = false", encoding="utf-8")
    assert read_spec(path).resolve().search is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("horizn = 5", "horizn"),
        ("horizon = -1", "horizon"),
        ("level = 2.0", "level"),
        ('preset = "huge"', "preset"),
        ("seed = -1", "seed"),
        ("long_rounds = [10000]", "long_rounds"),
        ("[search]\npopulation = 1", "search.population"),
        ("horizon = ", "SPEC"),
    ],
)
def test_spec_errors_name_the_field_in_one_line(tmp_path, text, field):
    path = tmp_path / "spec.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProblemError, match=field) as caught:
        read_spec(path)
    assert "\n" not in str(caught.value)


def test_spec_that_cannot_be_read(tmp_path):
    with pytest.raises(ProblemError, match="SPEC"):
        read_spec(tmp_path / "missing.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match="SPEC"):
        read_spec(tmp_path / "binary")
