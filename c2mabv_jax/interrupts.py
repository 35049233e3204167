"""Ctrl-C at any moment: one line, exit status 130, and never lost."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

WORD, STATUS = "interrupted", 130
_seen = False


def install() -> None:
    """From now on; not where the signal is ignored (in the background) or another's."""
    if threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, handle)


def seen() -> bool:
    """Whether it has come."""
    return _seen


def handle(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but leave an import at once.

    What is raised inside an import may be swallowed there, or become an ImportError; and
    nothing needs cleaning up that the next command does not clean up.
    """
    global _seen
    _seen = True
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, f"c2mabv: error: {WORD}\n".encode())
            os._exit(STATUS)
        frame = frame.f_back
    raise KeyboardInterrupt
