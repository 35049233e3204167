"""What a selector has spent and learned, for people."""

from __future__ import annotations

from typing import NamedTuple


class ModelReport(NamedTuple):
    """One LLM, in the user's own units.

    Attributes:
      name: of the LLM.
      picks: decisions it was part of.
      rewards, costs: how many of each came back from it.
      reward, cost: means as the policy estimates them; None where nothing came back.
      reward_bound, cost_bound: the policy's upper bound on the mean reward and lower bound on
        the mean cost; None where it has none.
    """

    name: str
    picks: int
    rewards: int
    costs: int
    reward: float | None
    reward_bound: float | None
    cost: float | None
    cost_bound: float | None


class Report(NamedTuple):
    """A selector so far.

    Attributes:
      budget: what a decision may cost on average.
      cost_unit: of all money here.
      spent: all costs that were fed back.
      decisions: tickets issued.
      answered: tickets whose feedback came; `priced` of them told a cost.
      open: tickets that wait for feedback.
      expired: tickets whose feedback did not come in time.
      refused: rewards and costs that were no number and were not learned.
      models: every LLM.
    """

    budget: float
    cost_unit: str
    spent: float
    decisions: int
    answered: int
    priced: int
    open: int
    expired: int
    refused: int
    models: tuple[ModelReport, ...]

    @property
    def mean_cost(self) -> float | None:
        """What a decision cost on average; None before the first cost."""
        return self.spent / self.priced if self.priced else None

    def __str__(self) -> str:
        mean = "no cost yet" if self.mean_cost is None else f"{self.mean_cost:.4g} on average"
        lines = [
            f"cost [{self.cost_unit}]: {mean}, budget {self.budget:.4g}, {self.spent:.4g} in all",
            f"tickets: {self.decisions} issued, {self.answered} answered, {self.open} open, "
            f"{self.expired} expired; {self.refused} values refused",
        ]
        width = max(len("model"), *(len(model.name) for model in self.models))
        head = ("picks", "rewards", "mean", "at most", "costs", "mean", "at least")
        lines.append("model".ljust(width) + "".join(f"{word:>11}" for word in head))
        for m in self.models:
            cells = (m.picks, m.rewards, m.reward, m.reward_bound, m.costs, m.cost, m.cost_bound)
            lines.append(m.name.ljust(width) + "".join(f"{_cell(x):>11}" for x in cells))
        return "\n".join(lines)


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
