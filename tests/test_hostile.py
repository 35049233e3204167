"""Bad input and signals: one line on standard error, and never for long."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from sweep_spec import variant, written

import c2mabv_jax as c2
from c2mabv_jax import policies, toml
from c2mabv_jax.cli import cache, run_command
from c2mabv_jax.errors import ProblemError
from c2mabv_jax.policies import load_state, save_state
from c2mabv_jax.sweep import distributed

SOON = 30  # seconds; a refusal takes milliseconds, the margin is for a busy machine


@contextlib.contextmanager
def soon():
    """Fails what does not end, such as a look into a pipe that nobody fills."""

    def late(number, frame):
        raise AssertionError(f"no answer within {SOON} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SOON)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns its one line of complaint."""
    place = tmp_path / "cwd"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv(cache.VARIABLE, "off")

    def run(*arguments: str) -> str:
        with soon():
            status = run_command(list(arguments))
        said = capsys.readouterr()
        assert status == 2 and said.err.count("\n") == 1
        assert all(c.isprintable() for c in said.err[:-1]) and not said.out
        assert os.listdir(place) == []
        return said.err

    return run


# --- what a coordinator may be called ------------------------------------------------------


@pytest.mark.parametrize("port", ["²", "1" * 5000, "0", "65536", "-1", "٣", ""])
def test_coordinator(refused, tmp_path, port):
    spec = str(written(tmp_path, variant()))
    more = ["--coordinator", f"x:{port}", "--num-processes", "2", "--process-id", "0"]
    said = refused("sweep", spec, "--out", "o", *more)
    assert "--coordinator" in said and "give HOST:PORT" in said and len(said) < 200


# --- files that are not what they should be ------------------------------------------------

READERS = {
    "sweep": lambda path: ["sweep", path, "--out", "o"],
    "verify": lambda path: ["verify", path, "--out", "o"],
    "prices": lambda path: ["run", "--prices", path, "--out", "o"],
    "run log": lambda path: ["run", "--log", path, "--out", "o"],
    "advise log": lambda path: ["advise", "--log", path, "--out", "o"],
}


@pytest.mark.parametrize("reader", READERS)
def test_neither_pipes_nor_devices_are_read(refused, tmp_path, reader):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero"):
        assert "not a regular file" in refused(*READERS[reader](path))


@pytest.mark.parametrize("reader", ["sweep", "verify", "prices"])
@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000 + "]" * 100_000,
        "a = " + "[" * 500 + "]" * 500,
        ".".join("a" * 20_000) + " = 1",
        ".".join("a" * 150) + " = 1",
        "[" + ".".join("a" * 500_000) + "]\nb = 1",
    ],
)
def test_nested_deeper_than_anybody_writes(refused, tmp_path, reader, text):
    file = tmp_path / "deep.toml"
    file.write_text(text)
    said = refused(*READERS[reader](str(file)))
    assert "deep.toml" in said and f"more than {toml.DEEPEST} deep" in said and len(said) < 300


def test_a_file_without_end_is_read_as_far_as_the_limit(refused, tmp_path):
    file = tmp_path / "large.toml"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # a hole: takes no room on the disk
    for reader in ("sweep", "verify", "prices"):
        assert f"larger than {toml.LARGEST} bytes" in refused(*READERS[reader](str(file)))


def test_a_number_of_many_digits_is_named(refused, tmp_path):
    file = tmp_path / "digits.toml"
    file.write_text("seed = " + "1" * 5000)
    for reader in ("sweep", "verify", "prices"):
        assert "not TOML" in refused(*READERS[reader](str(file)))


def test_no_escape_reaches_the_terminal(refused, tmp_path):
    """In keys, values, names of files and options."""
    file = tmp_path / "esc\x1b[31m.toml"
    file.write_text('num_seeds = 1\n"a\\u001b[31mred\\u0007" = 1\n')
    assert r"a\x1b[31mred\x07" in refused("sweep", str(file), "--out", "o")
    assert r"\x1b[31m" in refused("plot", "no\x1b[31msuch")
    assert r"\x1b" in refused("run", "--\x1b[31m")
    assert r"\x1b" in refused("run", "--out", str(file))


