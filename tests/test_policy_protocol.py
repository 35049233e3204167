"""Every policy of the catalogue obeys the protocol: pure, batchable, legal, compiled once.

One compiled program a policy: `vmap` of a single run, SUC. The code with trailing lanes, and
the other reward models, run operation by operation, which needs no compilation.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import MEAN_COST, MEAN_REWARD, begin, keys, one_round
from quick import QUICKLY

from c2mabv_jax import environments, simulate
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import POLICIES, Policy, catalogue
from c2mabv_jax.problem import Problem

ROUNDS, LANES, MIDDLE = 20, 8, 12
NAMES = [entry.name for entry in POLICIES]
WORLD = environments.synthetic(MEAN_REWARD[:4], MEAN_COST[:4])
PROBLEMS = {
    model: Problem(num_arms=4, num_selected=2, budget=0.9, reward_model=model)
    for model in ("SUC", "AWC", "AIC")
}


def make(name: str, problem: Problem, **options) -> Policy:
    policy = catalogue.policy(name, problem, WORLD, **options)
    return policy.at_horizon(ROUNDS)


class Run:
    """Compiled runs of `ROUNDS` rounds, one a key; counts how often they were traced."""

    def __init__(self) -> None:
        self.traces = 0
        self.play = jax.jit(self._play, compiler_options=QUICKLY)

    def _play(self, problem, policy, keys):
        self.traces += 1

        def single(key):
            def body(state, t):
                after, decision, _ = one_round(problem, policy, state, key, t)
                return after, (state, decision)

            return jax.lax.scan(body, policy.init(problem), jnp.arange(1, ROUNDS + 1))

        return jax.vmap(single, out_axes=-1)(keys)


@functools.cache
def trajectory(name: str):
    """Final state, states before and decisions of all rounds `[T, ...]`, and the runner."""
    problem, run = PROBLEMS["SUC"], Run()
    policy = make(name, problem)
    final, (states, decisions) = run.play(problem, policy, keys(LANES))
    return final, states, decisions, run


def at(tree, t: int):
    """Round t (from 1) of a stacked trajectory."""
    return jax.tree.map(lambda x: x[t - 1], tree)


def describe(tree):
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]


def assert_same(one, other) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def assert_close(one, other) -> None:
    """Whole numbers and sets to the bit; floats up to fused multiply-adds."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.shape(a) == np.shape(b)
        if np.asarray(a).dtype.kind == "f":
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=2e-6)
        else:
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def assert_legal(problem: Problem, decision) -> None:
    """Arms first: `[K, ...]`."""
    assert decision.selected.dtype == bool
    size, z = np.asarray(decision.selected).sum(axis=0), np.asarray(decision.marginals)
    assert decision.selected.shape == z.shape
    assert ((z >= 0) & (z <= 1)).all()
    slack = 1e-5  # float32 sums of marginals
    assert (size <= 2).all() and (z.sum(axis=0) <= 2 + slack).all()
    if not problem.at_most:
        assert (size == 2).all() and (z.sum(axis=0) >= 2 - slack).all()


def assert_finite(tree) -> None:
    for leaf in jax.tree.leaves(tree):
        assert np.isfinite(np.asarray(leaf)).all()


