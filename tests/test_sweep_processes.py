"""Sweeps in processes of their own: devices, jax.distributed, kill -9, Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_spec import variant, written

from c2mabv_jax import sweep

# A runner in the background hands on an ignored SIGINT; a terminal does not.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from c2mabv_jax.sweep import alive
alive.BEAT, alive.SILENCE = 0.5, 6.0
from c2mabv_jax.cli import main
main()
"""
COMMAND = [sys.executable, "-c", PROGRAM, "sweep"]
TILES = 24


def finished(folder: Path, **changes) -> tuple[Path, Path, dict[str, str]]:
    """A sweep file, the folder of its finished sweep, and an environment for processes."""
    path = written(folder, variant(**changes))
    sweep.sweep(path, folder / "out", tile=64, quiet=True)
    environment = {**os.environ, "C2MABV_CACHE": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}
    return path, folder / "out", environment


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> tuple[Path, Path, dict[str, str]]:
    return finished(tmp_path_factory.mktemp("short"), num_seeds=64)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> tuple[Path, Path, dict[str, str]]:
    """Some seconds of work, so that there is time to kill."""
    return finished(tmp_path_factory.mktemp("long"), num_seeds=64, problem__horizon=[800, 2000])


def contents(folder: Path) -> dict[str, bytes]:
    root = folder / "results.zarr"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def start(spec: Path, out: Path, environment: dict[str, str], *options: str) -> subprocess.Popen:
    command = [*COMMAND, str(spec), "--out", str(out), "--tile", "64", *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stored(out: Path) -> int:
    return len(list((out / "tiles").glob("*.npz")))


def until_stored(out: Path, number: int, process: subprocess.Popen) -> None:
    while stored(out) < number and process.poll() is None:
        time.sleep(0.01)


def two(spec: Path, out: Path, environment: dict[str, str]) -> list[subprocess.Popen]:
    """Two processes on one sweep."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    together = ("--coordinator", address, "--num-processes", "2")
    return [
        start(spec, out, environment, *together, "--process-id", str(number)) for number in (0, 1)
    ]


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_change_no_byte(short, tmp_path, devices):
    spec, folder, environment = short
    flag = f"--xla_force_host_platform_device_count={devices}"
    process = start(spec, tmp_path / "out", {**environment, "XLA_FLAGS": flag})
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert contents(tmp_path / "out") == contents(folder)


def test_two_processes_change_no_byte(short, tmp_path):
    spec, folder, environment = short
    both = two(spec, tmp_path / "out", environment)
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert f"{TILES // 2} of {TILES} tiles to run" in said[0]
    assert contents(tmp_path / "out") == contents(folder)


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_dies(long, tmp_path, victim):
    """The other says so in one line and ends; what is stored counts."""
    spec, folder, environment = long
    out = tmp_path / "out"
    both = two(spec, out, environment)
    until_stored(out, 2, both[victim])
    both[victim].kill()
    killed = time.monotonic()
    _, said = both[1 - victim].communicate(timeout=60)
    both[victim].communicate()
    assert both[1 - victim].returncode == 2, said
    assert time.monotonic() - killed < 30
    last = said.strip().splitlines()[-1]
    assert last == f"c2mabv: error: process {victim} is gone; go on with --resume"
    assert "Traceback" not in said and "***" not in said
    there = stored(out)
    assert 2 <= there < TILES
    if victim == 1:
        return
    process = start(spec, out, environment, "--resume")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert f"{TILES - there} of {TILES} tiles to run" in said and "damaged" not in said
    assert contents(out) == contents(folder)
    assert not [name for name in os.listdir(out) if name.endswith(".part")]


def test_killed_and_resumed(long, tmp_path):
    """kill -9 in the tiles, twice; what is stored is never run again, and the end is the same."""
    spec, folder, environment = long
    out = tmp_path / "out"
    for number in (2, 9):
        process = start(spec, out, environment, "--resume")
        until_stored(out, number, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (out / "results.zarr").exists()
    there = stored(out)
    process = start(spec, out, environment, "--resume")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert f"{TILES - there} of {TILES} tiles to run" in said and "damaged" not in said
    assert contents(out) == contents(folder)


def test_interrupt_stops_cleanly_and_says_how_to_go_on(long, tmp_path):
    spec, _, environment = long
    out = tmp_path / "out"
    process = start(spec, out, environment)
    until_stored(out, 1, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    last = said.strip().splitlines()[-1]
    assert "interrupted" in last and f"of {TILES} tiles are stored" in last and "--resume" in last
    assert "Traceback" not in said
    assert 1 <= stored(out) < TILES
