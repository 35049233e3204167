"""`c2mabv run` without --budget: where the front of the best mixtures still rises."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog
from small_log import write_small_log

from c2mabv_jax import Problem, environments
from c2mabv_jax.cli import jobs
from c2mabv_jax.cli.world import BOUGHT, default_budget
from c2mabv_jax.theory import optimum, true_front, true_optimum

MODELS = ("AWC", "SUC", "AIC")


def world(arms, seed=0, scale=1.0, **options):
    rng = np.random.default_rng(seed)
    cost = np.sort(rng.uniform(0.01, 1, arms)) ** 2
    mean = np.clip(0.3 + 0.5 * np.sqrt(cost) + rng.uniform(-0.15, 0.15, arms), 0.05, 0.95)
    return environments.synthetic(mean_reward=mean, mean_cost=cost, cost_scale=scale, **options)


def problem(model, arms, number):
    return Problem(num_arms=arms, num_selected=number, budget=0.0, reward_model=model)


def sets(problem, environment):
    """Every legal set that asks somebody: rewards `[M]` and costs in money `[M]`."""
    sizes = range(1, problem.num_selected + 1) if problem.at_most else [problem.num_selected]
    chosen = [c for n in sizes for c in itertools.combinations(range(problem.num_arms), n)]
    masks = np.zeros((len(chosen), problem.num_arms), bool)
    for row, members in zip(masks, chosen, strict=True):
        row[list(members)] = True
    money = np.asarray(environment.mean_cost, float) * float(environment.cost_scale)
    return environment.set_reward(problem.reward_model, masks), masks @ money


def best_mixture(rewards, costs, budget):
    """By a linear programme over the shares of all sets."""
    unit = budget or 1.0
    found = linprog(
        -rewards, A_ub=costs[None] / unit, b_ub=[budget / unit * (1 + 1e-9)],
        A_eq=np.ones((1, len(rewards))), b_eq=[1],
    )  # fmt: skip
    assert found.status == 0
    return -found.fun


@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("model", MODELS)
def test_buys_its_share_of_the_rise(model, correlation):
    """Three digits are within half a per cent, so the share lies between those two budgets."""
    environment = world(7, seed=3, scale=0.02, reward="bernoulli", correlation=correlation)
    about = problem(model, 7, 3)
    rewards, costs = sets(about, environment)
    cheapest = rewards[costs <= costs.min() * (1 + 1e-9)].max()
    wanted = cheapest + BOUGHT * (rewards.max() - cheapest)
    budget, _ = default_budget(about, environment)
    assert best_mixture(rewards, costs, budget * 0.995) < wanted
    assert best_mixture(rewards, costs, budget * 1.005) > wanted


@pytest.mark.parametrize("model", MODELS)
def test_the_front_is_that_of_a_linear_programme(model):
    environment = world(6, seed=5)
    about = problem(model, 6, 3)
    rewards, costs = sets(about, environment)
    front = true_front(about, environment)
    for budget in np.linspace(costs.min(), costs.max(), 9):
        expected = best_mixture(rewards, costs, budget)
        assert np.interp(budget, *front) == pytest.approx(expected, rel=1e-7)


def test_any_win_may_ask_fewer_than_n():
    """The old rule never went below the N cheapest."""
    about, environment = problem("AWC", 9, 4), environments.scenario("nine-llms")
    budget, _ = default_budget(about, environment)
    money = np.sort(np.asarray(environment.mean_cost) * float(environment.cost_scale))
    assert money[0] < budget < money[:4].sum()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("which", ["scenario", "log"])
def test_policies_differ_in_reward_and_in_money(model, which, logged):
    """The cheapest, the best mixture and the dearest, by their expectations."""
    environment = environments.scenario("nine-llms") if which == "scenario" else logged
    about = problem(model, environment.num_arms, 4)
    costs, values = true_front(about, environment)
    budget, _ = default_budget(about, environment)
    reward = true_optimum(about.replace(budget=budget), environment).relaxed
    rise = values[-1] - values[0]
    assert values[0] + 0.7 * rise < reward < values[0] + 0.9 * rise
    assert 1.2 * costs[0] < budget < costs[-1] / 1.2


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A log of dependent answers: harder questions are harder for every model."""
    rng = np.random.default_rng(1)
    skill, price = np.linspace(0.3, 0.9, 6), np.geomspace(1e-4, 1e-2, 6)
    lines = ["query,model,score,cost_usd,group"]
    for q in range(240):
        ease = rng.uniform()
        lines += [
            f"q{q},m{k},{int(0.5 * ease + 0.5 * rng.uniform() < s)},{p * rng.uniform(0.5, 1.5)},"
            f"{'arc' if ease > 0.5 else 'mbpp'}"
            for k, (s, p) in enumerate(zip(skill, price, strict=True))
        ]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    return environments.replay(path)