@pytest.mark.smoke
def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)
    assert all(entry.description and entry.name == entry.name.lower() for entry in POLICIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_legal_and_finite(name):
    final, states, decisions, _ = trajectory(name)
    entry = catalogue.find(name)
    policy = make(name, PROBLEMS["SUC"])
    assert isinstance(policy, Policy) and type(policy) is entry.policy
    assert_legal(PROBLEMS["SUC"], decisions._replace(
        selected=jnp.moveaxis(decisions.selected, 1, 0),
        marginals=jnp.moveaxis(decisions.marginals, 1, 0),
    ))  # fmt: skip
    assert_finite((final, states))


@pytest.mark.parametrize("model", ["AWC", "AIC"])
@pytest.mark.parametrize("name", NAMES)
def test_other_reward_models_keep_the_state_as_it_is(name, model):
    problem = PROBLEMS[model]
    policy = make(name, problem)
    state = begin(problem, policy, (LANES,))
    with jax.disable_jit():
        for t in (1, 2) if model == "AWC" else (1,):
            after, decision, _ = one_round(problem, policy, state, keys(LANES), jnp.int32(t))
            assert_legal(problem, decision)
            assert_finite(after)
            assert describe(after) == describe(state)
            state = after


@pytest.mark.parametrize("name", NAMES)
def test_trailing_lanes_are_single_runs(name):
    _, states, decisions, _ = trajectory(name)
    problem = PROBLEMS["SUC"]
    with jax.disable_jit():
        state, decision, _ = one_round(
            problem, make(name, problem), at(states, MIDDLE), keys(LANES), jnp.int32(MIDDLE)
        )
    taken = at(decisions, MIDDLE)
    # A message is counted by one number for all lanes.
    assert_close(*(d._replace(evidence=d.evidence._replace(sent=None)) for d in (decision, taken)))
    assert_close(state, at(states, MIDDLE + 1))


@pytest.mark.parametrize("name", NAMES)
def test_pure_and_compiled_once(name):
    final, states, decisions, run = trajectory(name)
    problem = PROBLEMS["SUC"]
    policy = make(name, problem)
    again = run.play(problem, policy, keys(LANES))
    assert_same(again, (final, (states, decisions)))
    other = jax.tree.map(lambda x: x * 0.9 if isinstance(x, float) else x, policy)
    run.play(problem.replace(budget=0.7), other, keys(LANES))
    assert run.traces == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("c2mab-v", {}, "did you mean 'c2mabv'"),
        ("c2mabv", {"alpha_rewards": 0.3}, "did you mean 'alpha_reward'"),
        ("c2mabv-kl", {"radius": "ucb1"}, "no such option"),
        ("uniform", {"seed": 1}, "uniform has no options"),
        ("c2mabv", {"alpha_cost": "small"}, "alpha_cost = 'small'"),
        ("two-tier", {"resolve_every": 0}, "resolve_every = 0"),
        ("two-tier", {"delay": 5, "max_delay": 3}, "at most max_delay = 3"),
        ("fixed-set", {"models": ["arm 9", "arm 1"]}, "choose among arm 0"),
        ("fixed-set", {"models": [1]}, "exactly num_selected = 2"),
        ("epsilon-greedy", {"epsilon": 1.5}, "epsilon = 1.5"),
    ],
)
def test_bad_names_and_options_name_the_fix(name, options, message):
    with pytest.raises(ProblemError, match=message):
        catalogue.policy(name, PROBLEMS["SUC"], WORLD, **options)


def test_policies_that_know_the_truth_ask_for_it():
    for name in ("oracle", "best-fixed-set", "always-dearest", "always-cheapest"):
        with pytest.raises(ProblemError, match="environment"):
            catalogue.policy(name, PROBLEMS["SUC"])


def test_options_reach_the_policy():
    problem = PROBLEMS["SUC"]
    policy = catalogue.policy("c2mabv", problem, WORLD, alpha_reward=0.3, alpha_cost=0.05)
    assert (policy.alpha_reward, policy.alpha_cost) == (0.3, 0.05)
    tiers = catalogue.policy("two-tier", problem, WORLD, resolve_every=7, delay=2, delta=0.1)
    assert (tiers.resolve_every, tiers.delay, tiers.max_delay) == (7, 2, 2)
    assert tiers.local.delta == 0.1
    named = catalogue.policy("fixed-set", problem, WORLD, models=["arm 3", 1])
    assert named.selected.tolist() == [False, True, False, True]


def test_dearest_and_cheapest_are_one_llm_with_at_most_and_n_with_exactly():
    for name, one, two in (("always-dearest", [0], [0, 1]), ("always-cheapest", [3], [2, 3])):
        for model, arms in (("AWC", one), ("SUC", two), ("AIC", two)):
            chosen = catalogue.policy(name, PROBLEMS[model], WORLD).selected
            assert np.flatnonzero(chosen).tolist() == arms


def test_only_policies_are_simulated():
    @dataclasses.dataclass(frozen=True)
    class Duck:
        def init(self, problem):
            return 0

    for policy, fix in ((Duck(), r"class Duck\(c2mabv_jax.policies.Policy\)"), (Duck, "an object")):
        with pytest.raises(ProblemError, match=fix):
            simulate(PROBLEMS["SUC"], WORLD, policy, 10, 1)
