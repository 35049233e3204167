"""`Selector`: which LLMs answer the next query, in money, with tickets, for many threads."""

from __future__ import annotations

import json
import logging
import math
import numbers
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax import environments
from c2mabv_jax.environments.replay import Replay
from c2mabv_jax.errors import ProblemError, check_whole, require
from c2mabv_jax.policies import catalogue
from c2mabv_jax.policies.base import Feedback, Policy, check_policy
from c2mabv_jax.policies.saving import load_state, read_about, save_state
from c2mabv_jax.problem import CascadeOrder, Problem, RewardModel
from c2mabv_jax.rewards import reward_model as model_of
from c2mabv_jax.service import functions
from c2mabv_jax.service.functions import LiveProblem
from c2mabv_jax.service.report import ModelReport, Report

VERSION = 1
PRACTICE = {"alpha_reward": 0.3, "alpha_cost": 0.05}  # of C2MAB-V by name; theory has 1 and 1
WORD = 1 << 32

_log = logging.getLogger("c2mabv_jax")


class Choice(NamedTuple):
    """Which LLMs to ask.

    Attributes:
      models: their names; a cascade asks in this order until one succeeds (AWC) or fails (AIC).
      ticket: to give back with the feedback.
      marginals: probability with which each LLM was to be chosen, by name.
    """

    models: tuple[str, ...]
    ticket: str
    marginals: dict[str, float]


class _Open(NamedTuple):
    number: int
    models: tuple[str, ...]
    time: float


class _Tally:
    """What came and went for one LLM."""

    def __init__(self, picks: int = 0, rewards: int = 0, costs: int = 0) -> None:
        self.picks, self.rewards, self.costs = picks, rewards, costs


