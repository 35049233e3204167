"""A selector for live services: money, tickets, threads, files; exact where the loop is exact."""

import json
import os
import resource
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c2mabv_jax as c2
from c2mabv_jax.array import streams
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import C2MABV, POLICIES, Feedback, catalogue
from c2mabv_jax.policies.saving import save_state
from c2mabv_jax.service import Selector, functions
from c2mabv_jax.service.functions import LiveProblem

MONEY = {"large": 0.012, "mid": 0.004, "small": 0.0004}
REWARD = {"large": 0.9, "mid": 0.7, "small": 0.5}
COST = {"large": 0.01, "mid": 0.002, "small": 0.0003}


def answer(rng, choice):
    """Bernoulli rewards, costs within a fifth of their means."""
    rewards = {name: float(rng.random() < REWARD[name]) for name in choice.models}
    return rewards, {name: COST[name] * rng.uniform(0.8, 1.2) for name in choice.models}


def serve(selector, rounds, seed=0):
    rng, picked = np.random.default_rng(seed), []
    for _ in range(rounds):
        choice = selector.choose()
        picked.append(choice.models)
        selector.feedback(choice.ticket, *answer(rng, choice))
    return picked


def by_name(selector):
    return {model.name: model for model in selector.report().models}


def same_state(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in leaves)


# --- what the pure functions do not know: units ---------------------------------------------------


@pytest.mark.smoke
def test_money_is_money():
    """Costs in USD with a budget in USD: the pure functions would see a budget of no weight."""
    selector = Selector(MONEY, budget=0.003)
    serve(selector, 2000)
    report = selector.report()
    assert report.mean_cost == pytest.approx(0.003, rel=0.1)
    assert report.spent == pytest.approx(report.mean_cost * 2000)
    for model in report.models:
        assert model.cost == pytest.approx(COST[model.name], rel=0.15)
        assert model.cost_bound < model.cost and model.reward_bound > model.reward
    assert "USD/query" in str(report) and "small" in str(report)


def test_stars_need_their_range():
    selector = Selector(MONEY, budget=0.012, reward_range=(1, 5))
    rng = np.random.default_rng(0)
    for _ in range(300):
        (name,), ticket, _ = selector.choose()
        stars = 5 if rng.random() < REWARD[name] else 2
        selector.feedback(ticket, {name: stars}, {name: COST[name]})
    models = by_name(selector)
    assert models["large"].picks > 150  # the best, whatever it costs within this budget
    assert 4 < models["large"].reward < 5 and models["large"].reward_bound <= 5
    plain = Selector(MONEY, budget=0.012)
    choice = plain.choose()
    with pytest.raises(ProblemError, match=r"rewards\['.*'\] = 5: .*reward_range"):
        plain.feedback(choice.ticket, {choice.models[0]: 5})
    plain.feedback(choice.ticket, {choice.models[0]: 1})  # nothing was lost by the mistake


def test_a_dearer_answer_rescales_what_was_learned():
    """The same costs under a scale known from the start and one that had to grow: powers of two
    lose no bit, so the states are equal, and decisions after the growth are too."""
    known = Selector({"a": 0.032, "b": 0.001}, budget=0.002, seed=3)
    grows = Selector({"a": 0.001, "b": 0.001}, budget=0.002, seed=3)
    for selector in (known, grows):
        for name, cost in (("b", 0.0005), ("a", 0.025), ("a", 0.02)):
            choice = selector.choose(available=[name])
            selector.feedback(choice.ticket, {name: 1}, {name: cost})
    assert grows._scale == known._scale == 0.032
    assert same_state(known._state, grows._state)
    assert by_name(grows)["b"].cost == pytest.approx(0.0005)
    assert [grows.choose().models for _ in range(20)] == [known.choose().models for _ in range(20)]


LEARNERS = [e.name for e in POLICIES if e.build is not None and e.name not in {
    "oracle", "best-fixed-set", "fixed-set", "always-dearest", "always-cheapest"}]  # fmt: skip


