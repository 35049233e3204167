"""Figures of sweeps show the numbers they claim to; the style reads in greyscale."""

import itertools

import numpy as np
import pytest
import xarray as xr

from c2mabv_jax.plotting import curves, style, sweeps

BUDGETS, ALPHAS, HORIZONS = (0.1, 0.2, 0.4), (0.05, 0.3, 1.0), (10, 100)
ROUNDS = np.array([1, 5, 10, 50, 100])


@pytest.fixture(scope="module")
def grid():
    """A made-up sweep whose values name their own point: mean = budget + 10 alpha + round."""
    rows = [("c2mabv", b, a, h) for b, a, h in itertools.product(BUDGETS, ALPHAS, HORIZONS)] + [
        ("uniform", b, np.nan, h) for b, h in itertools.product(BUDGETS, HORIZONS)
    ]
    policy, budget, alpha, horizon = (np.array(column) for column in zip(*rows, strict=True))
    names = np.nan_to_num(alpha)
    mean = budget[:, None] + 10 * names[:, None] + ROUNDS
    mean = np.where(horizon[:, None] < ROUNDS, np.nan, mean)
    variables = {}
    for name, unit in (("reward", "reward/round"), ("cost", "USD/query"), ("regret", "reward"),
                       ("violation", "USD/query")):  # fmt: skip
        variables[f"{name}_mean"] = (("point", "round"), mean, {"units": unit})
        spread = np.stack([mean - 1, mean, mean + 1], axis=-1)
        variables[f"{name}_quantile"] = (("point", "round", "quantile"), spread)
    variables["binding"] = ("point", np.ones(len(rows), bool))
    variables["feasible"] = ("point", np.ones(len(rows), bool))
    variables["optimum"] = ("point", budget)
    point = {
        "policy": policy,
        "environment": ["world"] * len(rows),
        "budget": budget,
        "budget_fraction": budget / 2,  # says the same again
        "alpha_cost": alpha,
        "horizon": horizon,
    }
    coordinates = {name: ("point", values) for name, values in point.items()}
    return xr.Dataset(variables, {**coordinates, "round": ROUNDS, "quantile": [0.025, 0.5, 0.975]})


def test_swept_parameters(grid):
    found = sweeps.swept(grid)
    assert found == {
        "budget": list(BUDGETS),
        "alpha_cost": list(ALPHAS),
        "horizon": list(HORIZONS),
    }
    assert list(sweeps.swept(sweeps.of_policy(grid, "uniform"))) == ["budget", "horizon"]


def test_hold_takes_the_middle_and_the_longest_horizon(grid):
    points, held = sweeps.hold(sweeps.of_policy(grid, "c2mabv"))
    assert points.sizes["point"] == 1
    assert held == {"budget": 0.2, "alpha_cost": 0.3, "horizon": 100}
    points, held = sweeps.hold(sweeps.of_policy(grid, "c2mabv"), free=("budget",))
    assert sorted(points["budget"].to_numpy()) == list(BUDGETS)
    assert "budget" not in held


def test_hold_takes_what_leaves_most_points(grid):
    """Pairs (0.05, 1), (0.3, 1), (1, 2): the middle of each alone would leave one point."""
    pairs = grid.assign_coords(
        alpha_reward=("point", np.where(grid["alpha_cost"] == 1.0, 2.0, 1.0))
    )
    own = sweeps.of_policy(pairs, "c2mabv")
    points, held = sweeps.hold(own, free=("budget", "alpha_cost"))
    assert held == {"alpha_reward": 1.0, "horizon": 100}
    assert sorted(set(points["alpha_cost"].to_numpy())) == [0.05, 0.3]


def test_final_is_each_points_own_last_round(grid):
    last = sweeps.final(grid)["reward_mean"].to_numpy()
    assert np.isfinite(last).all()
    wanted = grid["budget"] + 10 * np.nan_to_num(grid["alpha_cost"]) + grid["horizon"]
    np.testing.assert_array_equal(last, wanted)


def test_learning_curves_show_means_and_bands(grid):
    ax = sweeps.against_rounds(grid, "regret").axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["C2MAB-V"].get_ydata(), 0.2 + 3 + ROUNDS)
    np.testing.assert_allclose(lines["uniform random"].get_ydata(), 0.2 + ROUNDS)
    assert len(ax.collections) == 2  # bands
    low, high = ax.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == pytest.approx((3.2 + 1 - 1, 3.2 + 100 + 1))
    assert "alpha cost = 0.3" in ax.get_title(loc="left").replace("\N{NO-BREAK SPACE}", " ")


