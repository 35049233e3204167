"""Types of query under one budget: worlds, policies, records, optimum; against HiGHS and NumPy."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

from c2mabv_jax import environments, simulate, sweep, theory
from c2mabv_jax.engine import block, program
from c2mabv_jax.engine.tally import Accounting
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import C2MABV, Feedback, TypedC2MABV, TypedThompson, catalogue
from c2mabv_jax.problem import Problem
from c2mabv_jax.relaxation import INFEASIBLE, OPTIMAL
from c2mabv_jax.sweep import grid
from c2mabv_jax.sweep.spec import load

REAL = Path(__file__).parent.parent.parent / "shared/data/routerbench_sub/routerbench_sub.csv"
needs_log = pytest.mark.skipif(not REAL.exists(), reason="the real log is not beside the project")
FALSE_ALARM = 1e-6  # of each statistical test

# Two types that want different LLMs, and a third that nobody can answer.
REWARD = np.array([[0.9, 0.3, 0.2], [0.6, 0.8, 0.3], [0.1, 0.1, 0.1]])
COST = np.array([[0.6, 0.3, 0.1], [0.5, 0.2, 0.1], [0.9, 0.7, 0.2]])
SHARE = np.array([0.5, 0.3, 0.2])
PROBLEM = Problem(num_arms=3, num_selected=1, budget=0.3, reward_model="SUC")


def world(**options):
    worlds = [environments.synthetic(m, c, **options) for m, c in zip(REWARD, COST, strict=True)]
    return environments.by_type(worlds, SHARE, ["code", "trivia", "riddle"])


def highs(mu, c, share, num_selected, budget, at_most=False):
    """Value and multiplier of the typed problem, or None where nothing is affordable."""
    num_types, num_arms = np.shape(mu)
    gain, cost = ((np.asarray(share)[:, None] * x).ravel() for x in (mu, c))
    places, full = np.kron(np.eye(num_types), np.ones(num_arms)), np.full(num_types, num_selected)
    rows, limits, equal = [cost], [budget], {"A_eq": places, "b_eq": full}
    if at_most:
        rows, limits, equal = [cost, *places], [budget, *full], {}
    solved = linprog(-gain, A_ub=np.array(rows), b_ub=np.array(limits), bounds=(0, 1), **equal)
    return (-solved.fun, -solved.ineqlin.marginals[0]) if solved.status == 0 else None


# --- theory --------------------------------------------------------------------------------


@needs_log
@pytest.mark.parametrize(
    ("budget", "pooled", "typed"),
    [(0.001, 0.7889, 0.8309), (0.002, 0.8116, 0.8557), (0.004, 0.8569, 0.8762)],
)
def test_the_real_log_gains_by_types(budget, pooled, typed):
    log = environments.replay(REAL, types="group")
    assert log.types == ("arc-challenge", "mbpp", "winogrande") and log.num_rows == 3164
    problem = Problem(num_arms=11, num_selected=1, budget=budget, reward_model="SUC")
    mu, c, share = theory.money_by_type(log)
    best = theory.typed_optimum(problem, mu, c, share)
    plain = theory.optimum(problem, share @ mu, share @ c)
    assert (plain.relaxed, best.relaxed) == pytest.approx((pooled, typed), abs=5e-5)
    assert best.relaxed == pytest.approx(highs(mu, c, share, 1, budget)[0], abs=1e-9)
    assert plain.relaxed == pytest.approx(highs([share @ mu], [share @ c], [1], 1, budget)[0])


@pytest.mark.parametrize("at_most", [False, True])
@pytest.mark.parametrize("num_selected", [1, 3])
def test_optimum_agrees_with_highs(num_selected, at_most):
    rng = np.random.default_rng(num_selected + 10 * at_most)
    kinds = set()
    for steps in (None, 5):  # ties on the grid
        for _ in range(60):
            num_types = int(rng.integers(1, 6))
            mu, c = rng.uniform(size=(2, num_types, 6))
            if steps:
                mu, c = np.round(mu * steps) / steps, np.round(c * steps) / steps
            share = rng.dirichlet(np.ones(num_types))
            problem = Problem(
                num_arms=6,
                num_selected=num_selected,
                budget=float(rng.uniform(0.1, 0.8) * num_selected),
                reward_model="SUC",
                cardinality="at_most" if at_most else "exactly",
            )
            best = theory.typed_optimum(problem, mu, c, share)
            solved = highs(mu, c, share, num_selected, problem.budget, at_most)
            kinds.add((best.feasible, best.binding))
            assert best.feasible == (solved is not None)
            size = best.marginals.sum(axis=1)
            assert (size <= num_selected + 1e-9).all()
            assert at_most or np.allclose(size, num_selected)
            if solved is None:
                assert (c * best.marginals).sum() == pytest.approx(
                    np.sort(c)[:, :num_selected].sum()
                )
                continue
            spent = share @ best.cost_by_type
            assert best.relaxed == pytest.approx(solved[0], abs=1e-9)
            assert best.relaxed == pytest.approx(share @ best.value_by_type)
            assert spent <= problem.budget + 1e-9
            assert len(best.sets) == 1 or (best.sets[0] ^ best.sets[1]).sum() <= 2
            # Weak duality: no choice of sets is above the line of the price.
            for _ in range(20):
                chosen = rng.uniform(size=mu.shape).argsort(axis=1) < num_selected
                value, cost = ((share[:, None] * x * chosen).sum() for x in (mu, c))
                assert value - best.relaxed <= best.multiplier * (cost - problem.budget) + 1e-9
            costs, values = theory.typed_front(problem, mu, c, share)
            assert np.interp(problem.budget, costs, values) == pytest.approx(solved[0], abs=1e-9)
    assert {(True, True), (True, False)} <= kinds


def test_one_type_is_the_plain_optimum():
    problem = PROBLEM.replace(num_selected=2, budget=0.6)
    best = theory.typed_optimum(problem, REWARD[:1], COST[:1], [1.0])
    plain = theory.optimum(problem, REWARD[0], COST[0])
    assert best.relaxed == pytest.approx(plain.relaxed, abs=1e-15)
    assert best.multiplier == pytest.approx(plain.multiplier)
    np.testing.assert_allclose(best.marginals[0], plain.marginals, atol=1e-12)


def test_theory_refuses_what_does_not_fit():
    with pytest.raises(ProblemError, match="mean_cost: shape"):
        theory.typed_optimum(PROBLEM, REWARD, COST[:2], SHARE)
    with pytest.raises(ProblemError, match="frequencies"):
        theory.typed_optimum(PROBLEM, REWARD, COST, SHARE * 2)
    with pytest.raises(ProblemError, match="common scale"):
        theory.typed_optimum(
            PROBLEM.replace(reward_model="AIC", num_selected=2), REWARD, COST, SHARE
        )


# --- worlds --------------------------------------------------------------------------------


def keys(number):
    return jax.random.split(jax.random.key(5, impl="threefry2x32"), number)


def test_a_mixture_draws_types_and_answers_by_type():
    number, env = 40_000, world()
    kind, outcome = jax.jit(lambda keys: (env.type_of(keys, 1), env.sample(keys, 1)))(keys(number))
    kind = np.asarray(kind)
    counts = np.bincount(kind, minlength=3)
    assert stats.chisquare(counts, SHARE * number).pvalue > FALSE_ALARM / 19
    for g in range(3):
        mine = kind == g
        for values, means in ((outcome.reward, REWARD), (outcome.cost, COST)):
            for k in range(3):
                ones = int(np.asarray(values)[k, mine].sum())
                test = stats.binomtest(ones, int(mine.sum()), means[g, k])
                assert test.pvalue > FALSE_ALARM / 19
    np.testing.assert_allclose(env.mean_reward, SHARE @ REWARD)
    np.testing.assert_allclose(env.mean_cost, SHARE @ COST)
    assert env.num_types == 3 and env.num_arms == 3 and env.binary_reward


def test_types_come_from_a_stream_of_their_own():
    """A world plays the same numbers whether or not it is one of several types."""
    plain = environments.synthetic(REWARD[0], COST[0])
    alone = environments.by_type([plain], [1.0])
    drawn = [jax.jit(env.sample)(keys(50), 3) for env in (plain, alone)]
    for a, b in zip(*drawn, strict=True):
        np.testing.assert_array_equal(a, b)


def test_set_rewards_of_a_mixture():
    table = world().set_reward_table("AIC")
    assert table[0b011] == pytest.approx(SHARE @ (REWARD[:, 0] * REWARD[:, 1]))
    coupled = world(correlation=0.5).set_reward_table("SUC")
    assert coupled[0b101] == pytest.approx(SHARE @ (REWARD[:, 0] + REWARD[:, 2]), abs=1e-9)


LOG = """query_id,group,score|a,score|b,cost|a,cost|b
1,math,1,0,0.5,0.1
2,code,0,1,0.4,0.2
3,math,0,1,0.3,0.1
4,code,1,1,0.2,0.2
"""


@pytest.mark.parametrize("order", ["shuffled", "logged", "permuted"])
def test_replay_knows_the_type_of_a_row(tmp_path, order):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    env = environments.replay(path, types="group", order=order)
    assert env.types == ("code", "math")
    np.testing.assert_allclose(env.by_type.frequencies, [0.5, 0.5])
    np.testing.assert_allclose(env.by_type.mean_reward, [[0.5, 1], [0.5, 0.5]])
    np.testing.assert_allclose(env.by_type.mean_cost, [[0.6, 0.4], [0.8, 0.2]])
    of_cost = {0.4: 0, 0.2: 0, 0.5: 1, 0.3: 1}  # of LLM a; money
    seen = set()
    draw = jax.jit(lambda key, t: (env.type_of(key, t), env.sample(key, t).cost[0]))
    for t in range(1, 9):
        kind, cost = draw(keys(8)[t - 1], t)
        cost = round(float(cost) * 0.5, 3)
        assert of_cost[cost] == kind
        seen.add(cost)
    assert len(seen) > 2


def test_bad_types_are_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG.replace(",group", "").replace(",math", "").replace(",code", ""))
    with pytest.raises(ProblemError, match="no column group"):
        environments.replay(path, types="group")
    with pytest.raises(ProblemError, match="types = 'task'"):
        environments.replay(path, types="task")
    plain = environments.synthetic(REWARD[0], COST[0])
    for match, arguments in (
        ("add up to 1", ([plain, plain], [0.5, 0.4])),
        ("one per world", ([plain, plain], [1.0])),
        ("names differ", ([plain, environments.synthetic([0.5], [0.5])], [0.5, 0.5])),
        ("different names", ([plain, plain], [0.5, 0.5], ["a", "a"])),
        ("plain world", ([world()], [1.0])),
        ("none given", ([], [])),
    ):
        with pytest.raises(ProblemError, match=match):
            environments.by_type(*arguments)


# --- policies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "num_selected", "at_most", "budget"),
    [(False, 1, False, 0.06), (True, 2, False, 0.15), (False, 2, True, 0.03)],
)
def test_decisions_agree_with_numpy_and_highs(known, num_selected, at_most, budget):
    """Every round: bounds from the history in NumPy, the relaxed problem by HiGHS."""
    num_types, num_arms, rounds, alpha, delta = 3, 4, 60, (0.3, 0.02), 0.05
    rng = np.random.default_rng(3)
    problem = Problem(
        num_arms=num_arms,
        num_selected=num_selected,
        budget=budget,
        reward_model="SUC",
        cardinality="at_most" if at_most else "exactly",
    )
    share = rng.dirichlet(np.ones(num_types))
    with jax.enable_x64(True):
        policy = TypedC2MABV(num_types, share if known else None, *alpha, delta)
        state = policy.init(problem)
        count = np.zeros((num_types, num_arms))
        totals = np.zeros((2, num_types, num_arms))
        met = np.zeros(num_types)
        select, update = jax.jit(policy.select), jax.jit(policy.update)
        binding = 0
        for t in range(1, rounds + 1):
            kind = int(rng.integers(num_types))
            met[kind] += 1
            ell = np.log(2 * np.pi**2 * num_types * num_arms * t**3 / (3 * delta))
            seen = np.maximum(count, 1)
            width = np.where(count > 0, np.sqrt(ell / (2 * seen)), np.inf)
            upper = np.minimum(1, totals[0] / seen + alpha[0] * width)
            lower = np.maximum(0, totals[1] / seen - alpha[1] * width)
            p = share if known else met / t
            key = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), t)
            decision = select(problem, state, key, context=jnp.int32(kind))
            np.testing.assert_allclose(decision.evidence.bounds.reward_ucb, upper, atol=1e-12)
            np.testing.assert_allclose(decision.evidence.bounds.cost_lcb, lower, atol=1e-12)
            solved, certificate = (
                highs(upper, lower, p, num_selected, problem.budget, at_most),
                decision.evidence.certificate,
            )
            assert certificate.status == (INFEASIBLE if solved is None else OPTIMAL)
            if solved is not None:
                assert certificate.objective == pytest.approx(solved[0], abs=1e-9)
                binding += solved[1] > 0
            chosen = np.asarray(decision.selected)
            assert chosen.sum() <= num_selected and (at_most or chosen.sum() == num_selected)
            assert not chosen[np.asarray(decision.marginals) == 0].any()
            x, y = rng.uniform(size=(2, num_arms)) < [[REWARD[kind, 0]], [COST[kind, 1]]]
            x, y = x.astype(float), y * rng.uniform(size=num_arms) * np.linspace(0.1, 1, num_arms)
            state = update(problem, state, decision, Feedback(x, y, decision.selected))
            count[kind] += chosen
            totals[:, kind] += np.where(chosen, [x, y], 0)
        np.testing.assert_array_equal(state.seen, met)
        np.testing.assert_array_equal(state.estimates.count, count.ravel())
    assert binding > rounds / 6


def test_one_type_plays_as_plain_c2mabv_to_the_bit():
    plain = environments.synthetic(REWARD[1], COST[1])
    kwargs = dict(horizon=80, num_seeds=40, record_at=[3, 20, 80])
    typed = simulate(
        PROBLEM, environments.by_type([plain], [1.0]), TypedC2MABV(1, None, 0.3, 0.05), **kwargs
    )
    alone = simulate(PROBLEM, plain, C2MABV(0.3, 0.05), **kwargs)
    for name in ("reward", "cost", "pulls", "count", "gap", "messages"):
        np.testing.assert_array_equal(typed[name], alone[name], err_msg=name)
    np.testing.assert_allclose(typed["regret"], alone["regret"], atol=1e-9)
    np.testing.assert_allclose(typed["lagrangian_regret"], alone["lagrangian_regret"], atol=1e-9)


@pytest.mark.parametrize("num_types", [15, 20])
def test_many_types_play_whatever_the_compiler_makes_of_them(monkeypatch, num_types):
    """Of 60 arms it may not be able to make one function; of 80 it is not asked to."""
    monkeypatch.setattr(program, "_too_heavy", set())
    one, mixed = environments.generators.typed_instance(3, num_types, 4, 1)
    policy = TypedC2MABV(num_types, None, 0.3, 0.05)
    point = block.Point(one, mixed, policy)
    assert program.as_one(point, Accounting("counts"), block.LANES["cpu"]) == (num_types < 17)
    done = simulate(one, mixed, policy, 40, 8, record_at=[40]).isel(round=0)
    assert (done.type_rounds.sum("type") == 40).all()
    assert (done.type_pulls.sum("arm") == done.type_rounds).all()
    assert (done.unconverged == 0).all() and float(done.feasibility.max()) < 1e-5


def run(name, num_seeds=40, **options):
    policy = catalogue.policy(name, PROBLEM, world(), **options)
    return simulate(PROBLEM, world(), policy, 300, num_seeds, record_at=[10, 300])


@pytest.mark.parametrize("entry", [e.name for e in catalogue.TYPED])
def test_records_by_type(entry):
    """Types add up to the whole, and weak duality holds on every path."""
    done = run(entry)
    assert done.attrs["optimum"] > done.attrs["optimum_pooled"]
    np.testing.assert_array_equal(done.type_pulls.sum("type"), done.pulls)
    np.testing.assert_array_equal(done.type_rounds.sum("type"), done["round"].expand_dims(seed=40))
    np.testing.assert_array_equal(done.type_pulls.sum("arm"), done.type_rounds)
    np.testing.assert_allclose(done.type_cost.sum("type"), done.cost, rtol=1e-6)
    t = done["round"].to_numpy()
    expected = (done.type_pulls * REWARD).sum(("type", "arm"))
    np.testing.assert_allclose(done.expected_reward, expected / t, rtol=1e-12)
    assert (done.lagrangian_regret > -1e-9).all()
    assert (done.unconverged == 0).all()


def test_weak_duality_holds_for_who_does_not_look():
    done = simulate(PROBLEM, world(), C2MABV(0.3, 0.05), 300, 40, record_at=[10, 300])
    assert (done.lagrangian_regret > -1e-9).all() and float(done.lagrangian_regret.min()) > 0
    np.testing.assert_array_equal(done.type_pulls.sum("type"), done.pulls)


def test_the_oracle_has_no_regret_and_spends_the_budget():
    done = run("oracle-types", 400).isel(round=-1)
    assert abs(float(done.lagrangian_regret.min())) < 1e-9
    for values, goal in ((done.regret, 0.0), (done.expected_cost, 0.3)):
        sure = stats.norm.isf(FALSE_ALARM / 4) * float(values.std(ddof=1)) / 20
        assert abs(float(values.mean()) - goal) < sure


@pytest.mark.parametrize("policy", [TypedC2MABV, TypedThompson])
def test_a_seed_does_not_depend_on_its_neighbours(policy):
    many = simulate(PROBLEM, world(), policy(3), 60, 300, record_at=[60])
    some = simulate(PROBLEM, world(), policy(3), 60, 5, record_at=[60], first_seed=290)
    for name in ("reward", "cost", "type_pulls", "type_cost"):
        np.testing.assert_array_equal(many[name][290:295], some[name])


def test_bounds_cover_by_type():
    """At alpha = 1 bounds never fail; at alpha = 0 they fail in every round but the first few."""
    sure = simulate(PROBLEM, world(), TypedC2MABV(3), 100, 40, record_at=[100], coverage=True)
    assert int(sure.uncovered.sum()) == 0
    none = TypedC2MABV(3, alpha_reward=0.0, alpha_cost=0.0)
    none = simulate(PROBLEM, world(), none, 100, 40, record_at=[100], coverage=True)
    assert float(none.uncovered.mean()) > 80


def test_policies_by_type_need_types():
    plain = environments.synthetic(REWARD[0], COST[0])
    with pytest.raises(ProblemError, match="type of a query"):
        simulate(PROBLEM, plain, TypedC2MABV(3), 10, 1)
    for entry in catalogue.TYPED:
        with pytest.raises(ProblemError, match="type of a query"):
            catalogue.policy(entry.name, PROBLEM, plain)
    with pytest.raises(ProblemError, match=r"num_types = 2: .* 3 types"):
        simulate(PROBLEM, world(), TypedC2MABV(2), 10, 1)
    with pytest.raises(ProblemError, match="context: not given"):
        TypedC2MABV(3).select(PROBLEM, TypedC2MABV(3).init(PROBLEM), keys(1)[0])
    with pytest.raises(ProblemError, match="common scale"):
        simulate(PROBLEM.replace(reward_model="AWC", num_selected=2), world(), C2MABV(), 10, 1)
    for options in ({"num_types": 0}, {"num_types": 2, "frequencies": [1.0]}):
        with pytest.raises(ProblemError, match=r"num_types|frequencies"):
            TypedC2MABV(**options)
    known = catalogue.policy("c2mabv-types", PROBLEM, world(), frequencies="known")
    np.testing.assert_array_equal(known.frequencies, SHARE)


def test_one_llm_per_query_under_any_reward_model():
    """With N = 1 AWC, SUC and AIC are one problem; at most one LLM is asked in AWC."""
    values = {}
    for model in ("SUC", "AWC", "AIC"):
        problem = PROBLEM.replace(reward_model=model, cardinality="exactly", feedback="semi-bandit")
        policy = TypedC2MABV(3, None, 0.3, 0.05)
        values[model] = simulate(problem, world(), policy, 60, 8, record_at=[60])
    for model in ("AWC", "AIC"):
        for name in ("reward", "cost", "type_pulls", "regret"):
            np.testing.assert_allclose(values[model][name], values["SUC"][name], rtol=1e-12)


# --- sweeps --------------------------------------------------------------------------------

SWEEP = """
num_seeds = 40
record_at = [10, 60]
[problem]
num_selected = 1
horizon = 60
reward_model = "SUC"
budget = [0.25, 0.3]
[[environment]]
kind = "synthetic"
mean_reward = [[0.9, 0.3, 0.2], [0.6, 0.8, 0.3]]
mean_cost = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.1]]
frequencies = [0.4, 0.6]
types = ["code", "trivia"]
[[policy]]
name = "c2mabv-types"
alphas = [[0.3, 0.05], [1.0, 0.05]]
frequencies = "known"
"""


def test_a_sweep_by_types_is_simulate(tmp_path):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    sweep.sweep(tmp_path / "sweep.toml", tmp_path / "out", quiet=True)
    found = sweep.load(tmp_path / "out").load()
    assert found.sizes["point"] == 4 and (found.lagrangian_regret_mean > 0).all()
    worlds = [environments.synthetic(m, c) for m, c in zip(REWARD[:2], COST[:2], strict=True)]
    env = environments.by_type(worlds, [0.4, 0.6], ["code", "trivia"])
    problem = PROBLEM.replace(budget=0.3)
    policy = catalogue.policy(
        "c2mabv-types", problem, env, alpha_reward=0.3, alpha_cost=0.05, frequencies="known"
    )
    alone = simulate(problem, env, policy, 60, 40, record_at=[10, 60])
    (point,) = np.flatnonzero((found.budget == 0.3) & (found.alpha_reward == 0.3))
    assert float(found.optimum[point]) == pytest.approx(alone.attrs["optimum"])
    for name in ("reward", "cost", "regret", "lagrangian_regret", "expected_cost"):
        mean = found[f"{name}_mean"][int(point)]
        np.testing.assert_allclose(mean, alone[name].mean("seed"), rtol=1e-9, err_msg=name)


def test_sweeps_of_types_are_checked(tmp_path):
    for old, new, match in (
        ("[0.4, 0.6]", "[0.4, 0.3, 0.3]", "mean_reward: give 3 lists"),
        ("frequencies = [0.4, 0.6]\n", "", "types: give frequencies"),
        ('"SUC"', '"AIC"\ncardinality = "exactly"', None),
    ):
        (tmp_path / "bad.toml").write_text(SWEEP.replace(old, new))
        table, where = load(tmp_path / "bad.toml") if match is None else (None, None)
        if match is None:  # one LLM a query: every reward model will do
            assert len(list(grid.points(table, where))) == 4
            continue
        with pytest.raises(ProblemError, match=match):
            load(tmp_path / "bad.toml")


def test_generated_instances_have_a_binding_budget():
    for seed in range(20):
        problem, env = environments.generators.typed_instance(seed, 1 + seed % 4, 5, 2)
        best = theory.typed_optimum(problem, *theory.money_by_type(env))
        assert best.binding and best.feasible and env.num_types == 1 + seed % 4