def kinds_of_state():
    """A policy of every kind of state: those of one kind keep their money in the same places."""
    problem = LiveProblem(num_arms=3, num_selected=1, budget=0.5, reward_model="SUC")
    found = {}
    for name in LEARNERS:
        policy = catalogue.policy(name, problem).at_horizon(100)
        leaves, _ = jax.tree_util.tree_flatten_with_path(jax.eval_shape(policy.init, problem))
        found.setdefault(str([where for where, _ in leaves]), name)
    return sorted(found.values())


def test_every_kind_of_state_changes_its_money():
    """Costs halve when the unit doubles: a state from half the costs is the state converted."""
    problem = LiveProblem(num_arms=3, num_selected=1, budget=0.5, reward_model="SUC")
    half = problem.replace(budget=0.25)
    kinds = kinds_of_state()
    assert len(kinds) >= 6
    for name in kinds:
        # A tightening of the budget has a unit of its own.
        options = {"tightness": 0.0} if name == "pessimistic-optimistic" else {}
        policy = catalogue.policy(name, problem, **options).at_horizon(100)
        state, scaled = policy.init(problem), policy.init(half)
        for t in range(1, 5):
            decision = lower = policy.select(problem, state, jax.random.key(t))
            bounds = decision.evidence.bounds
            if bounds is not None:  # what a policy would see in the other money
                bounds = bounds._replace(cost_lcb=bounds.cost_lcb / 2)
                lower = decision._replace(evidence=decision.evidence._replace(bounds=bounds))
            shown = np.eye(3)[t % 3]
            first = Feedback(shown, shown * t / 4, decision.selected, decision.selected)
            state = policy.update(problem, state, decision, first)
            scaled = policy.update(half, scaled, lower, first._replace(cost=first.cost / 2))
        converted = functions.in_other_money(state, 0.5)
        for a, b in zip(*map(jax.tree.leaves, (converted, scaled)), strict=True):
            np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-6)


# --- the loop -------------------------------------------------------------------------------------


def test_it_is_the_pure_loop():
    """Feedback before the next choice: decisions and state of `select` and `update` alone."""
    selector = Selector(MONEY, budget=0.003, seed=5)
    problem, policy = selector._problem, C2MABV(0.3, 0.05)
    select, update = jax.jit(policy.select), jax.jit(policy.update)
    state, root = policy.init(problem), jax.random.key(5, impl="threefry2x32")
    rng = np.random.default_rng(1)
    for number in range(40):
        key = streams.fold_in(streams.fold_in(root, 0), number)
        decision = select(problem, state, key)
        choice = selector.choose()
        assert choice.models == tuple(np.array(selector.models)[np.asarray(decision.selected)])
        rewards, costs = answer(rng, choice)
        selector.feedback(choice.ticket, rewards, costs)
        reward = np.array([rewards.get(name, 0) for name in selector.models], np.float32)
        cost = np.array([costs.get(n, 0) / selector._scale for n in selector.models], np.float32)
        shown = Feedback(reward, cost, decision.selected, decision.selected)
        state = update(problem, state, decision, shown)
    assert same_state(state, selector._state)


def test_choose_many_is_choosing_often():
    one, many = (Selector(MONEY, budget=0.003, seed=7, num_selected=2) for _ in range(2))
    for selector in (one, many):
        serve(selector, 30)
    burst = many.choose_many(50)
    assert [c.models for c in burst] == [one.choose().models for _ in range(50)]
    assert len({c.ticket for c in burst}) == 50 and all(len(c.models) == 2 for c in burst)
    assert many.choose().models == one.choose().models


def test_feedback_late_partial_and_in_any_order():
    selector = Selector(MONEY, budget=0.02, num_selected=2)
    first, second, third = selector.choose_many(3)
    a, b = third.models
    selector.feedback(third.ticket, {a: 1}, {a: 0.002, b: 0.001})
    selector.feedback(first.ticket)  # nothing came of it
    selector.feedback(second.ticket, costs={second.models[0]: 0.003})
    models, report = by_name(selector), selector.report()
    assert models[a].rewards == 1 and models[b].rewards == 0
    assert sum(m.costs for m in models.values()) == 3
    assert report.answered == 3 and report.priced == 2
    assert report.spent == pytest.approx(0.006)
    counts = selector._state.estimates
    assert int(counts.count.sum()) == 1 and int(counts.cost_count.sum()) == 3


