"""How long a job takes: every policy compiled and run for a moment before any is run in full.

The programs are those of the job itself, so compiling them here is no extra work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from c2mabv_jax.sweep.forecast import forecast
from c2mabv_jax.sweep.grid import Point
from c2mabv_jax.sweep.plan import make_plan
from c2mabv_jax.sweep.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from c2mabv_jax.cli.jobs import Job

MOMENT = 0.05  # seconds a policy is run
WORTH_SAYING = 10.0  # seconds
_LARGE_SHARE = 0.3  # of the time, worth naming


class Outlook(NamedTuple):
    """Seconds that every policy of a job will run on this machine, compiled."""

    seconds: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def line(self) -> str | None:
        """What to tell a user before it starts; None where it is soon done."""
        if self.total < WORTH_SAYING:
            return None
        dearest = max(self.seconds, key=self.seconds.__getitem__)
        told = f"about {duration(self.total)} on this machine"
        if len(self.seconds) > 1 and self.seconds[dearest] > _LARGE_SHARE * self.total:
            told += f", {duration(self.seconds[dearest])} of it {dearest}"
        return f"{told}; fewer --seeds or a shorter --horizon take less"


def outlook(job: Job, compiled: Callable[[str], object] = lambda name: None) -> Outlook:
    """Compile every policy of the job and time a moment of it.

    Args:
      job: not yet run.
      compiled: told the name of every policy before its turn.
    """
    seconds = {}
    for name, policy in job.policies.items():
        compiled(name)
        policy = policy.at_horizon(job.horizon)
        point = Point(job.problem, job.environment, policy, job.horizon, {})
        plan = make_plan([point], job.seeds, seed=job.seed)
        seconds[name] = forecast(plan, moment=MOMENT).run_seconds
    return Outlook(seconds)
