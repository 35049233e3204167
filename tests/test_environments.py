"""Environments: what is drawn has the stated law, whatever the batch, and the truth is exact."""

import dataclasses
import itertools
import json
import math
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from c2mabv_jax import environments
from c2mabv_jax.array import streams
from c2mabv_jax.environments import base, generators, laws
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.rewards import REWARD_MODELS

MEANS = np.array([0.15, 0.5, 0.8])
LEVEL_MEANS = np.array([0.05, 0.2, 0.45])
COSTS = np.array([0.1, 0.3, 0.9])
DRAWS = 1 << 16
FALSE_ALARM = 1e-6  # per test, shared among its comparisons


def make_keys(num: int, seed: int = 0) -> jax.Array:
    return streams.run_keys(jax.random.key(seed), jnp.arange(num))


def as_drawn(values) -> np.ndarray:
    """Values in the precision of draws, float32 or float64."""
    return np.asarray(values, jnp.result_type(float))


def draw(environment, num: int = DRAWS, seed: int = 0):
    outcome = jax.jit(lambda e, k: e.sample(k, 1))(environment, make_keys(num, seed))
    return np.asarray(outcome.reward, np.float64), np.asarray(outcome.cost, np.float64)


def assert_mean(sample: np.ndarray, mean: np.ndarray, comparisons: int) -> None:
    """Sample `[K, n]` against exact means `[K]`, by the normal quantile of FALSE_ALARM."""
    limit = stats.norm.isf(FALSE_ALARM / comparisons / 2)
    error = sample.std(axis=1) / math.sqrt(sample.shape[1])
    # 1e-7: float32 outcomes.
    np.testing.assert_array_less(np.abs(sample.mean(axis=1) - mean), limit * error + 1e-7)


def by_law(law: str):
    means = LEVEL_MEANS if law == "levels" else MEANS
    return environments.synthetic(means, COSTS, reward=law, cost="constant"), means


def exact_variance(law: str, environment, mean: np.ndarray) -> np.ndarray:
    if law == "levels":
        values = np.array(environment.reward.values)
        return environment.reward.probabilities @ values**2 - mean**2
    return {
        "bernoulli": mean * (1 - mean),
        "constant": 0 * mean,
        "uniform": np.minimum(mean, 1 - mean) ** 2 / 12,
        "beta": mean * (1 - mean) / (1 + 4.0),
    }[law]


@pytest.mark.parametrize("law", ["bernoulli", "constant", "uniform", "beta", "levels"])
def test_moments(law):
    environment, mean = by_law(law)
    np.testing.assert_allclose(environment.mean_reward, mean, atol=1e-12)
    reward, cost = draw(environment)
    assert reward.min() >= 0 and reward.max() <= 1
    variance = exact_variance(law, environment, mean)
    assert_mean(reward, mean, comparisons=6)
    if law != "constant":
        assert_mean((reward - mean[:, None]) ** 2, variance, comparisons=6)
    np.testing.assert_array_equal(cost, as_drawn(COSTS)[:, None] * np.ones(DRAWS))


def test_beta_follows_the_law_in_distribution():
    """Kolmogorov-Smirnov distance; the table's cells add at most 1/1024."""
    for mean, concentration in ((0.3, 4.0), (0.02, 1.0), (0.6, 50.0)):
        environment = environments.synthetic(
            [mean], [0.1], reward="beta", cost="constant", concentration=concentration
        )
        reward = np.sort(draw(environment)[0][0])
        law = stats.beta(mean * concentration, (1 - mean) * concentration)
        # At the cell edges, where the table is exact, and where float32 does not underflow.
        edges = law.ppf(np.arange(1, 1024) / 1024)
        edges = edges[edges > 1e-30]
        distance = np.abs(np.searchsorted(reward, edges) / DRAWS - law.cdf(edges)).max()
        limit = math.sqrt(math.log(2 / FALSE_ALARM * 3) / (2 * DRAWS))  # DKW inequality
        assert distance < limit + 1 / 1024