def test_a_cascade_has_an_order_and_stops():
    selector = Selector(MONEY, budget=0.02, num_selected=3, reward_model="AWC")
    choice = selector.choose()
    selector.feedback(choice.ticket, dict.fromkeys(choice.models, 0), COST)
    cheapest_first = selector.choose()
    assert cheapest_first.models == ("small", "mid", "large")
    selector.feedback(cheapest_first.ticket, stopped_at="mid", costs={"small": 3e-4, "mid": 2e-3})
    models = by_name(selector)
    assert [models[n].rewards for n in MONEY] == [1, 2, 2]
    assert models["mid"].reward == 0.5 and models["small"].reward == 0
    all_in = Selector(MONEY, budget=0.02, num_selected=3, reward_model="AIC", reward_range=(1, 5))
    choice = all_in.choose()
    all_in.feedback(choice.ticket, stopped_at=choice.models[1])
    models = by_name(all_in)
    assert [models[n].reward for n in choice.models] == [5, 1, None]
    plain = Selector(MONEY, budget=0.02)
    choice = plain.choose()
    with pytest.raises(ProblemError, match=r"^stopped_at = .*give rewards"):
        plain.feedback(choice.ticket, stopped_at=choice.models[0])


def test_what_is_no_number_is_not_learned():
    selector = Selector(MONEY, budget=0.003)
    for _ in range(5):
        choice = selector.choose()
        name = choice.models[0]
        selector.feedback(choice.ticket, {name: float("nan")}, {name: float("inf")})
    report = selector.report()
    assert report.refused == 10 and report.spent == 0 and report.priced == 0
    assert sum(model.rewards + model.costs for model in report.models) == 0
    picked = serve(selector, 50)
    assert all(len(models) == 1 for models in picked)


BAD_FEEDBACK = {
    "an LLM that was not chosen": (dict(rewards={"nobody": 1}), r"rewards = 'nobody'"),
    "a cost of one that was not chosen": (dict(costs={"nobody": 1}), r"costs = 'nobody'"),
    "a negative cost": (dict(costs={"NAME": -1}), r"costs\['.*'\] = -1: a cost"),
    "a text": (dict(rewards={"NAME": "good"}), r"rewards\['.*'\] = 'good': give a number"),
    "below the range": (dict(rewards={"NAME": -0.1}), r"reward_range"),
}


@pytest.mark.parametrize("given, says", BAD_FEEDBACK.values(), ids=BAD_FEEDBACK)
def test_wrong_feedback_is_named_and_learns_nothing(given, says):
    selector = Selector(MONEY, budget=0.003)
    choice = selector.choose()
    named = {k: {n.replace("NAME", choice.models[0]): x for n, x in v.items()}
             for k, v in given.items()}  # fmt: skip
    with pytest.raises(ProblemError, match=says):
        selector.feedback(choice.ticket, **named)
    assert selector.report().open == 1 and int(selector._state.round) == 1
    selector.feedback(choice.ticket, {choice.models[0]: 1})


BAD = {
    "no models": (dict(models={}), "models"),
    "names alone": (dict(models=["a", "b"]), "models"),
    "a negative price": (dict(models={"a": -1.0}), r"models\['a'\]"),
    "a budget that is no number": (dict(budget=float("nan")), "budget"),
    "a negative budget": (dict(budget=-1), "budget"),
    "too many": (dict(num_selected=4), "num_selected"),
    "an unknown policy": (dict(policy="c2mab"), "policy"),
    "an unknown option": (dict(options={"alpha": 1}), "alpha"),
    "a range backwards": (dict(reward_range=(5, 1)), "reward_range"),
    "every without where": (dict(save_every=10), "save_to"),
    "a policy's options twice": (dict(policy=C2MABV(), options={"delta": 0.1}), "options"),
}


@pytest.mark.parametrize("changes, field", BAD.values(), ids=BAD)
def test_bad_arguments_are_named(changes, field):
    with pytest.raises(ProblemError, match=rf"^{field}"):
        Selector(**{"models": MONEY, "budget": 0.003, **changes})


