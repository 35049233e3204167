"""Runs on all cores and devices: threads, their precision, and memory that runs out.

Whoever plays rounds, plays them here: `simulate`, sweeps, advice, verification, benchmarks.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from c2mabv_jax import interrupts
from c2mabv_jax.engine import block, program
from c2mabv_jax.engine.observer import Observer
from c2mabv_jax.errors import ProblemError

Item = TypeVar("Item")
Made = TypeVar("Made")

NARROWEST = 16  # lanes of a call and device when memory is short


class Width:
    """Lanes of one call: a block on every local device, halved when memory runs out.

    Shared by all threads of a job.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self._halvings = 0
        self._say = say
        self._lock = threading.Lock()

    def lanes(self) -> int:
        """Lanes of a call."""
        return (block.lanes() >> self._halvings) * jax.local_device_count()

    def halve(self, failed: int) -> bool:
        """Halve, once for all calls of `failed` lanes; False when there is nothing to halve."""
        with self._lock:
            if self.lanes() == failed:
                if failed < 2 * NARROWEST * jax.local_device_count():
                    return False
                self._halvings += 1
                narrower = self.lanes()
                self._say(f"out of memory with {failed} lanes a call; going on with {narrower}")
        return True


class Runs:
    """Runs of points that share a program, each watched by its point's observer.

    What a lane computes depends on its point and seed alone, not on the calls around it.

    Attributes:
      points: of one structure, budgets in scaled cost.
      observers: one for every point, of one structure.
      record_at: recorded rounds, ascending (repeats allowed), int32 `[R]`.
    """

    def __init__(
        self,
        points: Sequence[block.Point],
        observers: Sequence[Observer],
        record_at: Sequence[int] | np.ndarray,
        width: Width | None = None,
    ) -> None:
        self.points, self.observers = points, observers
        self.record_at = np.asarray(record_at, np.int32)
        self._width = Width() if width is None else width
        self._last: tuple[Any, Any] = (None, None)

    @property
    def lanes(self) -> int:
        """Lanes of a call; as many runs at a time waste none."""
        return self._width.lanes()

    def play(self, which: np.ndarray, seeds: np.ndarray, root: int) -> Any:
        """What the observers keep, on the host, every entry `[R, ..., n]`.

        Args:
          which: index into `points` of every run, int `[n]`.
          seeds: its seed id, `[n]`.
          root: root of all random numbers.

        Raises:
          ProblemError: out of memory with the narrowest calls.
        """
        while True:
            width = self.lanes
            try:
                starts = range(0, len(which), width)
                pieces = [self._call(which, seeds, root, start, width) for start in starts]
                return jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *pieces)
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                if isinstance(error, jax.errors.JaxRuntimeError) and (
                    "RESOURCE_EXHAUSTED" not in str(error)
                ):
                    raise
                if not self._width.halve(width):
                    raise ProblemError(
                        f"record_at: out of memory with {width} lanes a call, the fewest there "
                        "are; record fewer rounds"
                    ) from error

    def _call(self, which: np.ndarray, seeds: np.ndarray, root: int, start: int, width: int) -> Any:
        """One compiled call, filled up with repeats of its last lane."""
        mine = np.minimum(np.arange(start, start + width), len(which) - 1)
        records = program.run_block(
            *self._per_lane(which[mine]),
            jax.random.key(root, impl="threefry2x32"),
            jnp.asarray(seeds[mine].astype(np.uint32)),
            jnp.asarray(self.record_at),
        )
        return jax.tree.map(lambda x: np.asarray(x)[..., : len(which) - start], records)

    def _per_lane(self, which: np.ndarray) -> tuple[block.Point, Observer]:
        """Points and observers of these lanes; those of the call before where they are the same."""
        key, last = which.tobytes(), self._last
        if key != last[0]:
            used, own = np.unique(which, return_inverse=True)
            lanes = tuple(
                block.per_lane([each[i] for i in used], own.reshape(-1))
                for each in (self.points, self.observers)
            )
            last = self._last = key, lanes
        return last[1]


def workers() -> int:
    """Threads at work: one per core on one CPU device; else one computes, one takes the results."""
    single = jax.default_backend() == "cpu" and jax.local_device_count() == 1
    return (os.cpu_count() or 1) if single else 2


def each_done(
    work: Callable[[Item], Made],
    items: Sequence[Item],
    check: Callable[[], None] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[int, Made]]:
    """Do `work` for every item on `threads` (`workers()`) threads; yields (index, made) when done.

    `check` is called now and then; what it raises ends the waiting. The threads are daemons:
    whoever is interrupted while waiting here may end the process without waiting for them.
    They compute in the precision of the caller: `with jax.enable_x64(True)` holds in its own
    thread only. A single item without a `check` is done where it is called.
    """
    threads = min(workers() if threads is None else threads, len(items))
    if check is None and threads < 2:
        yield from ((index, work(item)) for index, item in enumerate(items))
        return
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stop, wide = threading.Event(), jnp.result_type(float) == jnp.float64

    def labour() -> None:
        with jax.enable_x64(wide):
            while not stop.is_set():
                try:
                    index = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((index, work(items[index]), None))
                except BaseException as error:
                    done.put((index, None, error))
                    return

    for index in range(len(items)):
        todo.put(index)
    try:
        for _ in range(threads):
            threading.Thread(target=labour, name=f"{interrupts.OURS}runner", daemon=True).start()
        for _ in items:
            index, made, error = _wait(done, check)
            if error is not None:
                raise error
            yield index, made
    finally:
        stop.set()


def _wait(done: queue.SimpleQueue, check: Callable[[], None] | None) -> Any:
    while True:  # in short waits, so that an interrupt is noticed at once
        if check is not None:
            check()
        try:
            return done.get(timeout=0.5)
        except queue.Empty:
            continue


def all_done(
    work: Callable[[Item], Made], items: Sequence[Item], threads: int | None = None
) -> list[Made]:
    """`[work(item) for item in items]` on `threads` (`workers()`) threads."""
    made = dict(each_done(work, items, threads=threads))
    return [made[index] for index in range(len(items))]
