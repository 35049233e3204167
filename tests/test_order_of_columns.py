"""Results do not depend on the order in which the models are listed.

Index policies break ties at random, from the first round on. Policies that solve the relaxed
problem decide by the bounds alone, and only equal bounds let the lower index win.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import MEAN_COST, MEAN_REWARD, begin, column, keys, one_round

from c2mabv_jax import Problem, environments, simulate
from c2mabv_jax.array import streams, sums
from c2mabv_jax.policies import CUCB, POLICIES, LyapunovQueue, catalogue
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.policies.estimates import Estimates
from c2mabv_jax.relaxation import top_n

SUC = Problem(num_arms=5, num_selected=2, budget=0.9, reward_model="SUC")
SHUFFLED = np.array([3, 0, 4, 2, 1])  # place of each arm in the other order
NAMES = [entry.name for entry in POLICIES]
# Below, index policies have equal indices in many rounds; the others none after the first.
BY_INDEX = ("cucb", "cucb-kl", "lyapunov", "pessimistic-optimistic", "primal-dual", "omega-ucb",
            "ratio-cucb")  # fmt: skip
LANES = 2000
FAST = {"compiler_options": {"xla_backend_optimization_level": 0}}  # most time goes to compiling


def shuffled(values):
    """Rows in the other order."""
    result = np.empty_like(values)
    result[SHUFFLED] = values
    return result


# --- index policies: the law of a run, from its first round on ---------------------------------


@pytest.mark.parametrize("name", BY_INDEX)
def test_no_arm_is_preferred_for_its_place(name):
    """Five equal arms of equal cost are equally often played, round 1 included.

    30 comparisons a policy at 5 standard errors: false alarm below 2e-5 each.
    """
    answer = functools.partial(respond, mean=np.full(5, 0.5), cost=np.full(5, 0.4))

    @functools.partial(jax.jit, **FAST)
    def run(policy, key):
        def body(state, t):
            after, decision, _ = one_round(SUC, policy, state, key, t, answer=answer)
            return after, decision.selected

        return jax.lax.scan(body, begin(SUC, policy, (LANES,)), jnp.arange(1, 26))[1]

    policy = catalogue.policy(name, SUC).at_horizon(25)
    played = np.asarray(run(policy, keys(LANES)))
    for pulls in (played[0], played[:3].sum(0), *np.split(played, 5)):
        pulls = pulls.reshape(-1, 5, LANES).sum(0)
        spread = pulls.std(axis=1).max() / np.sqrt(LANES)
        assert (np.abs(pulls.mean(axis=1) - pulls.mean()) < 5 * spread).all()
    assert (played[0].mean(axis=1) > 0.3).all()  # by index the first two would be played always


def respond(problem, decision, key, mean, cost):
    """Bernoulli rewards, constant costs."""
    drawn = streams.uniforms(streams.fold_in(key, 7), problem.num_arms)
    reward = (drawn < column(mean, drawn)).astype(drawn.dtype)
    paid = jnp.broadcast_to(column(cost, drawn), drawn.shape)
    return Feedback(reward, paid, decision.selected, decision.selected)


@pytest.mark.parametrize("policy", [CUCB(), LyapunovQueue()])
def test_the_good_model_may_stand_first_or_last(policy):
    """Eight models of equal cost; at 5 standard errors, false alarm below 1e-6.

    By lowest index CUCB had a regret of 44 with the good one first and 80 with it last, and
    the Lyapunov queue of 16 and 110.
    """
    posed = Problem(num_arms=8, num_selected=1, budget=1.0, reward_model="SUC")
    regret = []
    for place in (0, 7):
        mean = np.full(8, 0.5)
        mean[place] = 0.8
        world = environments.synthetic(mean, np.full(8, 0.5), cost="constant")
        run = simulate(posed, world, policy, 400, 512, [400], seed=place)
        regret.append(400 * 0.8 - 400 * run["expected_reward"].values[:, 0])
    first, last = regret
    spread = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / 512)
    assert abs(first.mean() - last.mean()) < 5 * spread
    assert spread < 2


def test_of_equal_indices_the_cheaper_comes_first():
    """All bounds are cut at 1 after one look each, so that the cost decides, not the order."""
    state = CUCB().init(SUC)
    everything = jnp.ones(5, bool)
    decision = CUCB().select(SUC, state, jax.random.key(1))
    for _ in range(3):
        seen = Feedback(jnp.full(5, 0.9), jnp.asarray(MEAN_COST), everything)
        state = CUCB().update(SUC, state, decision, seen)
    decision = CUCB().select(SUC, state, jax.random.key(2))
    assert (decision.evidence.bounds.reward_ucb == 1).all()
    assert np.flatnonzero(decision.selected).tolist() == [3, 4]


@pytest.mark.parametrize(("num_arms", "num"), [(6, 2), (20, 3), (20, 17)])
@pytest.mark.parametrize("positive", [False, True])
def test_ties_of_top_n_are_lexicographic(num_arms, num, positive):
    """By rank, by extraction and by its complement, against a sort."""
    rng = np.random.default_rng(0)
    scores, first, second = rng.integers(-1, 2, (3, num_arms, 300)).astype(np.float32)
    got = np.asarray(top_n(jnp.asarray(scores), num, positive, (first, second)))
    index = np.broadcast_to(np.arange(num_arms)[:, None], scores.shape)
    order = np.lexsort((index, -second, -first, -scores), axis=0)[:num]
    want = np.zeros_like(got)
    np.put_along_axis(want, order, True, axis=0)
    np.testing.assert_array_equal(got, want & (scores > 0) if positive else want)


# --- every policy: one decision after a past without ties --------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_goes_along_with_the_columns(name):
    """Bounds of a random past, none equal: shuffled bounds give shuffled decisions.

    What is drawn (Thompson, uniform) is compared by its law: 5 arms at 5 standard errors,
    false alarm below 3e-6 a policy.
    """
    rng = np.random.default_rng(5)
    count = rng.permutation(np.arange(40, 90, 10))[:, None] * np.ones((1, LANES), int)
    past = np.stack([count, count * MEAN_REWARD[:, None], count * MEAN_COST[:, None]])
    options = {
        field: 0.05  # no bound is cut
        for field in ("alpha_reward", "alpha_cost", "gamma")
        if field in catalogue.find(name).options
    }
    if name == "explore-then-commit":
        options = {"plays": 2}
    decide = jax.jit(lambda policy, *seen: policy.select(SUC, *seen).marginals, **FAST)
    marginals = []
    for shuffle in (lambda x: x, shuffled):
        world = environments.synthetic(shuffle(MEAN_REWARD), shuffle(MEAN_COST))
        if name == "fixed-set":
            options = {"models": np.flatnonzero(shuffle(np.arange(5)) < 2).tolist()}
        policy = catalogue.policy(name, SUC, world, **options).at_horizon(1000)
        state = remember(begin(SUC, policy, (LANES,)), [shuffle(x) for x in past])
        key = keys(LANES, seed=len(marginals))
        marginals.append(np.asarray(decide(policy, state, key), np.float64))
    one, other = shuffled(marginals[0]), marginals[1]
    spread = np.sqrt((one.var(axis=1) + other.var(axis=1)) / LANES)
    assert (np.abs(one.mean(axis=1) - other.mean(axis=1)) <= 5 * spread + 1e-5).all()
    # Control: unshuffled they are told apart, unless the policy treats all arms alike.
    apart = np.abs(marginals[0].mean(axis=1) - other.mean(axis=1)) > 5 * spread + 1e-5
    assert apart.any() == (name != "uniform")


def remember(node, past):
    """A state with this past, `[count, reward, cost]`, in the place of its estimates."""
    count, reward, cost = past
    whole = lambda x: sums.Sum(jnp.asarray(x, jnp.float32), jnp.zeros(x.shape))  # noqa: E731
    if isinstance(node, Estimates):
        totals = [whole(reward), whole(cost)]
        squares = totals if node.reward_square is not None else [None, None]
        return node._replace(
            count=jnp.asarray(count, jnp.int32),
            reward=totals[0],
            cost=totals[1],
            reward_square=squares[0],
            cost_square=squares[1],
        )
    if hasattr(node, "_fields"):
        parts = {name: remember(getattr(node, name), past) for name in node._fields}
        if "round" in parts:
            parts["round"] = jnp.full_like(node.round, 301)
        return type(node)(**parts)
    return node