# --- tickets --------------------------------------------------------------------------------------


def test_a_ticket_counts_once():
    selector, other = Selector(MONEY, budget=0.003), Selector(MONEY, budget=0.003)
    choice = selector.choose()
    selector.feedback(choice.ticket, {choice.models[0]: 1})
    with pytest.raises(ProblemError, match="answered already, or has expired"):
        selector.feedback(choice.ticket, {choice.models[0]: 1})
    for unknown in (other.choose().ticket, "", "x-1", None, choice.ticket[:-1] + "7"):
        with pytest.raises(ProblemError, match=r"^ticket = .*no such ticket"):
            selector.feedback(unknown)
    assert selector.report().answered == 1 and int(selector._state.round) == 2


def test_tickets_expire_by_age_and_by_number():
    clock = [0.0]
    limits = dict(expire_after=60, most_open=10, clock=lambda: clock[0])
    selector = Selector(MONEY, budget=0.003, **limits)
    old = selector.choose()
    clock[0] = 61
    fresh = selector.choose()
    with pytest.raises(ProblemError, match="expired"):
        selector.feedback(old.ticket)
    selector.choose_many(10)
    with pytest.raises(ProblemError, match="expired"):
        selector.feedback(fresh.ticket)
    report = selector.report()
    assert (report.decisions, report.open, report.expired) == (12, 10, 2)


def test_a_million_tickets_leave_memory_flat():
    selector = Selector(MONEY, budget=0.003, most_open=20_000)
    rng = np.random.default_rng(0)

    def serve_many(calls):
        for _ in range(calls):
            burst = selector.choose_many(1 << 13)
            for choice in (burst[0], burst[-1]):  # most never come back
                selector.feedback(choice.ticket, *answer(rng, choice))

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    serve_many(12)
    before = resident()
    serve_many(111)
    assert selector.report().decisions > 1_000_000
    assert len(selector._open) <= 20_000
    assert resident() - before < 30e6  # a ticket that stayed would be 300 bytes


def test_32_threads_lose_nothing():
    selector = Selector(MONEY, budget=0.003)
    failed = []

    def work(seed):
        try:
            serve(selector, 40, seed)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = selector.report()
    assert not failed
    assert (report.decisions, report.answered, report.open) == (1280, 1280, 0)
    assert sum(model.picks for model in report.models) == 1280
    assert int(selector._state.round) == 1281
    counts = np.asarray(selector._state.estimates.count)
    np.testing.assert_array_equal(counts, [model.rewards for model in report.models])
    sums = selector._state.estimates.cost.high.sum() * selector._scale
    assert float(sums) == pytest.approx(report.spent, rel=1e-5)


def test_a_decision_takes_less_than_a_millisecond():
    nine = {f"llm-{k}": 0.001 * (k + 1) for k in range(9)}
    selector, rng, times = Selector(nine, budget=0.003), np.random.default_rng(0), []
    for _ in range(500):
        start = time.thread_time()  # of this core: others may be busy
        choice = selector.choose()
        name = choice.models[0]
        selector.feedback(choice.ticket, {name: float(rng.random() < 0.6)}, {name: nine[name] / 2})
        times.append(time.thread_time() - start)
    assert np.median(times[100:]) < 1e-3


# --- changes --------------------------------------------------------------------------------------


def test_models_come_and_go():
    selector = Selector(MONEY, budget=0.003)
    serve(selector, 300)
    before, waiting = by_name(selector), selector.choose()
    selector.add("new", 0.02)
    after = by_name(selector)
    for name in MONEY:  # what was learned stays, in money, also where the scale grew
        for field in ("picks", "rewards", "costs"):
            assert getattr(after[name], field) >= getattr(before[name], field)
        assert after[name].reward == pytest.approx(before[name].reward)
        assert after[name].cost == pytest.approx(before[name].cost)
    assert after["new"].rewards == 0 and after["new"].reward is None
    selector.feedback(waiting.ticket, {waiting.models[0]: 1}, {waiting.models[0]: 0.001})
    assert "new" in [name for _ in range(5) for name in selector.choose().models]
    asked = selector.choose(available=["new"])
    selector.remove("new")
    selector.feedback(asked.ticket, {"new": 1}, {"new": 0.5})  # billed, but nobody learns it
    assert selector.models == tuple(MONEY) and "new" not in selector.choose().models
    assert selector.report().spent > 0.5
    assert by_name(selector)["mid"].cost == pytest.approx(COST["mid"], rel=0.1)
    for wrong in (lambda: selector.add("small"), lambda: selector.remove("nobody")):
        with pytest.raises(ProblemError, match=r"^name"):
            wrong()


