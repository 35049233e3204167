"""Tiles at work: threads, devices, processes; what happens when memory runs out."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from c2mabv_jax.engine import block
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.sweep import tally
from c2mabv_jax.sweep.plan import Plan

NARROWEST = 16  # lanes of a call and device when memory is short


class Width:
    """Lanes of one call: a block on every local device, halved when memory runs out.

    Attributes:
      lanes: lanes of a call.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self.lanes = block.lanes() * jax.local_device_count()
        self._say = say
        self._lock = threading.Lock()

    def halve(self, failed: int) -> bool:
        """Halve, once for all calls of `failed` lanes; False when there is nothing to halve."""
        with self._lock:
            if self.lanes == failed:
                if failed < 2 * NARROWEST * jax.local_device_count():
                    return False
                self.lanes = failed // 2
                self._say(f"out of memory with {failed} lanes a call; going on with {self.lanes}")
        return True


def run_tile(plan: Plan, number: int, width: Width, per_seed: bool = False) -> tally.Arrays:
    """A tile of the plan; out of memory, again with narrower calls."""
    while True:
        lanes = width.lanes
        try:
            return tally.run_tile(plan, plan.tiles[number], lanes, per_seed)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if isinstance(error, jax.errors.JaxRuntimeError) and (
                "RESOURCE_EXHAUSTED" not in str(error)
            ):
                raise
            if not width.halve(lanes):
                raise ProblemError(
                    f"record_at: out of memory with {lanes} lanes a call, the fewest there are; "
                    "record fewer rounds"
                ) from error


def share(tiles: Sequence[int], process: int, processes: int) -> list[int]:
    """The tiles of one process."""
    return [number for number in tiles if number % processes == process]


def workers() -> int:
    """Threads that run tiles: one per core on one CPU device; else one computes, one stores."""
    single = jax.default_backend() == "cpu" and jax.local_device_count() == 1
    return (os.cpu_count() or 1) if single else 2


def each_done(
    work: Callable[[int], Any], numbers: Sequence[int], check: Callable[[], None] = lambda: None
) -> Iterator[int]:
    """Do `work` for every number on `workers()` threads; yields numbers as they are done.

    `check` is called now and then; what it raises ends the waiting.

    The threads are daemons: whoever is interrupted while waiting here may end the process
    without waiting for them.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    def labour() -> None:
        while not stop.is_set():
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            try:
                work(number)
            except BaseException as error:
                done.put((number, error))
                return
            done.put((number, None))

    for number in numbers:
        todo.put(number)
    try:
        for _ in range(min(workers(), len(numbers))):
            threading.Thread(target=labour, name="sweep tile", daemon=True).start()
        for _ in numbers:
            number, error = _wait(done, check)
            if error is not None:
                raise error
            yield number
    finally:
        stop.set()


def _wait(done: queue.SimpleQueue, check: Callable[[], None]) -> tuple[int, BaseException | None]:
    while True:  # in short waits, so that an interrupt is noticed at once
        check()
        try:
            return done.get(timeout=0.5)
        except queue.Empty:
            continue
