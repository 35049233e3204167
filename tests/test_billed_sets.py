"""Super arms at what they are billed: no policy is better than the optimum, whatever it asks."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

import c2mabv_jax as c2
from c2mabv_jax.array import listing
from c2mabv_jax.theory import billed_table, true_optimum

REWARD = [0.6, 0.9, 0.2, 0.5, 0.7]
COST = [0.3, 0.9, 0.1, 0.3, 0.5]


def problem(model, budget=0.4, **options):
    return c2.Problem(
        num_arms=5,
        num_selected=3,
        budget=budget,
        reward_model=model,
        feedback="cascading",
        billing="queried",
        **options,
    )


def bill_of(order, model):
    """E of what is billed when independent arms are asked in this order, in plain Python."""
    total, reached = 0.0, 1.0
    for k in order:
        total += reached * COST[k]
        reached *= REWARD[k] if model == "AIC" else 1 - REWARD[k]
    return total


@pytest.mark.parametrize("model", ["AWC", "AIC"])
def test_independent_arms_cost_what_their_best_order_costs(model):
    table = billed_table(problem(model), c2.environments.synthetic(REWARD, COST))
    for chosen, cost, order in zip(table.sets, table.costs, table.orders, strict=True):
        arms = np.flatnonzero(chosen)
        bills = [bill_of(o, model) for o in itertools.permutations(arms)]
        assert cost == pytest.approx(min(bills), abs=1e-12)
        asked = arms[np.argsort(order[arms])]
        assert bill_of(asked, model) == pytest.approx(cost, abs=1e-12)


def rows():
    """Scores and costs of 40 queries: dependent across arms, and on each other."""
    rng = np.random.default_rng(4)
    hard = rng.random((40, 1))
    score = (rng.random((40, 5)) < np.clip(np.array(REWARD) + 0.4 - 0.8 * hard, 0, 1)).astype(int)
    return score, np.array(COST) * (0.5 + hard) / 1.5


def write(path, score, cost):
    lines = ["query,model,score,cost"]
    for q in range(score.shape[0]):
        for k in range(score.shape[1]):
            lines.append(f"q{q},m{k:02d},{score[q, k]},{cost[q, k]:.9f}")
    path.write_text("\n".join(lines))
    return c2.environments.replay(path, cost_scale=1.0)


@pytest.mark.parametrize("model", ["AWC", "AIC"])
def test_a_log_row_by_row(model, tmp_path):
    score, cost = rows()
    table = billed_table(problem(model), write(tmp_path / "log.csv", score, cost))
    stop = 0 if model == "AIC" else 1
    for chosen, bill in zip(table.sets, table.costs, strict=True):
        best = math.inf
        for order in itertools.permutations(np.flatnonzero(chosen)):
            spent = 0.0
            for q in range(len(score)):
                for k in order:
                    spent += cost[q, k]
                    if score[q, k] == stop:
                        break
            best = min(best, spent / len(score))
        assert bill == pytest.approx(best, abs=1e-7)  # the log is stored in float32


@pytest.mark.parametrize("model", ["AWC", "AIC"])
@pytest.mark.parametrize("budget", [0.35, 0.6])
def test_no_policy_beats_the_optimum(model, budget, tmp_path):
    """Lagrangian dominance, expected: r(S) - lambda (bill - budget) <= optimum for any order."""
    env = write(tmp_path / "log.csv", *rows())
    asked = problem(model, budget)
    best = true_optimum(asked, env)
    assert best.feasible and best.note == ""
    table = billed_table(asked, env)
    assert (table.values - best.relaxed - best.multiplier * (table.costs - budget)).max() < 1e-9
    # The oracle reaches it: 8 standard errors, false alarm below 1e-14 for each of 2 x 4 checks.
    oracle = c2.policies.catalogue.policy("oracle", asked, env)
    run = c2.simulate(asked, env, oracle, 200, 512, record_at=[200])
    for name, wanted in (("expected_reward", best.relaxed), ("cost", min(budget, 9.0))):
        if name == "cost" and not best.binding:
            continue
        values = run[name].values[:, 0]
        error = values.std(ddof=1) / math.sqrt(values.size) + 1e-6
        assert abs(values.mean() - wanted) < 8 * error, name


def test_unknown_bills_say_so():
    graded = c2.environments.synthetic(REWARD, COST, reward="beta")
    best = true_optimum(problem("AWC", satisfaction=0.5), graded)
    assert math.isnan(best.relaxed) and "threshold" in best.note
    many = c2.Problem(num_arms=60, num_selected=8, budget=1.0, billing="queried")
    best = true_optimum(many, c2.environments.synthetic([0.5] * 60, [0.5] * 60))
    assert math.isnan(best.relaxed) and "too many" in best.note
    run = c2.simulate(
        problem("AWC", satisfaction=0.5), graded, c2.policies.C2MABV(), 20, 4, record_at=[20]
    )
    assert np.isnan(run.regret.values).all() and np.isfinite(run.cost.values).all()


def test_the_cheapest_of_tied_best_sets_is_taken():
    asked = c2.Problem(num_arms=3, num_selected=1, budget=1.0, reward_model="SUC")
    best = true_optimum(asked, c2.environments.synthetic([0.5, 0.5, 0.4], [0.9, 0.2, 0.1]))
    np.testing.assert_array_equal(best.fixed_set, [False, True, False])


@pytest.mark.parametrize("num_arms, num_selected", [(5, 2), (16, 3), (17, 3), (25, 4)])
def test_every_set_stands_where_it_is_listed(num_arms, num_selected):
    sets = listing.listed(num_arms, num_selected)
    small = np.flatnonzero(sets.sum(1) <= num_selected)
    if num_arms > listing.WORDS:
        assert len(sets) == sum(math.comb(num_arms, s) for s in range(num_selected + 1))
    place = listing.place_of(jnp.asarray(sets[small].T), num_selected)
    np.testing.assert_array_equal(place, small)


def test_a_log_of_25_models_has_regret(tmp_path):
    rng = np.random.default_rng(6)
    score = (rng.random((50, 25)) < rng.random(25)).astype(int)
    cost = rng.random((50, 25))
    env = write(tmp_path / "wide.csv", score, cost)
    asked = c2.Problem(num_arms=25, num_selected=3, budget=0.7)
    table = env.set_reward_table("AWC", 3)
    chosen = listing.listed(25, 3)
    wins = [score[:, s].max(1).mean() if s.any() else 0 for s in chosen[::97]]
    np.testing.assert_allclose(table[::97], wins, atol=1e-12)
    run = c2.simulate(asked, env, c2.policies.C2MABV(), 20, 8, record_at=[20])
    assert np.isfinite(run.regret.values).all()
