"""Signs of life: how a process of a sweep notices that another one has died.

The processes share nothing but their folder once they work (see `distributed`), so each keeps a
small file there and changes it every few seconds. Process 0 looks at all the others, which look
at process 0 alone. A clock of one's own tells how long a file has not changed: the machines'
clocks need not agree. The files bear the names of temporary files (`files.is_part`), so that
those of a sweep that was killed are known for what they are and go with the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any

from c2mabv_jax import files, interrupts
from c2mabv_jax.errors import ProblemError

BEAT = 2.0  # seconds between signs of life
SILENCE = 30.0  # seconds without one after which a process counts as gone
_READY, _DONE, _GONE = "ready", "done", "gone"
_SIZE = 32  # bytes


class Alive:
    """The signs of life of this process, while in context, and a look at those of others.

    Args:
      folder: of the sweep.
      token: of its marker.
      process, processes: which of how many this is; alone, nothing is written.
    """

    def __init__(self, folder: Path, token: str, process: int = 0, processes: int = 1) -> None:
        self._names = [folder / f".{token}.{k:08x}.part" for k in range(processes)]
        self._process = process
        others = range(1, processes) if process == 0 else [0]
        self._last = {k: ("", time.monotonic()) for k in others}
        self._lost: int | None = None
        self._ready = False
        self._stop = threading.Event()

    def __enter__(self) -> Alive:
        if self._last:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            self._handle = os.open(self._names[self._process], flags, 0o666)
            self._thread = threading.Thread(
                target=self._live, name=f"{interrupts.OURS}alive", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if not self._last:
            return
        self._stop.set()
        self._thread.join()
        self._say(_DONE if kind is None else _GONE)
        os.close(self._handle)
        if self._process == 0 and kind is None:
            limit = time.monotonic() + SILENCE
            while time.monotonic() < limit and not all(map(self._has_ended, self._last)):
                time.sleep(0.1)
            for name in self._names:
                name.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise if a process has died.

        Raises:
          ProblemError: names it and what to do.
        """
        if self._lost is not None:
            raise ProblemError(f"process {self._lost} is gone; go on with --resume")

    def ready(self) -> None:
        """Process 0 lets the others begin."""
        self._ready = True

    def wait_until_ready(self) -> None:
        """Wait until process 0 lets the others begin.

        Raises:
          ProblemError: it has died.
        """
        self._wait_for_first((_READY, _DONE))

    def wait_until_done(self) -> None:
        """Wait until process 0 has put everything together.

        Raises:
          ProblemError: it has died.
        """
        self._wait_for_first((_DONE,))

    def _wait_for_first(self, words: tuple[str, ...]) -> None:
        while self._process and not self._said(0).endswith(words):
            self.check()
            time.sleep(0.1)

    def _has_ended(self, number: int) -> bool:
        return self._said(number) in (_DONE, _GONE)

    def _live(self) -> None:
        for beat in itertools.count():
            self._say(f"{beat} {_READY if self._ready else ''}")
            for number, (before, since) in self._last.items():
                said = self._said(number)
                if said and said != before:
                    since = time.monotonic()
                    self._last[number] = (said, since)
                silent = time.monotonic() - since > SILENCE
                if said == _GONE or (said != _DONE and silent):
                    self._lost = number
            if self._stop.wait(BEAT):
                return

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk: the others will think us gone
            os.pwrite(self._handle, text.ljust(_SIZE).encode(), 0)

    def _said(self, number: int) -> str:
        try:
            return files.read_own(self._names[number], _SIZE).decode("ascii", "replace").strip()
        except (OSError, files.Damaged):
            return ""
