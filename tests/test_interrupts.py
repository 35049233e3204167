"""A process that ends while threads still compute ends at once, and does not abort."""

import subprocess
import sys

import pytest

from c2mabv_jax import interrupts
from c2mabv_jax.engine import runner

# Native code that is busy, without the lock, when the interpreter goes; abort would give -6.
PROGRAM = """
import atexit, threading, time
from c2mabv_jax import interrupts
atexit.register(print, "left in the usual way")
threading.Thread(target=time.sleep, args=(60,), name={name!r}, daemon=True).start()
interrupts.end(130)
"""


def test_workers_bear_our_name():
    names = runner.all_done(lambda _: runner.threading.current_thread().name, range(4), threads=2)
    assert all(name.startswith(interrupts.OURS) for name in names)


@pytest.mark.parametrize(("name", "said"), [("c2mabv runner", ""), ("other", "left in the usual")])
def test_the_end_waits_for_no_thread_of_ours(name, said):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (
        done.returncode == 130 and done.stdout.startswith(said) and bool(done.stdout) == bool(said)
    )