def test_heat_map_cells(grid):
    drawing = sweeps.heat_map(grid, "violation")
    image = drawing.axes[0].collections[0].get_array().reshape(3, 3)
    wanted = 100 + np.array(BUDGETS)[None] + 10 * np.array(ALPHAS)[:, None]
    np.testing.assert_allclose(image, wanted)
    assert drawing.axes[0].get_xlabel() == "budget"
    assert sweeps.heat_map(sweeps.of_policy(grid, "uniform"), "violation", ("budget", "x")) is None
    swapped = sweeps.heat_map(grid, "violation", ("alpha_cost", "budget"))
    np.testing.assert_allclose(swapped.axes[0].collections[0].get_array().reshape(3, 3), wanted.T)


def test_front_rings_what_is_not_dominated(grid):
    """Cost equals reward here except for one dominated policy, made dear for nothing."""
    worse = grid.copy(deep=True)
    uniform = worse["policy"].to_numpy() == "uniform"
    worse["cost_mean"][uniform] = 500.0
    ax = sweeps.front(worse).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    ringed = set(lines["not dominated"].get_xdata())
    assert ringed == set(lines["C2MAB-V"].get_xdata())
    assert 500.0 not in ringed


def test_optimum_of_the_front_is_that_of_the_points_shown(grid):
    """Another group's optimum, and one at a budget that no set can keep, are left out."""
    group = np.where(np.arange(grid.sizes["point"]) % 2 == 0, "a", "b")  # horizon 10 or 100
    mixed = grid.copy(deep=True).assign_coords(group=("point", group))
    mixed["optimum"][:] = np.where(mixed["horizon"] == 100, mixed["budget"], 7.0)
    mixed["feasible"][:] = mixed["budget"] > 0.1
    ax = sweeps.front(mixed).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    known = lines["mixed optimum at the budget"]
    np.testing.assert_array_equal(known.get_xdata(), [0.2, 0.4])
    np.testing.assert_array_equal(known.get_ydata(), [0.2, 0.4])


def test_what_is_held_fits_above_the_axes():
    drawing, axes = style.figure()
    held = {f"parameter_{i}": 0.125 * i for i in range(5)}
    sweeps._said(axes[0, 0], held, "C2MAB-V")
    drawing.draw_without_rendering()
    title = axes[0, 0]._left_title
    assert title.get_text().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ") == (
        "C2MAB-V: parameter 0 = 0, parameter 1 = 0.125, parameter 2 = 0.25, "
        "parameter 3 = 0.375, parameter 4 = 0.5"
    )
    assert title.get_window_extent().x1 <= drawing.bbox.x1
    axes[0, 0].set_title(title.get_text().replace("\n", " "), fontsize=6.5, loc="left")
    assert title.get_window_extent().x1 > drawing.bbox.x1  # in one line it would not


def test_worlds_are_not_mixed(grid):
    two = xr.concat([grid, grid.assign_coords(environment=("point", ["b/c"] * 24))], "point")
    assert [name for name, _ in sweeps.worlds(two)] == ["-world", "-b-c"]
    assert [name for name, _ in sweeps.worlds(grid)] == [""]
    drawn = sweeps.figures(two)
    assert {"regret-world", "front-b-c", "map-violation-b-c"} <= set(drawn)


def test_run_curve_is_the_mean_over_seeds():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 50, 5)).cumsum(-1)
    results = xr.Dataset(
        {"regret": (("policy", "seed", "round"), values, {"units": "reward"})},
        {"policy": ["c2mabv"], "round": ROUNDS},
        {"budget": 1.0},
    )
    ax = curves.against_rounds(results, "regret").axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values[0].mean(0))
    path = ax.collections[0].get_paths()[0].vertices
    low, high = np.quantile(values[0, :, -1], [0.025, 0.975])
    last = path[path[:, 0] == 100][:, 1]
    assert (last.min(), last.max()) == pytest.approx((low, high))


def test_curves_survive_greyscale():
    """Without colour, dashes and marker still tell any two policies apart."""
    marks = [(str(one.line), one.marker) for one in style.LOOKS.values()]
    twice = {mark for mark in marks if marks.count(mark) > 1}
    assert not twice


def test_saving_is_whole_and_repeatable(tmp_path):
    def draw():
        drawing, axes = style.figure()
        style.curve(axes[0, 0], ROUNDS, np.outer(np.arange(3), ROUNDS), "c2mabv")
        style.legend(drawing)
        return drawing

    first = style.save(draw(), tmp_path / "one.png")
    second = style.save(draw(), tmp_path / "deep" / "two")
    assert [path.name for path in first] == ["one.png", "one.pdf"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "one.pdf", "one.png"]