@pytest.mark.parametrize("name", LEARNERS)
def test_every_policy_lets_models_go_and_come(name):
    """Without a model and with it again: everyone else's numbers are where they were."""
    four = LiveProblem(num_arms=4, num_selected=2, budget=0.5, reward_model="AWC")
    three = four.replace(num_arms=3)
    policy = catalogue.policy(name, four).at_horizon(100)
    begun = policy.init(four)
    state = jax.tree.map(
        lambda x: x if x.dtype == bool else (x + jnp.arange(x.size).reshape(x.shape)), begun
    )
    fewer = functions.with_models(policy, four, state, policy, three, [0, 1, 3])
    again = functions.with_models(policy, three, fewer, policy, four, [0, 1, 2])
    expected = jax.tree.structure(policy.init(three))
    assert jax.tree.structure(fewer) == expected
    for was, now in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True):
        if was.dtype == bool or was.ndim == 0:
            continue
        axis = was.shape.index(4)
        was, now = np.moveaxis(np.asarray(was), axis, 0), np.moveaxis(np.asarray(now), axis, 0)
        np.testing.assert_array_equal(now[:3], was[[0, 1, 3]])


def test_a_budget_may_change():
    selector = Selector(MONEY, budget=0.0021)
    serve(selector, 500)
    few = by_name(selector)["large"].picks
    selector.set_budget(0.012)
    serve(selector, 300, seed=1)
    assert by_name(selector)["large"].picks - few > 250 and selector.budget == 0.012
    with pytest.raises(ProblemError, match=r"^budget"):
        selector.set_budget(-1)


def test_only_available_models_are_asked():
    selector = Selector(MONEY, budget=0.003)
    asked = {n for c in selector.choose_many(64, available=["small", "mid"]) for n in c.models}
    assert asked and asked <= {"small", "mid"}
    assert selector.choose(available=["large"]).models == ("large",)
    with pytest.raises(ProblemError, match=r"^available = 'nobody'"):
        selector.choose(available=["nobody"])


def test_a_log_gives_a_start(tmp_path):
    rng, rows = np.random.default_rng(0), 400
    lines = ["query,model,score,cost"]
    for query in range(rows):
        for name in MONEY:
            score, cost = int(rng.random() < REWARD[name]), COST[name] * rng.uniform(0.8, 1.2)
            lines.append(f"{query},{name},{score},{cost}")
    log = tmp_path / "log.csv"
    log.write_text("\n".join(lines) + "\n")
    selector = Selector({**MONEY, "new": 0.001}, budget=0.003)
    assert selector.warm_start(log) == rows
    models = by_name(selector)
    for name in MONEY:
        assert models[name].reward == pytest.approx(REWARD[name], abs=0.1)
        assert models[name].cost == pytest.approx(COST[name], rel=0.05)
    assert models["new"].reward is None and selector.report().spent == 0
    assert int(selector._state.round) == 1 + rows
    picked = [c.models for c in selector.choose_many(64)]
    assert picked.count(("new",)) >= 8  # and it is keen on the one it does not know
    with pytest.raises(ProblemError, match=r"^log = .*not in the log"):
        selector.warm_start(log, models={"new": "newer"})


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_it_goes_on_where_it_was_saved(tmp_path):
    path = tmp_path / "state.npz"
    selector = Selector(MONEY, budget=0.003, reward_range=(0, 2), seed=4, options={"delta": 0.1})
    serve(selector, 100)
    late = selector.choose()
    selector.save(path)
    loaded = Selector.load(path)
    assert loaded.report() == selector.report() and same_state(loaded._state, selector._state)
    for each in (loaded, selector):  # late feedback finds its ticket after a restart
        each.feedback(late.ticket, {late.models[0]: 2}, {late.models[0]: 0.001})
    assert serve(loaded, 60, seed=1) == serve(selector, 60, seed=1)
    assert loaded.report() == selector.report()
    lost = selector.choose()  # issued after the file was written
    with pytest.raises(ProblemError, match="no such ticket"):
        Selector.load(path).feedback(lost.ticket)
    with np.load(path, allow_pickle=False) as file:
        assert file["estimates.count"].shape == (3,)


