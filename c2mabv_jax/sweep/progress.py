"""How far a sweep is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

from c2mabv_jax.errors import printable

LOG_EVERY = 30.0  # seconds between lines in a log


class Progress:
    """Counts tiles and rounds as they are done; writes to standard error.

    Args:
      tiles, rounds: in all.
      done_tiles, done_rounds: by an earlier run.
    """

    def __init__(
        self,
        tiles: int,
        rounds: float,
        done_tiles: int = 0,
        done_rounds: float = 0,
        stream: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.tiles, self.done_tiles = tiles, done_tiles
        self.rounds, self.done_rounds = rounds, done_rounds
        self._begin = self._last = time.monotonic()
        self._before = done_rounds
        terminal = self.stream.isatty() and not quiet
        self._bar = (
            tqdm(
                total=rounds,
                initial=done_rounds,
                unit=" rounds",
                unit_scale=True,
                desc="sweep",
                file=self.stream,
            )
            if terminal
            else None
        )
        self._show_tiles()

    def tile_done(self, rounds: float) -> None:
        """One more tile of so many rounds."""
        self.done_tiles += 1
        self.done_rounds += rounds
        if self._bar is not None:
            self._bar.update(rounds)
            self._show_tiles()
        elif time.monotonic() - self._last >= LOG_EVERY:
            self._last = time.monotonic()
            self.say(self.line())

    def line(self) -> str:
        """Where the sweep is, in one line."""
        seconds = max(time.monotonic() - self._begin, 1e-9)
        rate = (self.done_rounds - self._before) / seconds
        left = (self.rounds - self.done_rounds) / rate if rate > 0 else float("inf")
        return f"{self.done_tiles}/{self.tiles} tiles, {rate:.2g} rounds/s, {duration(left)} left"

    def say(self, line: str) -> None:
        """A line, above the bar where there is one."""
        if self.quiet:
            return
        line = printable(line)
        if self._bar is not None:
            self._bar.write(f"sweep: {line}", file=self.stream)
        else:
            print(f"sweep: {line}", file=self.stream, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def _show_tiles(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"tile {self.done_tiles}/{self.tiles}", refresh=True)


def duration(seconds: float) -> str:
    """Seconds as people say it: 45 s, 12 min, 3.5 h, 2.1 days."""
    if seconds != seconds or seconds == float("inf"):
        return "unknown time"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
