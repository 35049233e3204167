"""Several processes on one sweep: JAX's own engine, needed at the start and at the end only.

They meet twice at the start (`agree`, `barrier`). At the end process 0 looks for the tiles of
the others in their common folder, and the others wait for it when they leave.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import jax

from c2mabv_jax.errors import ProblemError, shortened

LONGEST_END = 7 * 86400  # seconds a process that has done its share waits for the slowest one


def connect(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes, as told or as Slurm or a TPU pod says; alone if nobody does.

    Must run before anything else touches JAX.

    Raises:
      ProblemError: half of what is needed was given.
    """
    given = {
        "--coordinator": coordinator,
        "--num-processes": num_processes,
        "--process-id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if _in_cluster():
            jax.distributed.initialize(shutdown_timeout_seconds=LONGEST_END)
        return
    if missing:
        raise ProblemError(f"{missing[0]}: missing; give {', '.join(given)} together")
    assert coordinator is not None and num_processes is not None and process_id is not None
    host, _, port = coordinator.rpartition(":")
    # Not isdigit, which takes "²", nor int of any length, which has a limit of its own.
    if not (host and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise ProblemError(f"--coordinator = {shortened(coordinator)}: give HOST:PORT")
    if num_processes < 1:
        raise ProblemError(f"--num-processes = {num_processes}: give at least 1")
    if not 0 <= process_id < num_processes:
        raise ProblemError(f"--process-id = {process_id}: give 0 to {num_processes - 1}")
    if num_processes > 1:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, shutdown_timeout_seconds=LONGEST_END
        )


def _in_cluster() -> bool:
    """Whether Slurm (srun) or a TPU pod started several of us."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    pod = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return (tasks.isdigit() and int(tasks) > 1) or len(pod.split(",")) > 1


def barrier(name: str) -> None:
    """Wait until every process is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def agree(digest: str, first: Callable[[], list[str]]) -> list[str]:
    """Process 0 does `first` before the others go on; all must have the same sweep.

    Returns:
      What `first` returned (nothing on the others).

    Raises:
      ProblemError: process 0 failed, or this process has another sweep.
    """
    if jax.process_count() == 1:
        return first()
    import numpy as np
    from jax.experimental import multihost_utils

    answer: list[str] = []
    failure: ProblemError | None = None
    if jax.process_index() == 0:
        try:
            answer = first()
        except ProblemError as error:
            failure = error
    mine = np.frombuffer(bytes.fromhex(digest), np.uint8)
    message = np.concatenate([mine, [np.uint8(failure is not None)]])
    heard = np.asarray(multihost_utils.broadcast_one_to_all(message))
    if failure is not None:
        raise failure
    if heard[-1]:
        raise ProblemError("out: process 0 could not begin; see its message")
    if (heard[:-1] != mine).any():
        raise ProblemError("spec: process 0 has another sweep; give all processes the same")
    return answer
