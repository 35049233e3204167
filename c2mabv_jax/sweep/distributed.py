"""Several processes on one sweep: JAX's own engine, for the start alone.

They meet once (`agree`) and then leave it: each works on tiles of its own, and process 0 looks
for the others' in their common folder. While it lasts, JAX ends every process when one dies, with
a stack of C++; afterwards they notice it themselves (see `alive`).
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable
from typing import Any

import jax

from c2mabv_jax import interrupts
from c2mabv_jax.errors import ProblemError, shortened

SILENCE = 40  # seconds after which JAX takes a process for dead
LONGEST_START = 240  # seconds until all must be there; JAX's own limit ends in a stack of C++


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
            _join()
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
        _join(coordinator, num_processes, process_id)


def _join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    def join() -> None:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, heartbeat_timeout_seconds=SILENCE
        )
        jax.devices()  # the processes tell each other theirs

    _patiently(join, LONGEST_START)


def _patiently(call: Callable[[], Any], most: float = float("inf")) -> Any:
    """Wait for a call that waits for other processes, in C++, where Ctrl-C is not noticed.

    Raises:
      ProblemError: no answer after `most` seconds.
    """
    answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def wait() -> None:
        try:
            answer.put((call(), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=wait, name=f"{interrupts.OURS}start", daemon=True).start()
    waited = 0.0
    while waited < most:
        try:
            found, error = answer.get(timeout=0.5)
        except queue.Empty:
            waited += 0.5
            continue
        if error is not None:
            raise error
        return found
    raise ProblemError(
        f"--coordinator: the processes have not met within {most:g} s; start all of them, with "
        "an address of process 0 that all can reach and a port that is free"
    )


def _in_cluster() -> bool:
    """Whether Slurm (srun) or a TPU pod started several of us."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    pod = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return (tasks.isdigit() and int(tasks) > 1) or len(pod.split(",")) > 1


def agree(digest: str, first: Callable[[], list[str]]) -> list[str]:
    """Process 0 does `first` before the others go on; all must have the same sweep.

    They are on their own then.

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
    heard = np.asarray(_patiently(lambda: multihost_utils.broadcast_one_to_all(message)))
    _patiently(jax.distributed.shutdown)
    if failure is not None:
        raise failure
    if heard[-1]:
        raise ProblemError("out: process 0 could not begin; see its message")
    if (heard[:-1] != mine).any():
        raise ProblemError("spec: process 0 has another sweep; give all processes the same")
    return answer
