"""The problem: which sets of LLMs may be asked, at what budget, with what feedback.

`Problem` is a pytree. Its one traced leaf is the budget, so a sweep over budgets
shares one compiled program; everything that shapes the program (sizes, reward model,
options) is static.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from c2mabv_jax.array.pytree import register_dataclass
from c2mabv_jax.errors import is_traced, one_of, require

RewardModel = Literal["AWC", "SUC", "AIC"]
Cardinality = Literal["exactly", "at_most"]
FeedbackRule = Literal["semi-bandit", "cascading"]
Billing = Literal["selected", "queried"]
CascadeOrder = Literal["cheapest", "highest-ucb", "given"]

_DEFAULTS: dict[str, tuple[Cardinality, FeedbackRule]] = {
    "AWC": ("at_most", "cascading"),
    "SUC": ("exactly", "semi-bandit"),
    "AIC": ("exactly", "semi-bandit"),
}


@register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One cost-constrained combinatorial bandit problem.

    Attributes:
      num_arms: K, the number of LLMs (base arms); at least 1.
      num_selected: N, the most LLMs (`at_most`) or the number of LLMs (`exactly`) asked
        per round; 1..K.
      budget: rho, the long-term average cost per round, in the environment's cost unit;
        scalar, or `[...]` with one entry per run when batched.
      reward_model: "AWC" (any win), "SUC" (sum up) or "AIC" (all in).
      cardinality: "exactly" or "at_most" N arms; by default what the reward model asks.
      feedback: "semi-bandit" (every selected arm is observed) or "cascading" (arms are
        asked one after another until the first success (AWC) or failure (AIC)).
      billing: "selected" charges the whole super arm, "queried" only the observed prefix.
      cascade_order: "cheapest" estimated cost first, "highest-ucb" first, or "given"
        (lower index first).
      satisfaction: how a graded reward counts as a success in a cascade: "bernoulli"
        (success with probability equal to the reward), or a threshold in (0, 1]
        (success when the reward reaches it). Rewards of 0 and 1 are the same under both.
    """

    num_arms: int = dataclasses.field(metadata={"static": True})
    num_selected: int = dataclasses.field(metadata={"static": True})
    budget: Any
    reward_model: RewardModel = dataclasses.field(default="AWC", metadata={"static": True})
    cardinality: Cardinality | None = dataclasses.field(default=None, metadata={"static": True})
    feedback: FeedbackRule | None = dataclasses.field(default=None, metadata={"static": True})
    billing: Billing = dataclasses.field(default="selected", metadata={"static": True})
    cascade_order: CascadeOrder = dataclasses.field(default="cheapest", metadata={"static": True})
    satisfaction: Literal["bernoulli"] | float = dataclasses.field(
        default="bernoulli", metadata={"static": True}
    )

    def __post_init__(self) -> None:
        for field in ("num_arms", "num_selected"):
            value = getattr(self, field)
            require(
                isinstance(value, int | np.integer) and not isinstance(value, bool),
                field,
                value,
                "give a whole number",
            )
            object.__setattr__(self, field, int(value))
        require(self.num_arms >= 1, "num_arms", self.num_arms, "give at least 1 LLM")
        require(
            1 <= self.num_selected <= self.num_arms,
            "num_selected",
            self.num_selected,
            f"give a number from 1 to num_arms = {self.num_arms}",
        )
        one_of("reward_model", self.reward_model, ("AWC", "SUC", "AIC"))
        cardinality, feedback = _DEFAULTS[self.reward_model]
        if self.cardinality is None:
            object.__setattr__(self, "cardinality", cardinality)
        if self.feedback is None:
            object.__setattr__(self, "feedback", feedback)
        one_of("cardinality", self.cardinality, ("exactly", "at_most"))
        one_of("feedback", self.feedback, ("semi-bandit", "cascading"))
        one_of("billing", self.billing, ("selected", "queried"))
        one_of("cascade_order", self.cascade_order, ("cheapest", "highest-ucb", "given"))
        require(
            not (self.reward_model == "SUC" and self.feedback == "cascading"),
            "feedback",
            self.feedback,
            "SUC adds up every answer, so every selected LLM is asked: use semi-bandit",
        )
        require(
            not (self.reward_model == "AIC" and self.cardinality == "at_most"),
            "cardinality",
            self.cardinality,
            "with AIC the empty set would always win: use exactly",
        )
        if self.satisfaction != "bernoulli":
            ok = isinstance(self.satisfaction, float | int) and 0 < self.satisfaction <= 1
            require(ok, "satisfaction", self.satisfaction, "give 'bernoulli' or a number in (0, 1]")
        if not is_traced(self.budget):
            budget = float(self.budget)
            require(np.isfinite(budget), "budget", budget, "give a finite number")
            require(budget >= 0, "budget", budget, "a budget is a cost: give 0 or more")

    @property
    def at_most(self) -> bool:
        """Whether fewer than N arms may be selected."""
        return self.cardinality == "at_most"

    @property
    def cascading(self) -> bool:
        """Whether feedback stops at the first success (AWC) or failure (AIC)."""
        return self.feedback == "cascading"

    @property
    def same_counts(self) -> bool:
        """Whether reward and cost of an arm are always seen together, so one count serves both."""
        return not self.cascading or self.billing == "queried"

    def replace(self, **changes: Any) -> Problem:
        """A copy with some fields changed; validated again."""
        return dataclasses.replace(self, **changes)
