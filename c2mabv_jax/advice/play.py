"""A plan played on all cores: how long it takes said before, a bar while it lasts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from c2mabv_jax.engine import runner
from c2mabv_jax.sweep import tally
from c2mabv_jax.sweep.plan import Plan
from c2mabv_jax.sweep.progress import duration

WORTH_SAYING = 5.0  # seconds
Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """The usual `say`: what it takes is no part of the advice."""
    print(line, file=sys.stderr, flush=True)


class Player:
    """Plays plans of one program each, one after another.

    Args:
      say: told, before anything long, about how long it takes; None says nothing.
      progress: show a bar on standard error.
    """

    def __init__(self, say: Say | None = None, progress: bool = False) -> None:
        self._say, self._progress, self._width = say, progress, runner.Width()

    def play(self, plan: Plan, name: str, later: int = 0) -> list[dict[str, np.ndarray]]:
        """The tallies of all tiles, in order.

        Args:
          plan: what to play. name: of the bar.
          later: tiles of as much work that follow in other plans, counted into what is said.
        """
        tiles: dict[int, dict[str, np.ndarray]] = {}

        def work(number: int) -> None:
            tiles[number] = tally.run_tile(plan, number, self._width)

        total = len(plan.tiles)
        with tqdm(total=total, desc=name, disable=not self._progress, leave=False) as bar:
            for number in range(min(2, total)):  # the first one compiles, the second is timed
                begin = time.perf_counter()
                work(number)
                bar.update()
            left = (total - 2 + later) * (time.perf_counter() - begin) / runner.workers()
            if self._say is not None and left >= WORTH_SAYING:
                bar.clear()
                self._say(f"{name}: about {duration(left)} on this machine")
            for _ in runner.each_done(work, range(2, total)):
                bar.update()
        return [tiles[number] for number in range(total)]
