"""What `simulate` guarantees: trajectories, compilations, sums, labels, messages."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from reference.dynamic import optimum
from reference.loop import Spec
from reference.lp import subsets

import c2mabv_jax as c2
from c2mabv_jax import simulation as run
from c2mabv_jax.array import sums, xla
from c2mabv_jax.engine import block, program, runner
from c2mabv_jax.engine.records import recorded_rounds
from c2mabv_jax.engine.tally import Accounting
from c2mabv_jax.policies import C2MABV
from c2mabv_jax.policies.catalogue import POLICIES

MEAN_REWARD = np.array([0.9, 0.7, 0.5, 0.2])
MEAN_COST = np.array([0.8, 0.45, 0.3, 0.1])
WORLD = c2.environments.synthetic(MEAN_REWARD, MEAN_COST, cost="uniform")
POLICY = C2MABV(alpha_reward=0.3, alpha_cost=0.1)
RECORDS = [10, 25, 40]  # three of them everywhere: one program
HORIZON = RECORDS[-1]


def problem(reward_model="SUC", **options):
    options = {"budget": 0.9} | options
    return c2.Problem(num_arms=4, num_selected=2, reward_model=reward_model, **options)


def runs(num_seeds, model="SUC", policy=POLICY, record_at=RECORDS, world=WORLD, **options):
    asked = problem(model) if isinstance(model, str) else model
    return c2.simulate(asked, world, policy, record_at[-1], num_seeds, record_at, **options)


def assert_same(one, other):
    """The same bits in every variable."""
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        a, b = one[name].to_numpy(), other[name].to_numpy()
        assert a.tobytes() == b.tobytes(), name


# 1. A seed's trajectory depends on the configuration and its id alone.

POLICY_CASES = [
    ("SUC", "c2mabv"),
    ("AWC", "c2mabv"),
    ("AIC", "c2mabv"),
    ("SUC", "thompson"),  # rejection until every lane has accepted
]


def by_name(name):
    if name == "c2mabv":
        return POLICY
    return next(entry for entry in POLICIES if entry.name == name).build(problem(), WORLD)


@pytest.mark.parametrize(("model", "name"), POLICY_CASES)
def test_a_seed_is_the_same_in_any_company(model, name):
    policy = by_name(name)
    many = runs(600, model, policy)
    for number in (1, 7, 300):
        assert_same(runs(number, model, policy), many.isel(seed=slice(number)))
    for first, number in ((137, 20), (255, 2), (599, 1)):
        later = runs(number, model, policy, first_seed=first)
        np.testing.assert_array_equal(later["seed"], np.arange(first, first + number))
        assert_same(later, many.isel(seed=slice(first, first + number)))
    assert len(np.unique(many["pulls"].isel(round=-1), axis=0)) > 10  # the seeds do differ


@pytest.mark.smoke
def test_tiles_threads_and_thousands_of_seeds(monkeypatch):
    many = runs(4096)
    before = program.compilations()
    for tile in (64, 256, 1024):
        assert_same(runs(700, tile=tile), many.isel(seed=slice(700)))
    for workers in (1, 3):
        monkeypatch.setattr(runner.os, "cpu_count", lambda workers=workers: workers)
        assert_same(runs(1300), many.isel(seed=slice(1300)))
    assert program.compilations() == before
    assert_same(runs(2, first_seed=4094), many.isel(seed=slice(4094, None)))


def test_one_function_and_pieces_are_the_same_to_the_bit(monkeypatch):
    """With more than 16 arms sets are found another way within one function."""
    rng = np.random.default_rng(20)
    means, costs = rng.uniform(0.1, 0.9, 20).round(2), rng.uniform(0.1, 0.9, 20).round(2)
    world = c2.environments.synthetic(means, costs)
    problem = c2.Problem(num_arms=20, num_selected=3, budget=0.8, reward_model="SUC")
    play = lambda: c2.simulate(problem, world, C2MABV(0.3, 0.1), 200, 64)  # noqa: E731
    one = play()
    assert not program._too_heavy
    monkeypatch.setattr(program, "LARGEST_LOOP", 0)
    xr.testing.assert_identical(one, play())


def test_the_pieces_have_a_trace_of_their_own():
    """Where no one function can be made, nothing of it may be left in the pieces."""
    one = []

    def block_of(x):
        one.append(xla.within_one_function())
        return x + 1

    jax.jit(xla.as_one_function(block_of))(1.0)
    jax.jit(block_of)(1.0)
    assert one == [True, False]


def test_the_last_seed_ids_do_not_wrap_around():
    last = runs(3, first_seed=2**32 - 3)
    np.testing.assert_array_equal(last["seed"], 2**32 - np.array([3, 2, 1]))
    first = runs(3)
    assert not np.array_equal(last["pulls"], first["pulls"])


def test_roots_are_different_worlds():
    one, other = runs(50, seed=0), runs(50, seed=2**32 - 1)
    assert not np.array_equal(one["pulls"], other["pulls"])
    assert_same(runs(50, seed=0), one)


def point(asked=None, policy=POLICY, world=WORLD):
    return block.Point(run.in_scaled_cost(asked or problem(), world), world, policy)


def run_points(points, which, seeds):
    root = jax.random.key(0, impl="threefry2x32")
    accounting = run.accounting_for(problem(), WORLD)
    tally = program.run_block(
        block.per_lane(points, which),
        accounting,
        root,
        jnp.asarray(seeds, jnp.uint32),
        jnp.asarray(RECORDS, jnp.int32),
    )
    return jax.tree.map(np.asarray, tally)


def test_neighbours_of_any_kind_do_not_matter():
    """Lanes shuffled, and other configurations in between: the same bits per seed."""
    width = block.lanes()
    points = [
        point(),
        point(problem(budget=1.2)),
        point(policy=C2MABV(alpha_reward=1.0, alpha_cost=0.0, delta=0.5)),
        point(world=WORLD.replace(mean_reward=MEAN_REWARD[::-1], mean_cost=MEAN_COST[::-1])),
        point(problem(budget=0.0)),
    ]
    rng = np.random.default_rng(0)
    which, seeds = rng.integers(len(points), size=width), rng.permutation(width)
    before = program.compilations()
    mixed = run_points(points, which, seeds)
    for index in range(len(points)):
        alone = run_points([points[index]], np.zeros(width, int), np.arange(width))
        lanes = np.flatnonzero(which == index)
        assert lanes.size > 5
        for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(alone), strict=True):
            assert a[..., lanes].tobytes() == b[..., seeds[lanes]].tobytes()
    assert program.compilations() <= before + 1
    # `simulate` is that program, too.
    pulls = runs(width)["pulls"].to_numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(
        pulls, run_points([points[0]], np.zeros(width, int), np.arange(width)).pulls
    )


# 2. and 3. Horizons and parameters are traced.


def test_a_longer_horizon_begins_with_the_shorter_one():
    short, long = runs(100), runs(100, record_at=[10, 25, 90])
    for rounds in (10, 25):
        # The worst certificate and everything else so far: no variable looks ahead.
        assert_same(short.sel(round=[rounds]), long.sel(round=[rounds]))


def test_one_compilation_serves_all_parameters():
    runs(5)
    before = program.compilations()
    for budget in (0.0, 0.5, 1.1, 7.0):
        runs(5, problem(budget=budget))
    for alpha in (0.0, 0.05, 1.0, 3.0):
        runs(5, policy=C2MABV(alpha_reward=alpha, alpha_cost=alpha / 2))
    for delta in (0.001, 0.9, "1/T"):
        runs(5, policy=C2MABV(delta=delta))
    for shift in (0.0, 0.05):
        means = {"mean_reward": MEAN_REWARD - shift, "mean_cost": MEAN_COST + shift}
        runs(5, world=WORLD.replace(**means))
    for horizon in (26, 1000):
        runs(5, record_at=[10, 25, horizon])
    assert program.compilations() == before
    runs(5, policy=C2MABV(radius="anytime"))  # the control: another algorithm
    assert program.compilations() == before + 1


def test_memory_does_not_grow_with_the_horizon():
    """The same program runs any horizon, and returns what is recorded, not what happened."""
    width = block.lanes()
    sizes = [runs(1, record_at=[10, 25, horizon]).nbytes for horizon in (40, 2000)]
    assert sizes[0] == sizes[1]
    accounting = Accounting("counts")
    records = jax.eval_shape(
        block.advance,
        block.per_lane([point()], np.zeros(width, int)),
        accounting,
        jax.random.key(0, impl="threefry2x32"),
        jnp.arange(width, dtype=jnp.uint32),
        jnp.asarray([10, 25, 10**9], jnp.int32),
    )
    assert all(x.shape[0] == 3 and x.shape[-1] == width for x in jax.tree.leaves(records))


# 4. Sums.


def test_compensated_sums_stay_right_for_ten_million_terms():
    number = 10_000_000

    @jax.jit
    def add_up(constant):
        def body(t, carry):
            compensated, plain = carry
            noise = (t.astype(jnp.uint32) * jnp.uint32(2654435761)) >> 8
            term = jnp.stack([noise.astype(jnp.float32) * jnp.float32(2.0**-24), constant])
            return sums.add(compensated, term), plain + term

        start = sums.Sum(jnp.zeros(2), jnp.zeros(2)), jnp.zeros(2)
        return jax.lax.fori_loop(0, number, body, start)

    compensated, plain = add_up(jnp.float32(0.1))
    steps = np.arange(number, dtype=np.uint32) * np.uint32(2654435761) >> np.uint32(8)
    exact = np.array([int(steps.astype(np.int64).sum()) / 2**24, number * float(np.float32(0.1))])
    np.testing.assert_allclose(sums.value(compensated), exact, rtol=1e-8)
    # The control: a plain float32 sum of 0.1 is wrong by several per cent.
    assert abs(float(plain[1]) / exact[1] - 1) > 0.02


# Labels and numbers of the result.


@pytest.fixture(scope="module")
def result():
    return runs(400, coverage=True, marginals=True)


def test_dimensions_units_and_history(result):
    assert dict(result.sizes) == {"seed": 400, "round": 3, "arm": 4}
    np.testing.assert_array_equal(result["round"], RECORDS)
    assert list(result["arm"].to_numpy()) == list(WORLD.names)
    for name, variable in result.data_vars.items():
        assert variable.attrs.get("units"), name
        assert variable.dims[:2] == ("seed", "round") or variable.dims == ("arm",), name
    assert {"regret", "regret_fixed_set", "reward", "cost", "violation", "signed_violation",
            "count", "pulls", "fallback", "gap", "feasibility"} <= set(result)  # fmt: skip
    attributes = result.attrs
    assert attributes["package"] == f"c2mabv_jax {c2.__version__}"
    assert attributes["jax"] == jax.__version__ and attributes["root_seed"] == 0
    assert attributes["device"].startswith(jax.default_backend())
    assert attributes["policy"] == "C2MABV" and attributes["budget"] == 0.9
    told = json.loads(attributes["configuration"])
    assert told["problem"]["num_selected"] == 2
    assert told["policy"]["alpha_cost"] == 0.1
    assert told["environment"]["reward"]["mean"] == pytest.approx(MEAN_REWARD.tolist())


def test_any_tool_can_open_it(result, tmp_path):
    result.to_zarr(tmp_path / "result.zarr", zarr_format=3, consolidated=False)
    again = xr.open_zarr(tmp_path / "result.zarr", consolidated=False)
    xr.testing.assert_identical(result, again.load())


def test_numbers_hang_together(result):
    t = np.array(RECORDS)
    pulls = result["pulls"].to_numpy()
    assert (pulls.sum(axis=2) == 2 * t).all()  # exactly N a round
    np.testing.assert_array_equal(result["count"], pulls)  # semi-bandit: all is observed
    signed = result["cost"] - 0.9
    np.testing.assert_allclose(result["signed_violation"], signed, atol=1e-12)
    np.testing.assert_allclose(result["violation"], np.maximum(signed, 0), atol=1e-12)
    spec = Spec("SUC", 2, 0.9, tuple(MEAN_REWARD), tuple(MEAN_COST), "", "", 0, 0, 0)
    best = optimum(spec, subsets(4, 2, False))
    assert result.attrs["optimum"] == pytest.approx(best, abs=1e-9)
    np.testing.assert_allclose(result["regret"], t * best - pulls @ MEAN_REWARD, atol=1e-6)
    np.testing.assert_allclose(result["expected_cost"] * t, pulls @ MEAN_COST, atol=1e-6)
    fixed = t * 1.2 - pulls @ MEAN_REWARD  # {1, 2}, the best pair within 0.9
    np.testing.assert_allclose(result["regret_fixed_set"], fixed, atol=1e-6)
    assert (result["lagrangian_regret"] > -1e-6).all()  # weak duality, on every path
    assert (result["messages"] == t).all() and (result["unconverged"] == 0).all()
    assert (result["gap"] <= 1e-5).all() and (result["feasibility"] <= 1e-5).all()
    assert (result["fallback"] == 0).all()


def test_realised_and_expected_agree_in_the_mean(result):
    """Differences of means are within 5 standard errors: false alarm below 1e-5 in all."""
    last = result.isel(round=-1)
    pairs = [("reward", "expected_reward"), ("cost", "expected_cost")]
    differences = [last[a] - last[b] for a, b in pairs]
    differences += list((last["pulls"] - last["marginals"]).transpose("arm", "seed"))
    for difference in map(np.asarray, differences):
        error = difference.std(ddof=1) / np.sqrt(difference.size)
        assert error > 0 and abs(difference.mean()) < 5 * error


def test_options_are_options(result):
    plain = runs(400)
    assert set(result) - set(plain) == {"uncovered", "marginals"}
    np.testing.assert_array_equal(plain["pulls"], result["pulls"])
    t = np.array(RECORDS)
    np.testing.assert_allclose(result["marginals"].sum("arm"), np.tile(2 * t, (400, 1)), atol=1e-4)


def test_coverage_is_the_exact_probability():
    """One LLM, always asked: P(U_t < mu) is a binomial sum. 4 standard errors: 6e-5."""
    from scipy import stats

    mean, alpha, horizon, number = 0.6, 0.3, 30, 20_000
    world = c2.environments.synthetic([mean], [0.5], cost="constant")
    asked = c2.Problem(num_arms=1, num_selected=1, budget=1.0, reward_model="SUC")
    policy = C2MABV(alpha_reward=alpha, alpha_cost=alpha)
    found = c2.simulate(asked, world, policy, horizon, number, [10, 20, horizon], coverage=True)
    uncovered = found["uncovered"].isel(round=-1).to_numpy()
    exact = 0.0
    for t in range(2, horizon + 1):
        n, wins = t - 1, np.arange(t)
        radius = alpha * np.sqrt(np.log(2 * np.pi**2 * t**3 / (3 * 0.05)) / (2 * n))
        exact += stats.binom.pmf(wins, n, mean)[wins / n + radius < mean].sum()
    error = uncovered.std(ddof=1) / np.sqrt(number)
    print(f"\nuncovered rounds: {uncovered.mean():.4f}, exactly {exact:.4f}, error {error:.4f}")
    assert exact > 20 * error
    assert abs(uncovered.mean() - exact) < 4 * error


def test_an_unaffordable_budget_is_counted_and_the_cheapest_are_asked():
    found = runs(20, problem(budget=0.3), record_at=[50, 80, 100], policy=C2MABV(0.3, 0.0))
    assert found.attrs["feasible"] == 0 and found.attrs["optimum"] == pytest.approx(0.7)
    late = found.isel(round=slice(1, None))
    assert (found["fallback"].diff("round").to_numpy() == [30, 20]).all()
    asked = late["pulls"].diff("round").isel(round=0)
    np.testing.assert_array_equal(asked, np.tile([0, 0, 20, 20], (20, 1)))  # the cheapest two
    assert (found["feasibility"] <= 1e-5).all()  # a fallback is no solution that breaks a rule


# Logs.


def write_log(path, cost_factor=1.0):
    """Two LLMs that are never right together, and a third; costs in USD."""
    rng = np.random.default_rng(3)
    first = rng.integers(2, size=60)
    scores = np.stack([first, 1 - first, rng.integers(2, size=60)], 1)
    costs = rng.integers(1, 1000, size=(60, 3)) * 1e-6 * cost_factor
    names = ("big", "middle", "small")
    header = [f"score|{name}" for name in names] + [f"cost_usd|{name}" for name in names]
    rows = [",".join(header)]
    rows += [
        ",".join(f"{x:.12g}" for x in (*score, *cost))
        for score, cost in zip(scores, costs, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return scores, costs


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder / "dear.csv", 1000.0)
    return folder, *write_log(folder / "log.csv")


def test_a_log_is_replayed_row_by_row_in_its_own_money(logs):
    folder, scores, costs = logs
    world = c2.environments.replay(folder / "log.csv", order="logged")
    asked = c2.Problem(num_arms=3, num_selected=3, budget=0.003, reward_model="AWC")
    t = np.array([1, 7, 60])
    found = c2.simulate(asked, world, POLICY, 60, 30, t)  # enough for all three, always
    assert (scores[:, :2].sum(1) == 1).all()
    assert (found["reward"] == 1.0).all()  # whole rows: one of the first two is right
    assert (found["expected_reward"] == 1.0).all()
    paid = np.tile(costs.sum(1).cumsum()[t - 1] / t, (30, 1))
    np.testing.assert_allclose(found["cost"], paid, rtol=1e-6)
    np.testing.assert_allclose(found["signed_violation"], found["cost"] - 0.003, atol=1e-12)
    np.testing.assert_allclose(found["mean_cost"], costs.mean(0), rtol=1e-6)
    assert found["cost"].attrs["units"] == found.attrs["cost_unit"] == "USD/query"
    assert found.attrs["budget"] == 0.003
    # With less money the very same program mixes sets, by coins.
    tight = c2.simulate(asked.replace(budget=0.0009), world, POLICY, 60, 30, t)
    assert tight["pulls"].std("seed").max() > 0 and (tight["cost"] < paid).any()


def test_the_unit_of_money_changes_nothing_inside(logs):
    folder, _, _ = logs
    points = []
    for name, budget in (("log.csv", 0.0009), ("dear.csv", 0.9)):
        world = c2.environments.replay(folder / name)
        asked = c2.Problem(num_arms=3, num_selected=2, budget=budget, reward_model="SUC")
        points.append(point(asked, world=world))
    for a, b in zip(*map(jax.tree.leaves, points), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert points[1].environment.cost_scale == pytest.approx(
        1000 * points[0].environment.cost_scale
    )


# Errors, recorded rounds, double precision.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 0}, "horizon = 0: give a whole number from 1"),
        ({"horizon": 10.5}, "horizon = 10.5"),
        ({"horizon": 2**31}, "horizon = 2147483648"),
        ({"num_seeds": 0}, "num_seeds = 0"),
        ({"num_seeds": 2.5}, "num_seeds = 2.5"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 2**32}, "seed = 4294967296"),
        ({"first_seed": -1}, "first_seed = -1"),
        ({"first_seed": 2**32 - 2}, "first_seed = 4294967294"),
        ({"tile": 0}, "tile = 0"),
        ({"record_at": 0}, "record_at = 0"),
        ({"record_at": []}, "record_at: give whole rounds from 1 to horizon = 40"),
        ({"record_at": [0, 3]}, "record_at: give whole rounds"),
        ({"record_at": [41]}, "record_at: give whole rounds"),
        ({"record_at": [1.5]}, "record_at: give whole rounds"),
        ({"environment": c2.environments.synthetic([0.5], [0.5])}, "num_arms = 4: .* has 1 LLM"),
        ({"problem": problem(budget=np.ones(3))}, "budget = .*: give one number for all runs"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(change, message):
    before = program.compilations()
    given = {"problem": problem(), "environment": WORLD, "policy": POLICY, "horizon": HORIZON,
             "num_seeds": 3}  # fmt: skip
    with pytest.raises(c2.ProblemError, match=f"^{message}") as caught:
        c2.simulate(**(given | change))
    assert "\n" not in str(caught.value)
    assert program.compilations() == before  # found before anything ran


def test_recorded_rounds():
    default = recorded_rounds(10_000)
    assert default[0] == 1 and default[-1] == 10_000 and 40 <= default.size <= 60
    assert (np.diff(default) > 0).all() and default.dtype == np.int32
    steps = np.diff(np.log(default[default > 100]))
    assert steps.max() < 1.2 * steps.min()  # evenly spaced in the logarithm
    assert recorded_rounds(1).tolist() == [1]
    assert recorded_rounds(5, 100).tolist() == [1, 2, 3, 4, 5]
    assert recorded_rounds(9, 1).tolist() == [9]
    assert recorded_rounds(9, [4, 2, 4]).tolist() == [2, 4, 9]


def test_progress_is_told_of_every_seed():
    told = []
    runs(600, tile=256, progress=told.append)
    assert sum(told) == 600 and len(told) == 3


def test_double_precision_plays_the_same_rounds():
    """The same numbers in float64: the same sets, but for ties within rounding error."""
    single = runs(300)
    with jax.enable_x64(True):
        double = runs(300)
    assert (single.attrs["float"], double.attrs["float"]) == ("float32", "float64")
    same = (single["pulls"] == double["pulls"]).all(("round", "arm"))
    assert same.mean() > 0.9
    np.testing.assert_allclose(single["cost"][same], double["cost"][same], atol=1e-6)
    assert (double["gap"] <= 1e-12).all()