@pytest.mark.parametrize("model", MODELS)
def test_too_many_sets_to_list(model):
    """Of 40 LLMs and 12 a query the front is that of legal sets, under the upper bound."""
    environment = world(40, seed=2)
    about = problem(model, 40, 12)
    costs, values = true_front(about, environment)
    assert (np.diff(costs) > 0).all() and (np.diff(values) > 0).all()
    budget, _ = default_budget(about, environment)
    assert costs[0] < budget < costs[-1]
    bound = optimum(
        about.replace(budget=budget), environment.mean_reward, environment.mean_cost
    ).relaxed
    assert np.interp(budget, costs, values) <= bound * (1 + 1e-9)


def test_in_money():
    """Costs of other units: the same budget in those units."""
    for model in MODELS:
        about = problem(model, 6, 2)
        one, other = (default_budget(about, world(6, scale=s))[0] for s in (1.0, 1e-4))
        assert other == pytest.approx(1e-4 * one, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("reward", "cost", "number", "budget"),
    [
        ([0.5], [0.3], 1, 0.3),  # one model
        ([0.5, 0.9], [0.0, 0.0], 1, 0.0),  # all free
        ([0.9, 0.5], [0.1, 0.4], 1, 0.1),  # the cheapest is the best
        ([0.5, 0.9], [0.0, 0.4], 1, 0.32),  # a free one: 80 % of the way to the other
    ],
)
def test_worlds_without_much_to_buy(model, reward, cost, number, budget):
    environment = environments.synthetic(mean_reward=reward, mean_cost=cost)
    found, how = default_budget(problem(model, len(reward), number), environment)
    assert found == pytest.approx(budget, rel=1e-6)
    assert ("none earns more" in how) == (budget in (0.3, 0.0, 0.1))


@pytest.mark.parametrize("model", ["SUC", "AIC"])
def test_all_llms_are_asked(model):
    environment = world(3, seed=4)
    found, _ = default_budget(problem(model, 3, 3), environment)
    assert found == pytest.approx(float(np.asarray(environment.mean_cost).sum()), rel=1e-6)


def test_billed_as_queried():
    """A cascade that stops at the first success is billed less, so the same share costs less."""
    environment, about = world(6, seed=6), problem("AWC", 6, 3)
    queried, _ = default_budget(about.replace(billing="queried"), environment)
    assert queried < default_budget(about, environment)[0]


@pytest.mark.parametrize("model", MODELS)
def test_typed_log(model, tmp_path):
    log = write_small_log(tmp_path / "log.csv", (1e-4, 1e-3, 1e-2), 0.3)
    environment = environments.replay(log, types="group")
    job = jobs.prepare(environment, model, 1, None, ("c2mabv", "oracle"), {}, 10, 1, 0)
    budget = float(job.problem.budget)
    assert 1e-4 < budget < 1e-2
    assert any("80 % of the way" in remark for remark in job.remarks)
