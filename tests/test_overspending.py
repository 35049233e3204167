"""The footer of a run: what C2MAB-V overspends, and what theory predicts of longer horizons."""

import json

import numpy as np
import pytest

from c2mabv_jax import environments, theory
from c2mabv_jax.cli import jobs
from c2mabv_jax.cli.overspending import overspending, sentence

ALPHAS = {"alpha_reward": 0.3, "alpha_cost": 0.05, "delta": 0.05}


@pytest.fixture(scope="module")
def done():
    world = environments.scenario("nine-llms")
    job = jobs.prepare(world, "SUC", 4, 0.0042, ("c2mabv", "oracle"), ALPHAS, 500, 8, 0)
    return job, jobs.simulate_all(job)


def changed(results, part, **values):
    """The results of another configuration, as far as the footer can see."""
    made = json.loads(results.attrs["configuration"])
    (made["policy"]["c2mabv"] if part == "policy" else made[part]).update(values)
    return results.assign_attrs(configuration=json.dumps(made))


def test_measured_is_what_the_results_say(done):
    _, results = done
    found = overspending(results)["measured"]
    excess = results["signed_violation"].sel(policy="c2mabv").mean("seed")
    assert found["rounds"][-1] == 500 and 40 <= found["rounds"][0] <= 60
    assert found["overspent"] == [float(excess.sel(round=t)) for t in found["rounds"]]


def test_predicted_is_theory(done):
    """In money: everything scaled by the cost scale."""
    job, results = done
    found = overspending(results)["predicted"]
    assert found["rounds"] == [500, 5_000, 50_000]
    scale, world = float(job.environment.cost_scale), job.environment
    reward, cost = (np.asarray(x, float) for x in (world.mean_reward, world.mean_cost))
    best = theory.optimum(job.problem.replace(budget=0.0042 / scale), reward, cost)
    for t, value in zip(found["rounds"], found["overspent"], strict=True):
        total = theory.predictions.violation_refined(t, 9, 0.05, best, reward, cost, 0.3, 0.05)
        assert value == pytest.approx(scale * total / t, rel=1e-5)
    assert found["overspent"][0] > 2 * found["overspent"][1] > 4 * found["overspent"][2]
    said = sentence(overspending(results), "USD/query", 0.0042)
    assert f"predicted by theory {found['overspent'][0]:.3g} at 500," in said


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("problem", {"reward_model": "AWC"}),
        ("problem", {"reward_model": "AIC"}),
        ("problem", {"budget": 1.0}),  # slack
        ("policy", {"radius": "bernstein"}),
        ("policy", {"window": 100}),
        ("policy", {"alpha_cost": 0.0}),
        ("environment", {"order": "logged"}),
    ],
)
def test_nothing_is_predicted_where_theory_says_nothing(done, part, values):
    _, results = done
    found = overspending(changed(results, part, **values))
    assert found["predicted"] == {"rounds": [], "overspent": []}
    assert "predicted" not in sentence(found, "USD/query", 0.0042)


def test_silent_where_the_budget_is_kept_or_c2mabv_did_not_play(done):
    _, results = done
    assert overspending(results.sel(policy=["oracle"])) is None
    assert overspending(results.assign(signed_violation=0 * results["signed_violation"])) is None