def test_a_grid_too_large_is_refused_before_it_is_made(refused, tmp_path):
    many = [round(0.1 + i / 2000, 4) for i in range(1200)]
    spec = variant(problem__budget=many, policy__delta=many)
    said = refused("sweep", str(written(tmp_path, spec)), "--dry-run")
    assert "points" in said and "shorten the lists" in said
    assert f"{1200 * 1200 * 2 * 2:,} points" in said


# --- devices -------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["cuda", "nonsense"])
def test_a_device_that_is_not_there(tmp_path, asked):
    command = [sys.executable, "-m", "c2mabv_jax", "run", "--horizon", "5", "--seeds", "2"]
    environment = {**os.environ, "JAX_PLATFORMS": asked, cache.VARIABLE: "off"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and os.listdir(tmp_path) == [], done.stderr
    said = done.stderr.strip().splitlines()
    assert said[-1].startswith(f"c2mabv: error: JAX_PLATFORMS = '{asked}'")
    assert "cpu" in said[-1] and "Traceback" not in done.stderr


# --- states --------------------------------------------------------------------------------

PROBLEM = c2.Problem(num_arms=3, num_selected=1, budget=0.9, reward_model="SUC")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: {"count": e.count.at[1].set(-1)}, "estimates.count counts below 0"),
        (
            lambda e: {"reward": e.reward._replace(high=e.reward.high.at[0].set(np.nan))},
            "estimates.reward.high holds NaN or an infinity",
        ),
        (
            lambda e: {"cost": e.cost._replace(low=e.cost.low.at[2].set(-np.inf))},
            "estimates.cost.low holds NaN or an infinity",
        ),
    ],
)
def test_states_that_no_policy_reaches(tmp_path, change, said):
    start = policies.C2MABV().init(PROBLEM)
    estimates = start.estimates
    bad = start._replace(estimates=estimates._replace(**change(estimates)))
    save_state(tmp_path / "s.npz", bad)
    with pytest.raises(ProblemError, match=said):
        load_state(tmp_path / "s.npz", start)


def test_a_state_is_read_from_a_regular_file_only(tmp_path):
    start = policies.C2MABV().init(PROBLEM)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path, "\0"):
        with soon(), pytest.raises(ProblemError, match="path = "):
            load_state(path, start)
        with soon(), pytest.raises(ProblemError, match="path = "):
            save_state(path, start)


# --- several processes ---------------------------------------------------------------------


def test_waiting_for_other_processes_ends():
    """By Ctrl-C, which C++ would not notice, and by itself."""
    # Started in the background, the tests inherit an ignored SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with soon(), pytest.raises(KeyboardInterrupt):
            distributed._patiently(lambda: time.sleep(2 * SOON))
    finally:
        signal.signal(signal.SIGINT, before)
    with soon(), pytest.raises(ProblemError, match="have not met within 1 s"):
        distributed._patiently(lambda: time.sleep(2 * SOON), 1)


# --- Ctrl-C before anything runs -----------------------------------------------------------

# Sends the signal at the import of a module, from within it, where it is easily lost.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Sender:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == sys.argv.when:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10**8): pass
            except KeyboardInterrupt:
                pass  # as some packages do
sys.argv = type("Arguments", (list,), {"when": sys.argv[1]})(["c2mabv", *sys.argv[2:]])
sys.meta_path.insert(0, Sender)
from c2mabv_jax.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "jax", "c2mabv_jax.environments.laws"])
def test_interrupted_in_an_import(tmp_path, module):
    command = [sys.executable, "-c", INTERRUPTED, module, "run", "--horizon", "5", "--seeds", "2"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", cache.VARIABLE: "off"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (130, "c2mabv: error: interrupted\n"), done
    assert os.listdir(tmp_path) == []
