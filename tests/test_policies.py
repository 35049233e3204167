"""What is particular to each policy, against formulas, enumeration and closed forms.

Statistical tests are at 4.5 standard errors or more: false alarm below 1e-5 each.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from policy_loop import MEAN_COST, MEAN_REWARD, begin, column, keys, one_round

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.array import streams, sums
from c2mabv_jax.policies import (
    CUCB,
    C2MABVDirect,
    Conservative,
    EpsilonGreedy,
    ExploreThenCommit,
    LyapunovQueue,
    OmegaUCB,
    PessimisticOptimistic,
    PrimalDualBwK,
    ThompsonSampling,
    UCBBwK,
    UniformRandom,
    catalogue,
)
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.policies.beta_sampling import beta
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.policies.learning import Learned

FAST = {"xla_backend_optimization_level": 0}  # compiling takes longer than running here
SUC = Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="SUC")
Z = 4.5


def path(horizon, lanes, answer, seed=0):
    """A compiled run: (problem, policy) -> final state, (states before, sets, bills) `[T, ...]`."""

    def run(problem, policy, key):
        def body(state, t):
            after, decision, feedback = one_round(problem, policy, state, key, t, answer=answer)
            bill = jnp.where(feedback.billed, feedback.cost, 0).sum(0)
            return after, (state, decision.selected, bill)

        return jax.lax.scan(body, begin(problem, policy, (lanes,)), jnp.arange(1, horizon + 1))

    compiled = jax.jit(run, compiler_options=FAST)
    return lambda problem, policy: compiled(problem, policy, keys(lanes, seed))


def bernoulli(reward, cost):
    """Bernoulli rewards and costs with these means, `[K]`."""

    def answer(problem, decision, key):
        num = problem.num_arms
        drawn = streams.uniforms(streams.fold_in(key, 7), 2 * num)
        x = (drawn[:num] < column(reward, drawn)).astype(jnp.float32)
        y = (drawn[num:] < column(cost, drawn)).astype(jnp.float32)
        return Feedback(x, y, decision.selected, decision.selected)

    return answer


def estimates(rng, num_arms, lanes=16, squares=False, most=200):
    """Estimates of a random past in which every arm was seen."""
    count = rng.integers(1, most, (num_arms, lanes))
    ones, paid = rng.binomial(count, 0.6), rng.binomial(count, 0.3)
    total = lambda x: sums.Sum(jnp.asarray(x, jnp.float32), jnp.zeros(x.shape))  # noqa: E731
    square = total(ones) if squares else None
    half = total(paid / 2) if squares else None
    return Estimates(
        jnp.asarray(count, jnp.int32),
        total(ones),
        total(paid),
        reward_square=square,
        cost_square=half,
        refused=jnp.zeros(count.shape, jnp.int32),
    ), (count, ones / count, paid / count)


def chosen(selected):
    return np.asarray(selected)


# --- bounds and indices ------------------------------------------------------------------------


def test_cucb_plays_the_largest_upper_bounds():
    past, (n, mean, _) = estimates(np.random.default_rng(0), 5)
    upper = np.minimum(1, mean + 0.7 * np.sqrt(1.5 * np.log(300) / n))
    state = Learned(jnp.full(16, 300, jnp.int32), past, order=jnp.zeros((5, 16)))
    decision = CUCB(alpha_reward=0.7).select(SUC, state, keys(16))
    np.testing.assert_allclose(decision.evidence.bounds.reward_ucb, upper, rtol=1e-5)
    order = np.argsort(-upper, axis=0, kind="stable")[:2]
    assert (np.take_along_axis(chosen(decision.selected), order, 0)).all()


@pytest.mark.parametrize("loglog", [0.0, 3.0])
def test_kl_index_solves_its_equation(loglog):
    past, (n, mean, _) = estimates(np.random.default_rng(1), 5)
    upper = np.asarray(CUCB(index="kl", loglog=loglog).upper(past, jnp.full(16, 300)), np.float64)
    level = np.log(300) + loglog * np.log(np.log(300))
    divergence = scipy.stats.entropy([mean, 1 - mean], [upper, 1 - upper])
    inside = (mean > 0) & (mean < 1) & (upper < 1 - 1e-5)
    assert inside.sum() > 40
    np.testing.assert_allclose((n * divergence)[inside], level, rtol=2e-3)


def test_c2mabv_kl_and_bernstein_bounds():
    past, (n, mean, cost) = estimates(np.random.default_rng(2), 5, squares=True, most=2000)
    state = (
        catalogue.policy("c2mabv-bernstein", SUC)
        .init(SUC)
        ._replace(estimates=past, round=jnp.full(16, 300, jnp.int32))
    )
    bounds = catalogue.policy("c2mabv-bernstein", SUC).bounds(SUC, state)
    x = np.log(np.pi**2 * 5 * n**2 / 0.05)
    for got, centre, variance, sign in (
        (bounds.reward_ucb, mean, mean - mean**2, 1),
        (bounds.cost_lcb, cost, cost / 2 - cost**2, -1),
    ):
        variance = np.maximum(variance, 0)
        want = centre + sign * (np.sqrt(2 * variance * x / n) + 3 * x / n)
        np.testing.assert_allclose(got, np.clip(want, 0, 1), rtol=1e-3, atol=1e-5)
    bounds = catalogue.policy("c2mabv-kl", SUC).bounds(SUC, state)
    level = np.log(2 * np.pi**2 * 5 * n**2 / (3 * 0.05))
    for got, centre in ((bounds.reward_ucb, mean), (bounds.cost_lcb, cost)):
        got = np.asarray(got, np.float64)
        divergence = scipy.stats.entropy([centre, 1 - centre], [got, 1 - got])
        inside = (got > 1e-3) & (got < 1 - 1e-3) & (np.abs(got - centre) > 1e-2)
        assert inside.sum() > 20
        np.testing.assert_allclose((n * divergence)[inside], level[inside], rtol=1e-2)


def test_omega_ucb_index_is_its_formula():
    past, (n, mean, cost) = estimates(np.random.default_rng(3), 5, squares=True)
    policy = OmegaUCB()
    state = policy.init(SUC)
    learned = Learned(jnp.full(16, 300, jnp.int32), past, order=jnp.zeros((5, 16)))
    state = state._replace(learned=learned)
    bounds = policy.bounds(state)
    z = np.sqrt(2 * 0.25 * np.log(300))
    for got, m, variance, sign in (
        (bounds.reward_ucb, mean, mean - mean**2, 1),
        (bounds.cost_lcb, cost, cost / 2 - cost**2, -1),
    ):
        binary = m * (1 - m)
        eta = np.where((binary > 0) & (n >= 30), variance / np.where(binary > 0, binary, 1), 1)
        scaled = z * np.sqrt(np.clip(eta, 0, 1))
        centre = (n * m + scaled**2 / 2) / (n + scaled**2)
        half = scaled / (n + scaled**2) * np.sqrt(n * m * (1 - m) + scaled**2 / 4)
        np.testing.assert_allclose(got, np.clip(centre + sign * half, 0, 1), rtol=1e-3, atol=1e-5)
    index = np.asarray(bounds.reward_ucb / jnp.maximum(bounds.cost_lcb, 1e-6))
    played = chosen(policy.select(SUC, state, keys(16)).selected)
    assert (np.where(played, index, np.inf).min(0) >= np.where(played, -np.inf, index).max(0)).all()


def test_primal_dual_weights_are_multiplicative():
    policy, rho, horizon = PrimalDualBwK(horizon=1000), SUC.budget, 1000
    costs = np.random.default_rng(4).uniform(0, 2, 200)
    step = 1 + np.sqrt(np.log(2) / (rho * horizon / 2))
    money = time = 1.0
    for cost in costs:
        money, time = money * step ** (cost / 2), time * step ** (rho / 2)
    got = policy.money_weight(SUC, jnp.float32((costs - rho).sum()))
    assert float(got) == pytest.approx(money / (money + time), rel=1e-4)


@pytest.mark.parametrize("model", ["SUC", "AWC", "AIC"])
def test_direct_is_the_best_of_all_sets(model):
    problem = SUC.replace(reward_model=model, cardinality=None, feedback=None)
    rng = np.random.default_rng(5)
    past, _ = estimates(rng, 5)
    policy = C2MABVDirect(alpha_reward=0.3, alpha_cost=0.3)
    for budget in (0.9, 0.25, 0.0):
        posed = problem.replace(budget=budget)
        seen = past if posed.same_counts else past._replace(cost_count=past.count)
        state = policy.init(posed)._replace(estimates=seen, round=jnp.full(16, 300, jnp.int32))
        decision = policy.select(posed, state, keys(16))
        upper, lower = (np.asarray(x, np.float64) for x in decision.evidence.bounds)
        sizes = (0, 1, 2) if posed.at_most else (2,)
        sets = [s for n in sizes for s in itertools.combinations(range(5), n)]
        for lane in range(16):
            u, c, played = upper[:, lane], lower[:, lane], chosen(decision.selected)[:, lane]
            value = {
                "SUC": lambda s, u=u: u[list(s)].sum(),
                "AWC": lambda s, u=u: 1 - np.prod(1 - u[list(s)]),
                "AIC": lambda s, u=u: np.prod(u[list(s)]),
            }[model]
            within = [s for s in sets if c[list(s)].sum() <= budget + 1e-7]
            if within:
                assert c[played].sum() <= budget + 1e-6
                best = max(value(s) for s in within)
                assert value(np.flatnonzero(played)) == pytest.approx(best, rel=1e-6, abs=1e-7)
            else:
                least = min(c[list(s)].sum() for s in sets)
                assert c[played].sum() == pytest.approx(least, rel=1e-6)
            assert (decision.evidence.certificate.status[lane] == 0) == bool(within)


def test_direct_refuses_too_many_sets():
    big = Problem(num_arms=40, num_selected=8, budget=1.0, reward_model="SUC")
    with pytest.raises(Exception, match="too many for c2mabv-direct"):
        C2MABVDirect().init(big)


# --- Thompson sampling -------------------------------------------------------------------------


def test_beta_draws_have_their_law():
    shapes = [(1.0, 1.0), (5.0, 2.0), (1.0, 300.0), (3000.0, 2000.0)]
    a, b = (jnp.asarray(x)[:, None] * jnp.ones(20_000) for x in zip(*shapes, strict=True))
    drawn = np.asarray(jax.jit(beta)(keys(20_000), a, b))
    critical = np.sqrt(-np.log(1e-6 / 2) / 2 / 20_000)  # Kolmogorov: false alarm 1e-6 each
    for row, (p, q) in zip(drawn, shapes, strict=True):
        assert scipy.stats.kstest(row, scipy.stats.beta(p, q).cdf).statistic < critical
    wrong = scipy.stats.kstest(drawn[1], scipy.stats.beta(5.3, 2).cdf).statistic
    assert wrong > critical  # control: 6 % off in one parameter is seen


def test_thompson_counts_graded_outcomes_as_coins_of_the_same_mean():
    policy = ThompsonSampling(choice="top")
    state = policy.init(SUC)
    lanes = 4096
    state = jax.tree.map(lambda x: jnp.broadcast_to(x[..., None], (*x.shape, lanes)), state)
    decision = policy.select(SUC, state, keys(lanes))
    graded = jnp.broadcast_to(jnp.asarray([0.1, 0.3, 0.5, 0.7, 0.9])[:, None], (5, lanes))
    everything = jnp.ones((5, lanes), bool)
    after = policy.update(SUC, state, decision, Feedback(graded, graded / 2, everything))
    for total, mean in ((after.estimates.reward, graded), (after.estimates.cost, graded / 2)):
        ones, mean = np.asarray(total.high), np.asarray(mean[:, 0])
        assert np.isin(ones, (0, 1)).all()
        assert (np.abs(ones.mean(1) - mean) < Z * np.sqrt(mean * (1 - mean) / lanes)).all()


# --- exploration -------------------------------------------------------------------------------


def frequencies_are_uniform(selected, lanes):
    """Arms and pairs of arms `[K, B]` are as often selected as in uniform 2-sets of 5."""
    picked = chosen(selected).astype(float)
    pairs = (picked @ picked.T) / lanes
    single, double = 2 / 5, 2 * 1 / (5 * 4)
    off = ~np.eye(5, dtype=bool)
    return (
        (np.abs(np.diag(pairs) - single) < Z * np.sqrt(single * (1 - single) / lanes)).all()
        and (np.abs(pairs[off] - double) < Z * np.sqrt(double * (1 - double) / lanes)).all()
    )  # fmt: skip


def test_uniform_sets_are_uniform():
    lanes = 20_000
    decision = UniformRandom().select(SUC, jnp.ones(lanes, jnp.int32), keys(lanes))
    assert frequencies_are_uniform(decision.selected, lanes)
    biased = decision.selected.at[:, : lanes // 10].set(jnp.arange(5)[:, None] < 2)
    assert not frequencies_are_uniform(biased, lanes)  # control: one set in ten is fixed


def test_epsilon_greedy_explores_at_its_rate():
    policy = EpsilonGreedy(exploration=0.5, gap=0.5)
    for t in (1, 10, 100, 1000):
        assert float(policy.rate(SUC, jnp.int32(t))) == pytest.approx(min(1, 0.5 * 5 / 0.25 / t))
    lanes = 20_000
    past, _ = estimates(np.random.default_rng(6), 5, lanes=1)
    past = jax.tree.map(lambda x: jnp.broadcast_to(x, (5, lanes)), past)
    state = EpsilonGreedy().init(SUC)
    state = Learned(
        jnp.full(lanes, 50, jnp.int32),
        past,
        jax.tree.map(lambda x: jnp.broadcast_to(x[:, None], (5, lanes)), state.edges),
    )
    select = jax.jit(EpsilonGreedy.select, compiler_options=FAST)
    always = select(EpsilonGreedy(epsilon=1.0), SUC, state, keys(lanes))
    assert frequencies_are_uniform(always.selected, lanes)
    never = select(EpsilonGreedy(epsilon=0.0), SUC, state, keys(lanes))
    z = np.asarray(never.marginals[:, 0])
    some = select(EpsilonGreedy(epsilon=0.3), SUC, state, keys(lanes))
    np.testing.assert_allclose(some.marginals[:, 0], 0.3 * 0.4 + 0.7 * z, atol=1e-6)
    for decision in (never, some):
        p = np.asarray(decision.marginals[:, 0])
        seen = chosen(decision.selected).mean(1)
        assert (np.abs(seen - p) <= Z * np.sqrt(p * (1 - p) / lanes) + 1e-6).all()


def test_explore_then_commit_has_its_closed_form():
    mu, m, horizon, lanes = (0.6, 0.45), 6, 40, 8192
    problem = Problem(num_arms=2, num_selected=1, budget=1.0, reward_model="SUC")
    policy = ExploreThenCommit(plays=m)
    run = path(horizon, lanes, bernoulli(mu, (0.5, 0.5)))
    _, (_, selected, _) = run(problem, policy)
    regret = (mu[0] - mu[1]) * chosen(selected)[:, 1].sum(0)
    first, second = (scipy.stats.binom(m, p) for p in mu)
    k = np.arange(m + 1)
    # Ties go to the arm that looks cheaper (equal costs here), then to the first, the better one.
    cheaper = (1 - (scipy.stats.binom(m, 0.5).pmf(k) ** 2).sum()) / 2
    wrong = (second.pmf(k) * (first.cdf(k - 1) + cheaper * first.pmf(k))).sum()
    want = (mu[0] - mu[1]) * (m + (horizon - 2 * m) * wrong)
    assert abs(regret.mean() - want) < Z * regret.std() / np.sqrt(lanes)


def test_conservative_explores_and_without_it_locks_in():
    """The cheap good arm looks dear if its first answer is: P = 0.3 here."""
    problem = Problem(num_arms=2, num_selected=1, budget=0.4, reward_model="SUC")
    lanes, horizon = 256, 600
    run = path(horizon, lanes, bernoulli((0.5, 0.9), (0.45, 0.3)))
    plays = {}
    for explore in (0.5, 0.0):
        _, (_, selected, _) = run(problem, Conservative(explore=explore))
        plays[explore] = chosen(selected)[:, 1].sum(0)
    assert (plays[0.5] >= 0.5 * np.sqrt(horizon) - 1).all()
    locked = (plays[0.0] <= 2).mean()
    assert locked > 0.05  # control: without forced exploration many runs never come back


# --- queues and budgets ------------------------------------------------------------------------


def dyadic(problem, decision, key):
    """Costs that are multiples of 1/64, so that sums of them are exact in float32."""
    num = problem.num_arms
    drawn = streams.uniforms(streams.fold_in(key, 7), 2 * num)
    x = (drawn[:num] < column(MEAN_REWARD, drawn)).astype(jnp.float32)
    y = jnp.floor(64 * drawn[num:] * column(np.minimum(1, 2 * MEAN_COST), drawn)) / 64
    return Feedback(x, y, decision.selected, decision.selected)


def test_virtual_queue_bounds_overspending_on_every_path():
    problem, lanes = SUC.replace(budget=0.75), 32
    policy = LyapunovQueue(weight=20.0)
    final, (states, _, bill) = path(400, lanes, dyadic)(problem, policy)
    queue = np.concatenate([np.asarray(states.queue), np.asarray(final.queue)[None]])
    overspent = np.cumsum(np.asarray(bill, np.float64) - 0.75, axis=0)
    assert (overspent <= queue[1:]).all()  # T V <= Q_{T+1}, exactly
    assert (overspent[-1] > 0).any()
    again = np.zeros(lanes)
    for t, cost in enumerate(np.asarray(bill, np.float64)):
        assert (queue[t] == again).all()
        again = np.maximum(0, again + cost - 0.75)
    assert not (overspent + 1 <= queue[1:]).all()  # control: it is tight, one unit more fails


def test_tightened_queue_has_no_violation_after_a_burn_in():
    problem, run, burn_in = SUC.replace(budget=0.75), path(3000, 64, dyadic), 1000
    _, (_, _, bill) = run(problem, PessimisticOptimistic(tightness=1.0, weight=1.0))
    overspent = np.cumsum(np.asarray(bill, np.float64) - 0.75, axis=0)
    assert (overspent[burn_in:] <= 0).all()  # every path, every later round
    assert (overspent[:burn_in] > 0).any()  # the burn-in is needed
    _, (_, _, bill) = run(problem, PessimisticOptimistic(tightness=0.0, weight=1.0))
    plain = np.cumsum(np.asarray(bill, np.float64) - 0.75, axis=0)
    assert (plain[-1] > 0).all()  # control: the plain queue overspends


def test_knapsack_policies_stop_within_the_budget():
    problem, horizon = SUC.replace(budget=0.75), 300
    answer = bernoulli(MEAN_REWARD, MEAN_COST)
    problem = problem.replace(cardinality="at_most")
    # A tiny radius leaves next to no reserve, so that stopping is what keeps the budget.
    spent = {}
    for stop in (True, False):
        bwk = UCBBwK(gamma=1e-3, horizon=horizon, stop=stop)
        _, (_, _, bill) = path(horizon, 64, answer)(problem, bwk)
        spent[stop] = np.asarray(bill, np.float64).sum(0)
    assert (spent[True] <= 0.75 * horizon).all()
    assert (spent[False] > 0.75 * horizon).any()  # control


# --- policies that know the truth --------------------------------------------------------------


@pytest.mark.smoke
def test_oracle_has_no_regret_and_spends_the_budget():
    world = environments.synthetic(MEAN_REWARD, MEAN_COST)
    problem = Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="SUC")
    policy = catalogue.policy("oracle", problem, world)
    last = simulate(problem, world, policy, 200, 1000, 1, seed=1).isel(round=-1)
    for values in (last["regret"].values, last["signed_violation"].values):
        assert abs(values.mean()) < Z * values.std(ddof=1) / np.sqrt(1000)
    assert last["regret"].std() > 0
    assert float(last["messages"].max()) == 0 == float(last["message_traffic"].max())


@pytest.mark.parametrize("model", ["SUC", "AWC", "AIC"])
def test_best_fixed_set_is_the_best_of_all_within_the_budget(model):
    world = environments.synthetic(MEAN_REWARD, MEAN_COST)
    problem = Problem(num_arms=5, num_selected=2, budget=0.9, reward_model=model)
    policy = catalogue.policy("best-fixed-set", problem, world)
    played = np.flatnonzero(np.asarray(policy.selected))
    value = {
        "SUC": lambda s: MEAN_REWARD[list(s)].sum(),
        "AWC": lambda s: 1 - np.prod(1 - MEAN_REWARD[list(s)]),
        "AIC": lambda s: np.prod(MEAN_REWARD[list(s)]),
    }[model]
    sizes = (1, 2) if problem.at_most else (2,)
    sets = [s for n in sizes for s in itertools.combinations(range(5), n)]
    best = max(value(s) for s in sets if MEAN_COST[list(s)].sum() <= 0.9)
    assert MEAN_COST[played].sum() <= 0.9 and value(played) == pytest.approx(best)
