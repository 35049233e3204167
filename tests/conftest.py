"""Which tests take long: `pytest` leaves them out, `pytest -m slow` runs them alone.

Each is the exhaustive form of something of which a sample, or a faster relative, always runs.
"""

import pytest

# By file: beginnings of the names of tests, or None for all of them.
SLOW = {
    "test_cli_run.py": ["test_remarks_on_problems", "test_default_number_of_llms"],
    "test_changing.py": ["test_the_logarithm_is_that_of_the_memory"],
    "test_selector.py": [
        "test_every_kind_of_state",
        "test_a_million_tickets",
        "test_killed_at_any_moment",
        "test_a_decision_takes_less",
    ],
    "test_advise.py": ["test_command_that_is_said"],
    "test_relaxation.py": ["test_too_few_steps", "test_an_exact_search_stopped"],
    "test_verification_audit.py": None,
    "test_verification_runs.py": ["test_full_with_small_sizes"],
    "test_promises.py": None,
    "test_typed_lp.py": None,
    "test_logs_by_command.py": None,
    "test_litellm.py": ["test_the_best_mixture"],
    "test_policy_protocol.py": ["test_other_reward_models"],
}
# By file: of these tests only the named parameters always run.
SAMPLED = {
    "test_verification_runs.py": ("test_control_is_caught", ["discount", "coins", "shrunk"]),
    "test_guard.py": ("test_what_is_no_share", ["[c2mabv]", "[thompson]", "[lyapunov]"]),
    "test_damage.py": ("test_resume_names_it", ["[0]", "[7]"]),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        file = item.path.name
        names = SLOW.get(file, [])
        long = names is None or any(item.name.startswith(name) for name in names)
        if file in SAMPLED:
            start, kept = SAMPLED[file]
            long |= item.name.startswith(start) and not any(part in item.name for part in kept)
        if long:
            item.add_marker("slow")
