"""Ctrl-C at any moment: one line, exit status 130, and never lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

WORD, STATUS = "interrupted", 130
OURS = "c2mabv "  # so begin the names of our threads
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


def end(status: int) -> NoReturn:
    """End the process, at once where threads of ours still work.

    Compiled calls that still run cannot be stopped, and nobody needs their answer; a process
    that ends beside them may abort. Every stored file is whole, so nothing is lost but the tiles
    in flight.
    """
    if any(thread.name.startswith(OURS) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


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