def test_beta_variance_of_the_table_is_almost_exact():
    for concentration in (0.5, 4.0, 100.0):
        law = laws.beta(MEANS, concentration)
        np.testing.assert_allclose(law.table.mean(axis=1), MEANS, atol=1e-10)
        exact = MEANS * (1 - MEANS) / (1 + concentration)
        short = exact - law.table.var(axis=1)
        assert (short > -1e-12).all() and (short < 1e-5).all()


def test_beta_of_sure_arms_is_constant():
    table = laws.beta([0.0, 1.0, 1e-4]).table
    assert (table[0] == 0).all() and (table[1] == 1).all() and 0 < table[2].max() <= 1


def test_levels_with_own_probabilities():
    chance = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    law = laws.levels([0, 0.1, 0.5], chance)
    np.testing.assert_allclose(law.mean, [0.28, 0, 0.5])
    reward, _ = draw(environments.synthetic(mean_cost=COSTS, reward=law, cost="constant"))
    assert (reward[1] == 0).all() and (reward[2] == 0.5).all()
    for level, probability in zip((0, 0.1, 0.5), chance[0], strict=True):
        share = np.mean(reward[0] == as_drawn(level))
        error = math.sqrt(probability * (1 - probability) / DRAWS)
        assert abs(share - probability) < stats.norm.isf(FALSE_ALARM / 6) * error


