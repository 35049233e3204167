"""A routing strategy for `litellm.Router`: the selector picks the deployment of every request.

Costs come from LiteLLM's own accounting of each response, rewards from a function of the
response or from a later call with the request's id. Needs the extra `[litellm]`.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from c2mabv_jax.errors import ProblemError, one_of, require
from c2mabv_jax.service.selector import Selector

try:
    import litellm
    from litellm.integrations.custom_logger import CustomLogger
    from litellm.types.router import CustomRoutingStrategyBase
except ImportError:
    raise ProblemError("litellm: not installed; pip install 'c2mabv_jax[litellm]'") from None

TICKETS = "c2mabv_tickets"  # in a request's metadata: tickets of its attempts, by deployment
MOST_WAITING = 100_000

_log = logging.getLogger("c2mabv_jax")


class _Waiting(NamedTuple):
    """An answer that waits for its reward."""

    ids: tuple[str, ...]
    ticket: str
    name: str
    costs: dict[str, float]
    time: float


class SelectorRouting(CustomRoutingStrategyBase, CustomLogger):
    """Plugs a selector into a router; from then on it picks all deployments.

    A deployment is an LLM of the selector by its `model_info.id`, or else by the `model` of its
    parameters; several deployments of one LLM share its requests evenly. Among the selector's,
    deployments in cooldown and those that failed in an earlier attempt at the same request are
    left out while others are there. Requests for model groups of which the selector knows
    nothing (fallbacks, say) go to a random healthy deployment and teach nothing.

    Args:
      selector: with `num_selected = 1`.
      router: a `litellm.Router`.
      reward: from the response to its reward in the selector's range, or None where it comes
        later by `reward_of`; without a function all of them do.
      failures: "worst": a failed or timed out attempt has the worst reward; "ignore": it
        teaches nothing. What the request itself did wrong (a bad request, too long for the
        context) never does.
      wait: seconds after which an answer without reward teaches its cost alone; less than the
        selector's `expire_after`.

    Example:
      >>> routing = SelectorRouting(selector, router)
      >>> response = router.completion("chat", messages)
      >>> routing.reward_of(response.id, 1)
    """

    def __init__(
        self,
        selector: Selector,
        router: Any,
        reward: Callable[[Any], float | None] | None = None,
        *,
        failures: Literal["worst", "ignore"] = "worst",
        wait: float = 600.0,
    ) -> None:
        super().__init__()
        # LiteLLM takes loggers of one class for the same unless a public attribute differs.
        self.name = secrets.token_hex(4)
        one_of("failures", failures, ("worst", "ignore"))
        require(selector.num_selected == 1, "num_selected", selector.num_selected,
                "a router asks one LLM; make the selector with 1")  # fmt: skip
        require(wait < selector.expire_after, "wait", wait, "give less than expire_after")
        self.selector, self._router = selector, router
        self._reward, self._failures, self._wait = reward, failures, wait
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # by each id of a request
        self._early: OrderedDict[str, float] = OrderedDict()  # rewards that came before the cost
        known = {self._name(deployment) for deployment in router.registry().all()}
        missing = sorted(set(selector.models) - known)
        require(not missing, "models", missing, "no deployment of the router has this id or model")
        router.register_plugin(self)
        litellm.logging_callback_manager.add_litellm_callback(self)

    def close(self) -> None:
        """Learn no more; the router keeps asking for picks until it gets another strategy."""
        litellm.logging_callback_manager.remove_callback_from_all_lists(self)

    # --- picks -----------------------------------------------------------------------------

    def get_available_deployment(
        self,
        model: str,
        messages: Any = None,
        input: Any = None,
        specific_deployment: Any = False,
        request_kwargs: Any = None,
    ) -> Any:
        """The deployment for the next attempt at a request; LiteLLM calls this."""
        del messages, input, specific_deployment
        metadata: dict[str, Any] = {}
        if request_kwargs is not None:
            metadata = request_kwargs.get("metadata") or request_kwargs.setdefault("metadata", {})
        group = [d for d in self._router.registry().all() if d["model_name"] == model]
        require(bool(group), "model", model, "no such model group; see the router's model_list")
        group = self._without(self._cooling(group), group)
        ours = [d for d in group if self._name(d) in self.selector.models]
        tickets: dict[str, list[str]] = metadata.setdefault(TICKETS, {})
        ours = self._without(set(metadata.get(TICKETS + "_tried", ())), ours)
        if ours:
            choice = self.selector.choose(available={self._name(d) for d in ours})
            picked = [d for d in ours if self._name(d) in choice.models]
            if picked:  # a policy that does not look at who is there may choose nobody
                deployment = random.choice(picked)
                place = deployment["model_info"]["id"]
                tickets.setdefault(place, []).append(choice.ticket)
                metadata.setdefault(TICKETS + "_tried", []).append(place)
                return deployment
            self.selector.feedback(choice.ticket)
        return random.choice(ours or group)

    async def async_get_available_deployment(self, *args: Any, **options: Any) -> Any:
        """The same, for asynchronous requests: it takes less than a millisecond."""
        return self.get_available_deployment(*args, **options)

    def _cooling(self, group: list[Any]) -> set[str]:
        ids = [deployment["model_info"]["id"] for deployment in group]
        cooldowns = self._router.health().cooldowns
        cooling = cooldowns.get_active_cooldowns(model_ids=ids, parent_otel_span=None)
        return {place for place, _ in cooling}

    @staticmethod
    def _without(ids: set[str], deployments: list[Any]) -> list[Any]:
        """The deployments but these, or all where nothing would be left."""
        return [d for d in deployments if d["model_info"]["id"] not in ids] or deployments

    def _name(self, deployment: Any) -> str:
        place = deployment["model_info"]["id"]
        return place if place in self.selector.models else deployment["litellm_params"]["model"]

    # --- outcomes --------------------------------------------------------------------------

    def log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """An answer is complete (of a stream, its end); LiteLLM calls this."""
        self._sweep()
        ticket, name = self._ticket(kwargs)
        if ticket is None:
            return
        cost = kwargs.get("response_cost")
        costs = {} if cost is None else {name: float(cost)}
        ids = tuple(dict.fromkeys(str(x) for x in (
            getattr(response_obj, "id", None), kwargs.get("litellm_call_id")) if x))  # fmt: skip
        reward = self._judged(response_obj)
        with self._lock:
            for one in ids:
                early = self._early.pop(one, None)
                reward = early if reward is None else reward
            if reward is None:
                waiting = _Waiting(ids, ticket, name, costs, time.monotonic())
                self._waiting.update(dict.fromkeys(ids, waiting))
                return
        self._feed(ticket, {name: reward}, costs)

    def log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """An attempt failed or timed out; LiteLLM calls this."""
        ticket, name = self._ticket(kwargs)
        if ticket is None:
            return
        of_request = isinstance(kwargs.get("exception"), litellm.BadRequestError)
        counts = self._failures == "worst" and not of_request
        self._feed(ticket, {name: self.selector.reward_range[0]} if counts else {}, {})

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same, of asynchronous requests."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same, of asynchronous requests."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    def reward_of(self, request_id: str, reward: float) -> None:
        """The reward of an answer that was given before.

        Args:
          request_id: `response.id`, or LiteLLM's call id. One of which nothing else comes is
            dropped in time.
          reward: in the selector's range.
        """
        with self._lock:
            found = self._waiting.get(request_id)
            if found is None:  # LiteLLM accounts for a response in the background
                self._early[request_id] = reward
                while len(self._early) > MOST_WAITING:
                    self._early.popitem(last=False)
                return
        self.selector.feedback(found.ticket, {found.name: reward}, found.costs)
        self._forget(found)

    def _judged(self, response: Any) -> float | None:
        if self._reward is None:
            return None
        try:
            return self._reward(response)
        except Exception as error:  # the user's own function must not cost LiteLLM its log
            _log.warning("reward function: %s: %s", type(error).__name__, error)
            return None

    def _ticket(self, kwargs: Mapping[str, Any]) -> tuple[str | None, str]:
        """The oldest ticket of this deployment in this request, and the LLM's name."""
        parameters = kwargs.get("litellm_params") or {}
        place = (parameters.get("model_info") or {}).get("id")
        with self._lock:
            tickets = (parameters.get("metadata") or {}).get(TICKETS, {}).get(place)
            ticket = tickets.pop(0) if tickets else None
        if ticket is None:
            return None, ""
        return ticket, self._name(self._router.registry().deployment_dict(place))

    def _sweep(self) -> None:
        """Answers that waited too long for a reward teach their cost."""
        late = time.monotonic() - self._wait
        while True:
            with self._lock:
                oldest = next(iter(self._waiting.values()), None)
                crowded = len(self._waiting) > MOST_WAITING
            if oldest is None or (oldest.time > late and not crowded):
                return
            self._forget(oldest)
            self._feed(oldest.ticket, {}, oldest.costs)

    def _forget(self, waiting: _Waiting) -> None:
        with self._lock:
            for one in waiting.ids:
                self._waiting.pop(one, None)

    def _feed(self, ticket: str, rewards: dict[str, float], costs: dict[str, float]) -> None:
        try:
            self.selector.feedback(ticket, rewards, costs)
        except ProblemError as error:  # nobody is there to whom LiteLLM could pass it on
            _log.warning("not learned: %s", error)