class Selector:
    """Chooses LLMs for the queries of a live service and learns from what comes back.

    All methods may be called from any thread. Programs are compiled when the selector is made,
    so the first query does not wait.

    Args:
      models: name of every LLM -> the largest cost of one answer, or None where unknown. The
        largest of all is the cost that policies see as 1; it doubles, and what was learned
        with it, when a dearer answer comes.
      budget: what a decision may cost on average, in the unit of the costs.
      cost_unit: of all money, for people.
      num_selected: N, how many LLMs (at most) a decision asks.
      reward_model: "SUC" (rewards add up), "AWC" (one success is enough) or "AIC" (all must
        succeed).
      policy: a name of `policies.POLICIES`, or a policy.
      options: of a policy by name. C2MAB-V has the alphas .3 and .05 unless they are given.
      seed: of all choices.
      reward_range: what the worst and the best answer are worth; (1, 5) for stars.
      cascade_order: of "AWC" and "AIC", see `Problem`.
      horizon: expected number of decisions, for policies that want to know.
      expire_after: seconds after which a ticket without feedback expires.
      most_open: tickets that may be open; beyond, the oldest expires.
      save_to, save_every: a file, and the number of decisions after which it is written.
      clock: seconds, by which tickets expire; a saved file needs one that goes on.

    Raises:
      ProblemError: one line that names the argument and the fix.

    Example:
      >>> selector = Selector({"large": 0.012, "small": 0.0004}, budget=0.003)
      >>> choice = selector.choose()
      >>> selector.feedback(choice.ticket, rewards={"small": 1}, costs={"small": 0.00031})
    """

    def __init__(
        self,
        models: Mapping[str, float | None],
        budget: float,
        *,
        cost_unit: str = "USD/query",
        num_selected: int = 1,
        reward_model: RewardModel = "SUC",
        policy: str | Policy = "c2mabv",
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        reward_range: tuple[float, float] = (0.0, 1.0),
        cascade_order: CascadeOrder = "cheapest",
        horizon: int | None = None,
        expire_after: float = 3600.0,
        most_open: int = 100_000,
        save_to: str | os.PathLike[str] | None = None,
        save_every: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require(isinstance(models, Mapping) and bool(models), "models", models, "name -> cost")
        self._largest: dict[str, float | None] = {}
        for name, largest in models.items():
            self._largest[_name(name)] = _largest(name, largest)
        self._set_budget(budget)
        check_whole("seed", seed, 0, WORD - 1)
        check_whole("most_open", most_open, 1, 10**9)
        _positive("expire_after", expire_after)
        low, high = (_finite("reward_range", x) for x in reward_range)
        require(low < high, "reward_range", reward_range, "give the worst, then the best reward")
        if save_every is not None:
            check_whole("save_every", save_every, 1, 10**9)
            require(save_to is not None, "save_to", save_to, "say where save_every writes")
        if horizon is not None:
            check_whole("horizon", horizon, 1, 10**9)
        if not isinstance(policy, str):
            check_policy(policy)
            require(not options, "options", options, "a policy has its own; leave this out")
        self.cost_unit = str(cost_unit)
        self._reward_range = (low, high)
        self._policy_given = policy
        self._options = dict(options or {})
        self._seed, self._horizon = seed, horizon
        self._expire_after, self._most_open = float(expire_after), most_open
        self._save_to, self._save_every = save_to, save_every
        self._now = clock
        self._shape = {
            "num_selected": num_selected,
            "reward_model": reward_model,
            "cascade_order": cascade_order,
        }
        self._wide = jnp.result_type(float) == jnp.float64
        self._root = jax.random.key(seed, impl="threefry2x32")
        known = [x for x in self._largest.values() if x is not None]
        self._scale = max(known, default=float(budget) or 1.0)
        self._problem, self._policy = self._posed()
        self._state = self._policy.init(self._problem)

        self._lock, self._saving = threading.RLock(), threading.Lock()
        self._token = secrets.token_hex(4)
        self._first = self._number = 0  # of this token's tickets; of the next one
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._answered = self._priced = self._expired = self._refused = 0
        self._spent = 0.0
        self._tallies = {name: _Tally() for name in self._largest}
        self._compile(self._policy, self._problem, self._state)

    # --- decisions -------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """The LLMs, in the order of the policy's arms."""
        return tuple(self._largest)

    @property
    def num_selected(self) -> int:
        """N."""
        return self._problem.num_selected

    @property
    def reward_range(self) -> tuple[float, float]:
        """The worst and the best reward."""
        return self._reward_range

    @property
    def expire_after(self) -> float:
        """Seconds after which a ticket without feedback expires."""
        return self._expire_after

    @property
    def budget(self) -> float:
        """What a decision may cost on average."""
        return self._budget

    def choose(self, available: Iterable[str] | None = None) -> Choice:
        """The LLMs for the next query.

        Args:
          available: names of the LLMs that answer at present; None for all. With few of them
            a choice may have fewer than `num_selected`.
        """
        return self._choose(1, available)[0]

    def choose_many(self, number: int, available: Iterable[str] | None = None) -> list[Choice]:
        """What as many calls of `choose` would give with no feedback between, in one."""
        check_whole("number", number, 1, 1 << 20)
        return self._choose(number, available)

    def _choose(self, number: int, available: Iterable[str] | None) -> list[Choice]:
        padded = 1 << (number - 1).bit_length()  # few sizes, few programs
        with self._lock, jax.enable_x64(self._wide):
            names = self.models
            here = self._mask("available", names if available is None else available)
            ids = np.arange(self._number, self._number + padded, dtype=np.uint64)
            words = np.stack([ids % WORD, ids // WORD], axis=1).astype(np.uint32)
            args = (self._policy, self._problem, self._state, self._root, words, here)
            selected, marginals, order = jax.tree.map(np.asarray, functions.choose(*args))
            now = self._now()
            self._expire(now)
            choices = []
            for row in range(number):
                picked = np.flatnonzero(selected[row])
                if order is not None:
                    picked = picked[np.argsort(order[row][picked], kind="stable")]
                chosen = tuple(names[k] for k in picked)
                ticket = f"{self._token}-{self._number}"
                self._open[ticket] = _Open(self._number, chosen, now)
                self._number += 1
                for name in chosen:
                    self._tallies[name].picks += 1
                share = dict(zip(names, marginals[row].tolist(), strict=True))
                choices.append(Choice(chosen, ticket, share))
            while len(self._open) > self._most_open:
                self._open.popitem(last=False)
                self._expired += 1
            after = self._number
        if self._save_every and after // self._save_every > (after - number) // self._save_every:
            self._save_on_the_way()
        return choices

    def feedback(
        self,
        ticket: str,
        rewards: Mapping[str, float] | None = None,
        costs: Mapping[str, float] | None = None,
        *,
        stopped_at: str | None = None,
    ) -> None:
        """What a decision brought; late, partial, in any order, but once.

        Args:
          ticket: of the choice.
          rewards: name -> reward, in `reward_range`, of the LLMs that were asked and judged. One
            that is no finite number is not learned (and counted).
          costs: name -> cost of what was billed; likewise.
          stopped_at: of a cascade, instead of `rewards`: the LLM that ended it; those before
            it failed (AWC) or succeeded (AIC).

        Raises:
          ProblemError: the ticket is unknown, answered or expired; an LLM was not chosen; a
            reward outside `reward_range`; a negative cost. Nothing is learned then.
        """
        with self._lock, jax.enable_x64(self._wide):
            now = self._open.get(ticket)
            if now is None:
                raise ProblemError(f"ticket = {ticket!r}: {self._why_not_open(ticket)}")
            if stopped_at is not None:
                require(rewards is None, "stopped_at", stopped_at, "leave out rewards")
                rewards = self._of_cascade(now.models, stopped_at)
            shares = {n: self._share(n, x) for n, x in _of(now, "rewards", rewards).items()}
            paid = {n: _cost(n, x) for n, x in _of(now, "costs", costs).items()}
            self._grow(max((x for x in paid.values() if math.isfinite(x)), default=0.0))
            args = (self._policy, self._problem, self._state, self._root)
            number = np.array([now.number % WORD, now.number // WORD], np.uint32)
            selected = _bool([name in now.models for name in self.models])
            self._state = functions.learn(*args, number, selected, self._shown(shares, paid))
            del self._open[ticket]
            self._answered += 1
            finite = [x for x in paid.values() if math.isfinite(x)]
            self._priced += bool(finite)
            self._spent += sum(finite)
            self._refused += sum(not math.isfinite(x) for x in (*shares.values(), *paid.values()))
            for name, x in shares.items():
                if name in self._tallies:
                    self._tallies[name].rewards += math.isfinite(x)
            for name, x in paid.items():
                if name in self._tallies:
                    self._tallies[name].costs += math.isfinite(x)

    def warm_start(
        self,
        log: str | os.PathLike[str] | Replay,
        models: Mapping[str, str] | None = None,
    ) -> int:
        """Learn from a log of queries before (or while) serving.

        Args:
          log: a file that `environments.replay` reads, or what it returned.
          models: name here -> name in the log; by default the same names.

        Returns:
          Number of queries learned from. They count as rounds, not as spending.
        """
        called = dict(models or {name: name for name in self.models})
        for name in called:
            require(name in self._largest, "models", name, _choose_among(self.models))
        replayed = log if isinstance(log, Replay) else environments.replay(log)
        both = {here: there for here, there in called.items() if there in replayed.names}
        missing = sorted(set(called) - set(both)) if models else []
        require(bool(both) and not missing, "log", missing or list(called), "not in the log; " +
                _choose_among(replayed.names))  # fmt: skip
        money = np.asarray(replayed.scaled_cost, np.float64) * float(replayed.cost_scale)
        score = np.asarray(replayed.score, np.float64)
        with self._lock, jax.enable_x64(self._wide):
            rows = [replayed.names.index(there) for there in both.values()]
            self._grow(float(money[rows].max()))
            arms = [self.models.index(here) for here in both]
            shape = (score.shape[1], len(self._largest))
            reward, cost, seen = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
            reward[:, arms], cost[:, arms], seen[:, arms] = score[rows].T, money[rows].T, True
            mask = _bool(seen)
            shown = Feedback(_float(reward), _float(cost / self._scale), mask, mask)
            args = (self._policy, self._problem, self._state, self._root)
            self._state = functions.remember(*args, shown)
        return shape[0]

    # --- changes ---------------------------------------------------------------------------

    def set_budget(self, budget: float) -> None:
        """From now on a decision may cost this on average."""
        with self._lock, jax.enable_x64(self._wide):
            self._set_budget(budget)
            self._problem = self._problem.replace(budget=self._scaled_budget())

    def add(self, name: str, largest: float | None = None) -> None:
        """A new LLM, of which nothing is known but perhaps the largest cost of an answer."""
        require(name not in self._largest, "name", name, "is there already")
        self._change({**self._largest, _name(name): _largest(name, largest)})

    def remove(self, name: str) -> None:
        """An LLM goes; open tickets that asked it stay valid."""
        require(name in self._largest, "name", name, _choose_among(self.models))
        self._change({other: x for other, x in self._largest.items() if other != name})

    def _change(self, largest: dict[str, float | None]) -> None:
        with self._lock, jax.enable_x64(self._wide):
            self._grow(max((x for x in largest.values() if x is not None), default=0.0))
            old = list(self._largest)
            kept = [old.index(name) for name in largest if name in self._largest]
            problem, policy = self._posed(len(largest))
            state = functions.with_models(
                self._policy, self._problem, self._state, policy, problem, kept
            )
            self._compile(policy, problem, state)
            self._problem, self._policy, self._state = problem, policy, state
            self._largest = largest
            self._tallies = {name: self._tallies.get(name, _Tally()) for name in largest}

    # --- files -----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write everything, open tickets too, to one file: the old one or the new, never half."""
        target = path if path is not None else self._save_to
        if target is None:
            raise ProblemError("path: missing; say where to save, or give save_to")
        with self._saving:  # a later snapshot is never overwritten by an earlier one
            with self._lock:
                state, about = self._state, self._about()
                opened = [(ticket, *entry) for ticket, entry in self._open.items()]
            save_state(target, state, json.dumps({**about, "open": opened}))

    @classmethod
    def load(cls, path: str | os.PathLike[str], policy: Policy | None = None) -> Selector:
        """A selector that goes on where `save` left off.

        Args:
          path: the file.
          policy: needed where the selector was made with a policy, not with a name.

        Tickets that were open then are open now; those issued after the file was written are
        unknown.
        """
        text = read_about(path)
        try:
            about = json.loads(text)
            version = about["version"]
        except (ValueError, KeyError, TypeError):
            raise ProblemError(
                f"path = {str(path)!r}: a state but no selector; load it with load_state"
            ) from None
        require(version == VERSION, "path", str(path), f"version {version} of the file is unknown")
        made = about["made"]
        if made["policy"] is None:
            require(
                policy is not None, "policy", None, f"give the {about['kind']} it was made with"
            )
        else:
            require(policy is None, "policy", policy, f"the file says {made['policy']!r}")
            policy = made["policy"]
        selector = cls(**{**made, "policy": policy})
        selector._resume(path, about)
        return selector

    def _about(self) -> dict[str, Any]:
        by_name = isinstance(self._policy_given, str)
        return {
            "version": VERSION,
            "kind": type(self._policy).__name__,
            "made": {
                "models": self._largest,
                "budget": self._budget,
                "cost_unit": self.cost_unit,
                **self._shape,
                "policy": self._policy_given if by_name else None,
                "options": self._options,
                "seed": self._seed,
                "reward_range": self._reward_range,
                "horizon": self._horizon,
                "expire_after": self._expire_after,
                "most_open": self._most_open,
                "save_to": None if self._save_to is None else os.fspath(self._save_to),
                "save_every": self._save_every,
            },
            "scale": self._scale,
            "number": self._number,
            "answered": self._answered,
            "priced": self._priced,
            "expired": self._expired,
            "refused": self._refused,
            "spent": self._spent,
            "tallies": {n: [t.picks, t.rewards, t.costs] for n, t in self._tallies.items()},
        }

    def _resume(self, path: str | os.PathLike[str], about: dict[str, Any]) -> None:
        self._scale = about["scale"]
        self._problem, self._policy = self._posed()
        self._state = load_state(path, like=self._policy.init(self._problem))
        self._first = self._number = about["number"]
        for field in ("answered", "priced", "expired", "refused", "spent"):
            setattr(self, f"_{field}", about[field])
        self._tallies = {name: _Tally(*counts) for name, counts in about["tallies"].items()}
        for ticket, number, models, issued in about["open"]:
            self._open[ticket] = _Open(number, tuple(models), issued)

    def _save_on_the_way(self) -> None:
        try:
            self.save()
        except ProblemError as error:  # a full disk must not stop the service
            _log.warning("not saved: %s", error)

    # --- what is known ---------------------------------------------------------------------

    def report(self) -> Report:
        """Spending against the budget, picks, and estimates with their bounds."""
        with self._lock, jax.enable_x64(self._wide):
            self._expire(self._now())
            learned = functions.memory(self._state)
            bound = functions.bounds(self._policy, self._problem, self._state, self._root)
            means = counts = None
            if learned is not None:
                seen = learned if hasattr(learned, "means") else learned.remembered()
                means, counts = ([np.asarray(x) for x in f()] for f in
                                 (seen.means, lambda: seen.counts))  # fmt: skip
            models = []
            for k, (name, tally) in enumerate(self._tallies.items()):
                reward = cost = reward_bound = cost_bound = None
                if means is not None and counts is not None:
                    reward = self._reward(means[0][k]) if counts[0][k] > 0 else None
                    cost = float(means[1][k]) * self._scale if counts[1][k] > 0 else None
                if bound is not None:
                    reward_bound = self._reward(bound.reward_ucb[k])
                    cost_bound = float(bound.cost_lcb[k]) * self._scale
                counted = (tally.picks, tally.rewards, tally.costs)
                models.append(ModelReport(name, *counted, reward, reward_bound, cost, cost_bound))
            return Report(
                budget=self._budget,
                cost_unit=self.cost_unit,
                spent=self._spent,
                decisions=self._number,
                answered=self._answered,
                priced=self._priced,
                open=len(self._open),
                expired=self._expired,
                refused=self._refused,
                models=tuple(models),
            )

    # --- inside ----------------------------------------------------------------------------

    def _posed(self, num_arms: int | None = None) -> tuple[Problem, Policy]:
        """The problem in scaled cost, and the policy for it."""
        shape: dict[str, Any] = self._shape
        num_arms = num_arms or len(self._largest)
        problem = LiveProblem(num_arms=num_arms, budget=self._scaled_budget(), **shape)
        given, policy = self._policy_given, self._policy_given
        if isinstance(given, str):
            options = {**(PRACTICE if given == "c2mabv" else {}), **self._options}
            policy = catalogue.policy(given, problem, None, **options)
        assert isinstance(policy, Policy)
        return problem, policy if self._horizon is None else policy.at_horizon(self._horizon)

    def _compile(self, policy: Policy, problem: Problem, state: Any) -> None:
        number, nothing = np.zeros((1, 2), np.uint32), _bool(np.zeros(problem.num_arms))
        functions.choose(policy, problem, state, self._root, number, ~nothing)
        zeros = _float(np.zeros(problem.num_arms))
        shown = Feedback(zeros, zeros, nothing, nothing)
        functions.learn(policy, problem, state, self._root, number[0], nothing, shown)

    def _set_budget(self, budget: float) -> None:
        budget = _finite("budget", budget)
        require(budget >= 0, "budget", budget, "a budget is a cost: give 0 or more")
        self._budget = budget

    def _scaled_budget(self) -> np.ndarray:
        return _float(self._budget / self._scale)

    def _grow(self, dearest: float) -> None:
        """Double the scale until it holds the dearest answer; powers of two lose no bit."""
        scale = self._scale
        while scale < dearest:
            scale *= 2
        if scale > self._scale:
            self._state = functions.in_other_money(self._state, self._scale / scale)
            self._scale = scale
            self._problem = self._problem.replace(budget=self._scaled_budget())

    def _shown(self, shares: dict[str, float], paid: dict[str, float]) -> Feedback:
        """By arm and scaled; LLMs that were removed meanwhile drop out."""
        names = self.models
        return Feedback(
            reward=_float([shares.get(name, 0.0) for name in names]),
            cost=_float([paid.get(name, 0.0) / self._scale for name in names]),
            observed=_bool([name in shares for name in names]),
            billed=_bool([name in paid for name in names]),
        )

    def _share(self, name: str, reward: Any) -> float:
        low, high = self._reward_range
        value = _number(f"rewards[{name!r}]", reward)
        fix = f"is outside reward_range = ({low:g}, {high:g}); give the range when making it"
        require(not math.isfinite(value) or low <= value <= high, f"rewards[{name!r}]", reward, fix)
        return (value - low) / (high - low)

    def _reward(self, share: Any) -> float:
        low, high = self._reward_range
        return low + (high - low) * float(share)

    def _of_cascade(self, models: tuple[str, ...], stopped_at: str) -> dict[str, float]:
        stops = model_of(self._problem).stops_at
        require(stops is not None, "stopped_at", stopped_at, "SUC asks all; give rewards")
        require(stopped_at in models, "stopped_at", stopped_at, _choose_among(models))
        asked = models[: models.index(stopped_at) + 1]
        last = self._reward_range[1 if stops else 0]
        before = self._reward_range[0 if stops else 1]
        return {name: last if name == stopped_at else before for name in asked}

    def _mask(self, field: str, names: Iterable[str]) -> Any:
        there = set(names)
        for name in there:
            require(name in self._largest, field, name, _choose_among(self.models))
        return _bool([name in there for name in self._largest])

    def _expire(self, now: float) -> None:
        while self._open:
            ticket, oldest = next(iter(self._open.items()))
            if now - oldest.time <= self._expire_after:
                break
            del self._open[ticket]
            self._expired += 1

    def _why_not_open(self, ticket: Any) -> str:
        token, _, number = str(ticket).rpartition("-")
        if token == self._token and number.isdecimal() and int(number) < self._number:
            return "was answered already, or has expired"
        return "no such ticket is open; give the ticket of a choice of this selector"


def _float(values: Any) -> Any:  # a NumPy array does for a JAX one, and is made faster
    return np.asarray(values, jnp.result_type(float))


def _bool(values: Any) -> Any:
    return np.asarray(values, bool)


def _name(name: Any) -> str:
    require(isinstance(name, str) and bool(name), "models", name, "a name is a text")
    return name


def _number(field: str, value: Any) -> float:
    kind = isinstance(value, numbers.Real | np.bool_) or getattr(value, "ndim", None) == 0
    require(kind, field, value, "give a number")
    return float(value)


def _finite(field: str, value: Any) -> float:
    require(math.isfinite(_number(field, value)), field, value, "give a finite number")
    return float(value)


def _positive(field: str, value: Any) -> None:
    require(_number(field, value) > 0, field, value, "give a number above 0")


def _largest(name: str, value: Any) -> float | None:
    if value is None:
        return None
    field = f"models[{name!r}]"
    require(_finite(field, value) >= 0, field, value, "give the largest cost of one answer")
    return float(value)


def _cost(name: str, value: Any) -> float:
    field = f"costs[{name!r}]"
    cost = _number(field, value)
    require(not cost < 0, field, value, "a cost is 0 or more")
    return cost


def _of(ticket: _Open, field: str, values: Mapping[str, float] | None) -> Mapping[str, float]:
    """The values by name, all of LLMs that were chosen."""
    for name in values or {}:
        require(name in ticket.models, field, name, _choose_among(ticket.models))
    return values or {}


def _choose_among(names: Sequence[str]) -> str:
    return "choose among " + ", ".join(names)