def test_levels_by_mean_have_largest_entropy():
    """Probabilities proportional to exp(tilt x level): log ratios are linear in the level."""
    law = laws.levels([0, 0.1, 0.5], mean=[0.0, 0.13, 0.5])
    np.testing.assert_allclose(law.probabilities @ [0, 0.1, 0.5], [0, 0.13, 0.5], atol=1e-10)
    p = law.probabilities[1]
    assert math.log(p[1] / p[0]) / 0.1 == pytest.approx(math.log(p[2] / p[1]) / 0.4, rel=1e-6)
    batched = laws.levels([0, 0.1, 0.5], mean=np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert batched.probabilities.shape == (2, 3, 2)
    np.testing.assert_allclose(
        np.einsum("klb,l->kb", batched.probabilities, [0, 0.1, 0.5]), batched.mean, atol=1e-10
    )


def test_token_lengths_against_the_plain_sum():
    mean, spread, longest = 20.0, 0.7, 60
    cells = laws.token_lengths(mean, spread, longest)
    assert cells.mean() == pytest.approx(mean, abs=1e-9)
    assert (np.diff(cells) >= 0).all() and cells[0] >= 1 and cells[-1] <= longest
    # Independent: a grid over centres, lengths rounded and cut one by one.
    normal = special.ndtri((np.arange(200_000) + 0.5) / 200_000)
    length = lambda c: np.clip(np.rint(np.exp(c + spread * normal)), 1, longest)  # noqa: E731
    low, high = 0.0, 5.0
    for _ in range(50):
        centre = (low + high) / 2
        low, high = (centre, high) if length(centre).mean() < mean else (low, centre)
    np.testing.assert_allclose(
        np.quantile(cells, [0.1, 0.5, 0.9]), np.quantile(length(centre), [0.1, 0.5, 0.9]), atol=1.01
    )
    assert cells.var() == pytest.approx(length(centre).var(), rel=5e-3)


def test_token_cost_is_money():
    law = laws.token_cost([1e-6, 3e-5], [2e-6, 6e-5], 200, [50, 100], max_output_tokens=400)
    environment = environments.synthetic([0.5, 0.9], cost=law)
    assert environment.cost_unit == "USD/query"
    assert environment.cost_scale == pytest.approx(3e-5 * 200 + 6e-5 * 400)
    money = environment.mean_cost * environment.cost_scale
    np.testing.assert_allclose(money, [1e-6 * 200 + 2e-6 * 50, 3e-5 * 200 + 6e-5 * 100])
    _, cost = draw(environment)
    assert cost.min() >= 0 and cost.max() <= 1
    assert_mean(cost, environment.mean_cost, comparisons=2)


# Randomness


def test_bernoulli_pair_is_one_draw():
    """Every arm has a block of its own: its first word for the reward, its second for the cost."""
    keys = make_keys(64)
    outcome = environments.synthetic(MEANS, COSTS).sample(keys, 1)
    uniform = streams.uniforms(keys, 6, purpose=streams.ENVIRONMENT)
    np.testing.assert_array_equal(outcome.reward, uniform[:3] < as_drawn(MEANS)[:, None])
    np.testing.assert_array_equal(outcome.cost, uniform[3:] < as_drawn(COSTS)[:, None])


def test_constants_draw_nothing():
    environment = environments.synthetic(MEANS, COSTS, reward="constant", cost="constant")
    text = str(jax.make_jaxpr(lambda k: environment.sample(k, 1))(make_keys(4)))
    assert "threefry" not in text


ALL = {
    **{law: by_law(law)[0] for law in ("bernoulli", "constant", "uniform", "beta", "levels")},
    "correlated bernoulli": environments.synthetic(MEANS, COSTS, correlation=0.4),
    "correlated beta": environments.synthetic(MEANS, COSTS, reward="beta", correlation=0.4),
    "beta costs": environments.synthetic(MEANS, COSTS, cost="beta"),
    "nine llms": environments.scenario("nine-llms"),
}


@pytest.mark.parametrize("name", ALL)
def test_batch_does_not_matter(name):
    """A column of a batch is what its key gives alone, bit for bit, for any batch shape."""
    environment = ALL[name]
    sample = jax.jit(lambda k: environment.sample(k, 3))
    keys = make_keys(130)
    whole = sample(keys)
    assert whole.reward.shape == whole.cost.shape == (environment.num_arms, 130)
    assert whole.reward.dtype == whole.cost.dtype == jnp.result_type(float)
    for size in (1, 7, 64):
        for part, full in zip(sample(keys[:size]), whole, strict=True):
            np.testing.assert_array_equal(part, full[:, :size])
    for column in (0, 5, 129):
        for one, full in zip(sample(keys[column]), whole, strict=True):
            assert one.shape == (environment.num_arms,)
            np.testing.assert_array_equal(one, full[:, column])
    square = sample(keys[:128].reshape(16, 8))
    np.testing.assert_array_equal(square.reward.reshape(-1, 128), whole.reward[:, :128])
    mapped = jax.jit(jax.vmap(lambda k: environment.sample(k, 3), out_axes=1))(keys)
    np.testing.assert_array_equal(mapped.reward, whole.reward)


@pytest.mark.parametrize("law", ["bernoulli", "constant", "uniform", "beta", "levels"])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_every_run_may_have_its_own_means(law, correlation):
    if law == "constant" and correlation:
        pytest.skip("constants cannot be correlated")
    scale = 0.5 if law == "levels" else 1.0
    means = scale * np.random.default_rng(1).uniform(0.05, 0.95, (3, 5))
    costs = np.random.default_rng(2).uniform(0, 1, (3, 5))
    make = lambda m, c: environments.synthetic(m, c, reward=law, correlation=correlation)  # noqa: E731
    keys = make_keys(5)
    whole = jax.jit(lambda e, k: e.sample(k, 1))(make(means, costs), keys)
    for b in range(5):
        alone = make(means[:, b], costs[:, b]).sample(keys[b], 1)
        # Leaves in a batch and alone may round differently in the last place.
        np.testing.assert_allclose(whole.reward[:, b], alone.reward, atol=3e-7)
        np.testing.assert_array_equal(whole.cost[:, b], alone.cost)
    if correlation:
        table = make(means, costs).set_reward_table("AWC")
        assert table.shape == (8, 5)
        alone = make(means[:, 2], costs[:, 2]).set_reward_table("AWC")
        np.testing.assert_allclose(table[:, 2], alone, atol=1e-14)


def test_one_compilation_serves_all_means():
    traces = []

    @jax.jit
    def sample(environment, key):
        traces.append(1)
        return environment.sample(key, 1)

    environment = environments.synthetic(MEANS, COSTS)
    for shift in (0.0, 0.05, 0.1):
        sample(environment.replace(mean_reward=MEANS + shift), make_keys(4))
    assert len(traces) == 1


def test_sure_arms_stay_sure():
    for correlation in (0.0, 0.9):
        environment = environments.synthetic([0.0, 1.0, 0.5], COSTS, correlation=correlation)
        reward, _ = draw(environment)
        assert (reward[0] == 0).all() and (reward[1] == 1).all()


# Correlation


@pytest.mark.parametrize("law", ["bernoulli", "uniform", "beta", "levels"])
def test_correlated_marginals_and_sets(law):
    means = LEVEL_MEANS if law == "levels" else MEANS
    environment = environments.synthetic(means, COSTS, reward=law, correlation=0.6)
    assert environment.dependent and environment.expected_reward_known
    reward, cost = draw(environment)
    assert_mean(reward, means, comparisons=20)
    assert_mean(cost, COSTS, comparisons=20)
    variance = exact_variance(law, environment, means)
    assert_mean((reward - means[:, None]) ** 2, variance, comparisons=20)
    for i, j in itertools.combinations(range(3), 2):
        product = (reward[i] - means[i]) * (reward[j] - means[j])
        low = product.mean() - stats.norm.isf(FALSE_ALARM) * product.std() / math.sqrt(DRAWS)
        assert low > 0
    fails, wins = environment.set_reward_table("AWC"), environment.set_reward_table("AIC")
    for code in range(1, 8):
        chosen = [k for k in range(3) if code >> k & 1]
        assert_mean(1 - np.prod(1 - reward[chosen], axis=0)[None], fails[code : code + 1], 14)
        assert_mean(np.prod(reward[chosen], axis=0)[None], wins[code : code + 1], 14)
    np.testing.assert_allclose(
        environment.set_reward_table("SUC")[[0, 1, 2, 4, 7]], [0, *means, means.sum()]
    )
    for k in range(3):  # single arms: the marginal, to quadrature accuracy
        assert fails[1 << k] == pytest.approx(means[k], abs=1e-10)


@pytest.mark.parametrize("correlation", [0.01, 0.3, 0.9, 0.999])
def test_quadrature_against_the_bivariate_normal(correlation):
    environment = environments.synthetic([0.3, 0.6], [0.1, 0.2], correlation=correlation)
    both = stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf(
        special.ndtri([0.3, 0.6])
    )
    assert environment.set_reward_table("AIC")[3] == pytest.approx(both, abs=2e-6)


def test_half_half_orthant_probability():
    """P(both of two fair arms) = 1/4 + arcsin(correlation)/(2 pi), exactly."""
    for correlation in (0.1, 0.5, 0.99):
        table = environments.synthetic(
            [0.5, 0.5], [0, 0], correlation=correlation
        ).set_reward_table("AIC")
        assert table[3] == pytest.approx(0.25 + math.asin(correlation) / (2 * math.pi), abs=1e-12)


def test_independent_arms_need_no_table():
    assert environments.synthetic(MEANS, COSTS).set_reward_table("AWC") is None
    many = environments.synthetic(np.full(20, 0.5), np.full(20, 0.5), correlation=0.5)
    assert many.set_reward_table("AWC") is None and not many.expected_reward_known


@pytest.mark.parametrize("model", ["AWC", "AIC", "SUC"])
def test_subset_table_by_brute_force(model):
    rng = np.random.default_rng(0)
    rewards, weights = rng.uniform(0, 1, (7, 5)), rng.uniform(0, 1, 7)
    rewards[3] = rewards[1]  # equal situations are merged
    table = base.subset_table(rewards, weights, model)
    for code in range(32):
        selected = np.array([bool(code >> k & 1) for k in range(5)])
        values = [
            float(REWARD_MODELS[model].of_set(jnp.asarray(row), jnp.asarray(selected)))
            for row in rewards
        ]
        assert table[code] == pytest.approx(np.average(values, weights=weights), abs=1e-6)


# Validation


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(mean_reward=[0.5, math.nan], mean_cost=[0.1, 0.2]), "mean_reward[1] = nan"),
        (dict(mean_reward=[0.5, 1.5], mean_cost=[0.1, 0.2]), "mean_reward[1] = 1.5"),
        (dict(mean_reward=[0.5, 0.5], mean_cost=[0.1, -0.2]), "mean_cost[1]"),
        (dict(mean_reward=[0.5], mean_cost=[0.1, 0.2]), "mean_cost: 2 LLMs"),
        (dict(mean_reward=[], mean_cost=[]), "mean_reward"),
        (dict(mean_reward="abc", mean_cost=[0.1]), "mean_reward"),
        (dict(mean_cost=[0.1]), "mean_reward: missing"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], reward="normal"), "reward = 'normal'"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], names=["a", "b"]), "names"),
        (dict(mean_reward=[0.5, 0.5], mean_cost=[0.1, 0], names=["a", "a"]), "names"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], correlation=1.0), "correlation = 1.0"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], correlation=math.nan), "correlation"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], reward="constant", correlation=0.5), "constant"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], reward="beta", concentration=0), "concentration"),
        (dict(mean_reward=[0.9], mean_cost=[0.1], reward="levels"), "mean_reward[0] = 0.9"),
        (dict(mean_reward=[0.5], mean_cost=[0.1], cost_scale=0), "cost_scale"),
        (dict(mean_reward=np.ones((2, 3)), mean_cost=np.ones((2, 4))), "batch sizes"),
    ],
)
def test_bad_input_names_the_field(arguments, words):
    with pytest.raises(ProblemError) as caught:
        environments.synthetic(**arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ALL)
