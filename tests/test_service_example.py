"""The service example of the README: it runs, it is what the README shows, it is short."""

import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "experiments" / "service_example.py"


@pytest.fixture(autouse=True)
def _needs_the_checkout():
    if not EXAMPLE.exists():
        pytest.skip("experiments/ is not beside the tests")


def test_it_runs_learns_and_comes_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLE))
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]
    count = np.asarray(names["state"].estimates.count)
    assert str(count) in capsys.readouterr().out
    assert names["state"].round == 1001 and count.sum() == 2 * 1000  # N = 2 LLMs a query
    # The mixed optimum at (0.9, 0.7, 0.4), (0.8, 0.3, 0.1), rho = 0.9 is z = (5/7, 1, 2/7).
    best = [5 / 7, 1, 2 / 7]
    np.testing.assert_allclose(count / 1000, best, atol=0.1)


def test_the_readme_shows_exactly_this_code():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not beside the tests")
    assert f"```python\n{EXAMPLE.read_text()}```" in readme.read_text()


def test_it_is_twenty_lines():
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
