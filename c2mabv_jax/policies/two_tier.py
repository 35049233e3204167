"""Two tiers apart: the local server re-solves every b rounds, feedback arrives d rounds late.

The local server sends the relaxed vector z (and the asking order of a cascade) only when it
has solved anew; between, the scheduling cloud rounds the vector it holds afresh every round.
Feedback reaches the local server d rounds after the round it belongs to. With b = 1 and
d = 0 every number is, bit for bit, that of the plain policy.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from c2mabv_jax.errors import ProblemError, is_traced
from c2mabv_jax.policies import scheduling_cloud
from c2mabv_jax.policies.base import Decision, Feedback, Policy, State, register
from c2mabv_jax.policies.c2mabv import C2MABV
from c2mabv_jax.problem import Problem


class Message(NamedTuple):
    """All that the local server sends to the scheduling cloud.

    Attributes:
      marginals: z, `[K, ...]`.
      priority: asking order of a cascade, `[K, ...]`; None without one.
    """

    marginals: Array
    priority: Array | None


class TwoTierState(NamedTuple):
    """State of both tiers.

    Attributes:
      round: t, the round to come, int32 `[...]`.
      local: state of the local server's policy.
      held: the message the cloud holds.
      late: feedback under way, entries `[max_delay + 1, K, ...]`; None where none can be.
    """

    round: Array
    local: State
    held: Message
    late: Feedback | None


@register
@dataclasses.dataclass(frozen=True)
class TwoTier(Policy):
    """A policy operated in two tiers.

    Attributes:
      local: the local server's policy (C2MABV or C2MABVDirect).
      resolve_every: b, rounds between solutions, 1 or more; traced.
      delay: d, rounds until feedback arrives, 0..max_delay; traced.
      max_delay: room for feedback under way (static); by default no more than `delay` needs.
        Policies of one `max_delay` share one compiled program.
    """

    local: C2MABV = dataclasses.field(default_factory=C2MABV)
    resolve_every: Any = 1
    delay: Any = 0
    max_delay: int | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        for field, least in (("resolve_every", 1), ("delay", 0)):
            value = getattr(self, field)
            wrong = isinstance(value, str) or value is None
            if not wrong and not is_traced(value):
                wrong = not np.isfinite(value) or int(value) != value or value < least
            if wrong:
                raise ProblemError(f"{field} = {value!r}: give a whole number, {least} or more")
        if self.max_delay is None:
            if is_traced(self.delay):
                raise ProblemError("max_delay: missing; a traced delay needs to know its largest")
            object.__setattr__(self, "max_delay", int(self.delay))
        if not isinstance(self.max_delay, int) or self.max_delay < 0:
            raise ProblemError(f"max_delay = {self.max_delay!r}: give a whole number, 0 or more")
        if not is_traced(self.delay) and self.delay > self.max_delay:
            raise ProblemError(f"delay = {self.delay}: give at most max_delay = {self.max_delay}")

    def at_horizon(self, horizon: Any) -> TwoTier:
        """The policy told its horizon."""
        return dataclasses.replace(self, local=self.local.at_horizon(horizon))

    def init(self, problem: Problem) -> TwoTierState:
        """State before the first round."""
        arms = (problem.num_arms,)
        room = (int(self.max_delay or 0) + 1, *arms)
        late = Feedback(
            jnp.zeros(room), jnp.zeros(room), jnp.zeros(room, bool), jnp.zeros(room, bool)
        )
        return TwoTierState(
            round=jnp.int32(1),
            local=self.local.init(problem),
            held=Message(jnp.zeros(arms), None if _in_given_order(problem) else jnp.zeros(arms)),
            late=late if self.max_delay else None,
        )

    def select(
        self, problem: Problem, state: TwoTierState, key: Array, *, available: Array | None = None
    ) -> Decision:
        """Local server: solve if it is time. Cloud: round the vector it holds."""
        every = jnp.asarray(self.resolve_every).astype(jnp.int32)
        due = (state.round - 1) % every == 0
        relaxed = self.local.relax(problem, state.local, available)
        sent = Message(relaxed.marginals, relaxed.priority)
        held = jax.tree.map(lambda new, old: jnp.where(due, new, old), sent, state.held)
        certificate = jax.tree.map(lambda x: jnp.where(due, x, 0), relaxed.evidence.certificate)
        selected = scheduling_cloud.round_marginals(problem, key, held.marginals)
        return relaxed._replace(
            selected=selected,
            marginals=held.marginals,
            priority=held.priority,
            evidence=relaxed.evidence._replace(certificate=certificate, sent=due.astype(jnp.int32)),
        )

    def update(
        self, problem: Problem, state: TwoTierState, decision: Decision, feedback: Feedback
    ) -> TwoTierState:
        """Queue this round's feedback; learn from what arrives now."""
        late, arrived = state.late, feedback
        if late is not None:
            late, arrived = self._deliver(state.round, late, feedback._replace(refused=None))
            arrived = arrived._replace(refused=feedback.refused)  # counted when it is mended
        return TwoTierState(
            round=state.round + 1,
            local=self.local.update(problem, state.local, decision, arrived),
            held=Message(decision.marginals, decision.priority),
            late=late,
        )

    def _deliver(self, t: Array, late: Feedback, feedback: Feedback) -> tuple[Feedback, Feedback]:
        """Feedback under way after round t, and that of round t - d, which arrives now."""
        billed = feedback.observed if feedback.billed is None else feedback.billed
        feedback = feedback._replace(billed=billed)
        room = int(self.max_delay or 0) + 1
        slots = jnp.arange(room).reshape((-1,) + (1,) * billed.ndim)
        delay = jnp.asarray(self.delay).astype(jnp.int32)
        here, arriving = t % room, (t - delay) % room
        late = jax.tree.map(
            lambda queue, new: jnp.where(slots == here, new[None], queue), late, feedback
        )
        pick = jnp.broadcast_to(arriving, billed.shape[1:])
        arrived = jax.tree.map(lambda queue: _take(queue, pick), late)
        known = t > delay
        return late, arrived._replace(
            observed=arrived.observed & known, billed=arrived.billed & known
        )


def message_bytes(problem: Problem) -> tuple[int, int]:
    """Bytes of one message to the cloud (z, asking order) and of one served outcome back.

    z takes 4 bytes an arm, an asking order one more byte an arm; the served outcome is the
    super arm as a bit mask. User feedback is not in it: it never leaves the local server.
    """
    order = 0 if _in_given_order(problem) else problem.num_arms
    return 4 * problem.num_arms + order, -(-problem.num_arms // 8)


def _in_given_order(problem: Problem) -> bool:
    return not problem.cascading or problem.cascade_order == "given"


def _take(queue: Array, slot: Array) -> Array:
    """queue `[D, K, ...]` at slot `[...]`, giving `[K, ...]`."""
    index = jnp.broadcast_to(slot, queue.shape[1:])[None]
    return jnp.take_along_axis(queue, index, axis=0)[0]