def test_describe_is_json(name):
    described = ALL[name].describe()
    assert json.loads(json.dumps(described)) == described
    assert described["names"] == list(ALL[name].names)


# Scenarios

FACTS = {  # input price, output price, currency, accuracy: the project's own list of facts
    "gpt-3.5-turbo-0125": (0.50, 1.50, "USD", 0.852),
    "gpt-4-8k": (30, 60, "USD", 0.963),
    "claude-2": (8, 24, "USD", 0.91),
    "ernie-3.5-8k": (12, 12, "CNY", 0.80),
    "llama-2-7b-chat": (4, 4, "CNY", 0.537),
    "llama-2-13b-chat": (6, 6, "CNY", 0.676),
    "llama-2-70b-chat": (35, 35, "CNY", 0.853),
    "mixtral-8x7b-instruct": (35, 35, "CNY", 0.858),
    "chatglm2-6b-32k": (4, 4, "CNY", 0.50),
}


def test_nine_llms():
    environment = environments.scenario("nine-llms")
    assert environment.names == tuple(FACTS) and environment.cost_unit == "USD/query"
    np.testing.assert_allclose(environment.mean_reward, [fact[3] for fact in FACTS.values()])
    rows = {(row.model, row.quantity): row for row in environments.figures()}
    for name, (input_price, output_price, currency, accuracy) in FACTS.items():
        assert rows[name, "input price"][2:4] == (input_price, f"{currency}/1M tokens")
        assert rows[name, "output price"][2:4] == (output_price, f"{currency}/1M tokens")
        assert rows[name, "accuracy"].value == accuracy
    assert all(row.source for row in rows.values())
    assert rows["ernie-3.5-8k", "accuracy"].guess and rows["chatglm2-6b-32k", "accuracy"].guess
    assert rows["all", "input tokens"].guess and not rows["gpt-4-8k", "accuracy"].guess
    money = environment.mean_cost * environment.cost_scale
    expected = [
        (200 * p + 100 * q) / 1e6 / (7.22 if currency == "CNY" else 1)
        for p, q, currency, _ in FACTS.values()
    ]
    np.testing.assert_allclose(money, expected, rtol=1e-9)
    _, cost = draw(environment, 1 << 14)
    assert_mean(cost, environment.mean_cost, comparisons=9)


