"""A problem that cannot be posed is refused by an error that names the field."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from c2mabv_jax import Problem, ProblemError

GOOD = {"num_arms": 5, "num_selected": 2, "budget": 0.5, "reward_model": "SUC"}


@pytest.mark.smoke
@pytest.mark.parametrize(
    "field, value",
    [
        ("num_arms", 0),
        ("num_arms", 2.5),
        ("num_arms", True),
        ("num_selected", 0),
        ("num_selected", 6),
        ("num_selected", "2"),
        ("budget", -0.1),
        ("budget", float("nan")),
        ("budget", float("inf")),
        ("reward_model", "MAX"),
        ("cardinality", "some"),
        ("feedback", "full"),
        ("feedback", "cascading"),
        ("billing", "free"),
        ("cascade_order", "random"),
        ("satisfaction", 0.0),
        ("satisfaction", 1.5),
        ("satisfaction", "maybe"),
    ],
)
def test_impossible_problems_name_the_field(field, value):
    with pytest.raises(ProblemError) as caught:
        Problem(**{**GOOD, field: value})
    message = str(caught.value)
    assert message.startswith(f"{field} = ")
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)


def test_empty_set_of_all_in_is_refused():
    with pytest.raises(ProblemError, match="cardinality"):
        Problem(**{**GOOD, "reward_model": "AIC", "cardinality": "at_most"})


@pytest.mark.parametrize(
    "model, at_most, cascading, same_counts",
    [("AWC", True, True, False), ("SUC", False, False, True), ("AIC", False, False, True)],
)
def test_defaults_of_the_reward_models(model, at_most, cascading, same_counts):
    problem = Problem(**{**GOOD, "reward_model": model})
    assert (problem.at_most, problem.cascading) == (at_most, cascading)
    assert problem.same_counts == same_counts


def test_replace_validates_again():
    problem = Problem(**GOOD)
    assert problem.replace(budget=0.7).budget == 0.7
    with pytest.raises(ProblemError, match="num_selected"):
        problem.replace(num_selected=9)


def test_budgets_share_one_program():
    """The budget is the one traced leaf."""
    traces = []

    @jax.jit
    def spend(problem):
        traces.append(problem.num_arms)
        return problem.budget * 2

    for budget in (0.1, 0.2, 0.3):
        assert spend(Problem(**{**GOOD, "budget": budget})) == pytest.approx(2 * budget)
    assert traces == [5]
    lanes = jax.vmap(lambda b: Problem(**{**GOOD, "budget": b}).budget)(jnp.arange(3.0))
    assert lanes.shape == (3,)
