"""One run of C2MAB-V, round by round, from given uniforms (float64).

Plain loops and plain formulas, written from the definition of the algorithm. `faults` breaks
one of them on purpose, for negative controls.
"""

import dataclasses
import math

import numpy as np

from reference.lp import first_n, solve, subsets

FAULTS = (
    "bounds swapped",  # lower bound of reward, upper bound of cost
    "no logarithm",
    "counts this round",  # radius at t + 1
    "other coin",
    "dearest first",  # cascade
    "sees everything",  # cascade: unobserved arms are learned from
    "forgets a round",
)


@dataclasses.dataclass(frozen=True)
class Spec:
    """An instance: problem, truth and policy in plain numbers."""

    reward_model: str
    num_selected: int
    budget: float
    mean_reward: tuple
    mean_cost: tuple
    reward_law: str
    cost_law: str
    alpha_reward: float
    alpha_cost: float
    delta: float
    at_most: bool = False
    cascading: bool = False
    billing: str = "selected"
    cascade_order: str = "cheapest"
    satisfaction: object = "bernoulli"

    @property
    def num_arms(self):
        return len(self.mean_reward)


class Loop:
    """State of one run: what each arm has shown so far."""

    def __init__(self, spec, faults=()):
        assert set(faults) <= set(FAULTS)
        self.spec, self.faults = spec, faults
        self.count = np.zeros(spec.num_arms)
        self.reward_sum = np.zeros(spec.num_arms)
        self.billed_count = np.zeros(spec.num_arms)
        self.cost_sum = np.zeros(spec.num_arms)
        self.table = subsets(spec.num_arms, spec.num_selected, spec.at_most)

    # Local server

    def bounds(self, t):
        """U and L before round t."""
        spec = self.spec
        t = t + ("counts this round" in self.faults)
        ell = math.log(2 * math.pi**2 * spec.num_arms * t**3 / (3 * spec.delta))
        if "no logarithm" in self.faults:
            ell = 1.0
        upper, lower = np.ones(spec.num_arms), np.zeros(spec.num_arms)
        swapped = -1 if "bounds swapped" in self.faults else 1
        for k in range(spec.num_arms):
            if self.count[k] > 0:
                width = spec.alpha_reward * math.sqrt(ell / (2 * self.count[k]))
                mean = self.reward_sum[k] / self.count[k]
                upper[k] = min(1.0, max(0.0, mean + swapped * width))
            if self.billed_count[k] > 0:
                width = spec.alpha_cost * math.sqrt(ell / (2 * self.billed_count[k]))
                mean = self.cost_sum[k] / self.billed_count[k]
                lower[k] = min(1.0, max(0.0, mean - swapped * width))
        return upper, lower

    def objectives(self, upper):
        """Weights of the linear problems whose solutions are candidates."""
        if self.spec.reward_model == "SUC":
            return [upper]
        if self.spec.reward_model == "AIC":
            return [np.log(np.maximum(upper, 1e-6))]
        return [upper, -np.log(np.maximum(1 - upper, 1e-6))]

    def relax(self, upper, lower):
        """Candidates, the best of which (by the relaxed reward, first of equals) comes first."""
        spec = self.spec
        found = [
            solve(self.table, weights, lower, spec.budget, spec.at_most)
            for weights in self.objectives(upper)
        ]
        if len(found) == 2 and self.any_win(upper, found[1]) > self.any_win(upper, found[0]):
            found = found[::-1]
        return found

    @staticmethod
    def any_win(upper, relaxed):
        return 1 - np.prod(1 - upper * relaxed.marginals)

    # Scheduling cloud

    def round(self, marginals, uniform):
        """A set from one uniform: of two fractional arms exactly one, of one arm maybe it."""
        selected = marginals > 0.5
        fractional = [k for k, z in enumerate(marginals) if 1e-9 < z < 1 - 1e-9]
        if fractional:
            first = uniform < marginals[fractional[0]]
            if "other coin" in self.faults:
                first = uniform >= marginals[fractional[0]]
            selected[fractional] = not first
            selected[fractional[0]] = first
        return selected

    # Users

    def outcomes(self, uniforms):
        """Rewards and costs of all arms from the environment's uniforms."""
        spec = self.spec
        k = spec.num_arms
        for_cost = uniforms[k:]
        reward = outcome(spec.reward_law, np.array(spec.mean_reward), uniforms[:k])
        return reward, outcome(spec.cost_law, np.array(spec.mean_cost), for_cost)

    def serve(self, selected, reward, satisfied):
        """Arms whose reward is seen, and arms whose cost is billed."""
        spec = self.spec
        if not spec.cascading:
            return selected, selected
        observed = np.zeros(spec.num_arms, bool)
        for k in self.order():
            if selected[k]:
                observed[k] = True
                if satisfied[k] == (spec.reward_model == "AWC"):
                    break
        return observed, observed if spec.billing == "queried" else selected

    def order(self):
        """The order in which a cascade asks."""
        if self.spec.cascade_order == "given":
            return range(self.spec.num_arms)
        return np.argsort(self.priority, kind="stable")

    def set_priority(self, upper):
        """Cheapest mean cost first (0 where nothing was billed), or highest U first."""
        self.priority = self.cost_sum / np.maximum(self.billed_count, 1)
        if "dearest first" in self.faults:
            self.priority = -self.priority
        if self.spec.cascade_order == "highest-ucb":
            self.priority = -upper

    def satisfied(self, reward, uniforms):
        """Whether each outcome is a success."""
        if self.spec.reward_law == "bernoulli":
            return reward > 0.5
        if self.spec.satisfaction == "bernoulli":
            return uniforms < reward
        return reward >= self.spec.satisfaction

    def set_reward(self, reward, selected):
        """Realised reward of a set."""
        if self.spec.reward_model == "SUC":
            return reward[selected].sum()
        if self.spec.reward_model == "AIC":
            return reward[selected].prod()
        return 1 - (1 - reward[selected]).prod()

    # Local server again

    def learn(self, t, reward, cost, observed, billed, selected):
        if "forgets a round" in self.faults and t == 20:
            return
        if "sees everything" in self.faults:
            observed = selected
        self.count += observed
        self.reward_sum += np.where(observed, reward, 0)
        self.billed_count += billed
        self.cost_sum += np.where(billed, cost, 0)


def outcome(law, mean, uniform):
    """Outcomes of one law: Bernoulli, constant, or uniform on mean +- min(mean, 1 - mean)/2."""
    if law == "bernoulli":
        return (uniform < mean).astype(float)
    if law == "constant":
        return mean
    return mean + (uniform - 0.5) * np.minimum(mean, 1 - mean)


__all__ = ["FAULTS", "Loop", "Spec", "first_n"]