def test_a_policy_of_ones_own_is_given_again(tmp_path):
    path = tmp_path / "state.npz"
    policy = C2MABV(alpha_reward=0.5, discount=0.99)
    selector = Selector(MONEY, budget=0.003, policy=policy)
    serve(selector, 20)
    selector.save(path)
    with pytest.raises(ProblemError, match=r"^policy = None: give the C2MABV"):
        Selector.load(path)
    assert same_state(Selector.load(path, policy=policy)._state, selector._state)
    with pytest.raises(ProblemError, match="holds a"):
        Selector.load(path, policy=c2.policies.CUCB())


def test_files_that_are_none_are_named(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(ProblemError, match="no such file"):
        Selector.load(path)
    save_state(path, C2MABV().init(LiveProblem(num_arms=3, num_selected=1, budget=0.5)))
    with pytest.raises(ProblemError, match="no selector"):
        Selector.load(path)
    save_state(path, C2MABV().init(LiveProblem(num_arms=3, num_selected=1, budget=0.5)),
               json.dumps({"version": 99}))  # fmt: skip
    with pytest.raises(ProblemError, match="version 99"):
        Selector.load(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ProblemError, match="not a readable state"):
        Selector.load(path)


def test_a_full_disk_does_not_stop_the_service(tmp_path, monkeypatch, caplog):
    selector = Selector(MONEY, budget=0.003, save_to=tmp_path / "state.npz", save_every=5)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        serve(selector, 9)
    assert "No space left" in caplog.text and not (tmp_path / "state.npz").exists()
    serve(selector, 1)
    assert Selector.load(tmp_path / "state.npz").report().decisions == 10


SERVICE = """
import os, random, signal, sys, time

from c2mabv_jax.service import Selector  # JAX begins in each service: forking before it is sound

MODELS = {"large": 0.012, "small": 0.0004}


def serve(path, says):
    selector = Selector(MODELS, budget=0.003, policy="uniform", save_to=path, save_every=10)
    while True:
        choice = selector.choose()
        name = choice.models[0]
        selector.feedback(choice.ticket, {name: 1}, {name: MODELS[name]})
        saved = selector.report().decisions - 1
        if saved and saved % 10 == 0:
            os.write(says, b"%d\\n" % saved)


random.seed(0)
for moment in range(20):
    hears, says = os.pipe()
    service = os.fork()
    if service == 0:
        serve(f"{sys.argv[1]}/state-{moment}.npz", says)
    os.close(says)
    with os.fdopen(hears) as lines:
        said = lines.readline()
        time.sleep(random.uniform(0, 0.2))
        os.kill(service, signal.SIGKILL)
        print((said + lines.read()).split()[-1], flush=True)
    os.waitpid(service, 0)
"""


def test_killed_at_any_moment_the_last_state_is_whole(tmp_path):
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-W", "ignore", "-c", SERVICE, str(tmp_path)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    last = [int(line) for line in killed.stdout.split()]
    assert len(last) == 20 and len(set(last)) > 5  # at different moments
    for moment, said in enumerate(last):
        loaded = Selector.load(tmp_path / f"state-{moment}.npz")
        report = loaded.report()
        assert report.decisions % 10 == 0 and report.decisions >= said > 0
        # Saved while its last ticket was still open: every number is of that moment.
        assert (report.answered, report.open) == (report.decisions - 1, 1)
        costs = {model.name: model.costs for model in report.models}
        spent = 0.012 * costs["large"] + 0.0004 * costs["small"]
        assert report.spent == pytest.approx(spent) and sum(costs.values()) == report.answered
        choice = loaded.choose()
        loaded.feedback(choice.ticket, {choice.models[0]: 1})