def test_own_prices(tmp_path):
    from importlib import resources

    text = resources.files("c2mabv_jax.environments").joinpath("data/nine_llms.toml").read_text()
    assert "reconstructed" in text
    own = tmp_path / "own.toml"
    own.write_text(text.replace("value = 60.0", "value = 600.0"))
    dear = environments.scenario("nine-llms", prices=own)
    assert dear.cost_scale > 5 * environments.scenario().cost_scale
    broken = {
        "value = 0.963": ("value = 1.963", "model.1.accuracy"),
        'currency = "CNY"': ('currency = "XYZ"', "'XYZ' has no rate"),
        "[profile]": ("[profil]", "profile"),
        'name = "claude-2"': ('name = "gpt-4-8k"', "one name"),
        "value = 30.0": ("value = nan", "input_price"),
        "[exchange]": ("[exchange", "not TOML"),
    }
    for old, (new, words) in broken.items():
        own.write_text(text.replace(old, new))
        with pytest.raises(ProblemError) as caught:
            environments.scenario("nine-llms", prices=own)
        assert words in str(caught.value) and "\n" not in str(caught.value)
    own.write_bytes(b"\xff\xfe\x00")
    for path in (own, tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(ProblemError):
            environments.scenario("nine-llms", prices=path)
    assert tomllib.loads(text)["title"]


def test_unknown_scenario_lists_names():
    with pytest.raises(ProblemError, match="did you mean 'nine-llms'"):
        environments.scenario("nine_llms")
    assert environments.scenario_names() == ("nine-llms",)


# Generators


def test_generators():
    problem, environment = generators.minimax_instance(10, 2, 10_000, factor=4.0)
    gap = 4 * math.sqrt(10 / (2 * 10_000))
    np.testing.assert_allclose(environment.mean_reward[:2], 0.5 + gap / 2)
    np.testing.assert_allclose(environment.mean_reward[2:], 0.5 - gap / 2)
    assert problem.budget >= 2 * 0.5
    problem, environment = generators.cascading_instance(16, 4, 0.2, 0.15)
    np.testing.assert_allclose(environment.mean_reward, [0.2] * 4 + [0.05] * 12)
    assert problem.cascading and problem.reward_model == "AWC"


def test_random_instances_bind():
    for seed in range(50):
        problem, environment = generators.random_instance(seed, 6, 2)
        cost = environment.mean_cost
        best = np.argsort(-environment.mean_reward)[:2]
        assert np.sort(cost)[:2].sum() < problem.budget < cost[best].sum()
    same = generators.random_instance(49, 6, 2)
    assert same.problem.budget == problem.budget
    with pytest.raises(ProblemError):
        generators.random_instance(0, 3, 3)


def test_degenerate_instances_can_be_sampled():
    for name, (problem, environment) in generators.degenerate_instances().items():
        assert problem.num_arms == environment.num_arms, name
        reward, cost = draw(environment, 16)
        assert reward.shape == cost.shape == (problem.num_arms, 16)


def test_environments_are_frozen_pytrees():
    environment = ALL["correlated bernoulli"]
    leaves, tree = jax.tree.flatten(environment)
    again = jax.tree.unflatten(tree, leaves)
    assert again.names == environment.names and again.dependent
    with pytest.raises(dataclasses.FrozenInstanceError):
        environment.names = ()
