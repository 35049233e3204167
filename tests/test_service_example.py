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
    report = names["selector"].report()
    assert str(report) in capsys.readouterr().out
    assert report.decisions == report.answered == 3000
    # The mixed optimum at (0.95, 0.7, 0.5) for (0.01, 0.002, 0.0003), rho = 0.003: z = 1/8, 7/8, 0.
    picks = [model.picks / 3000 for model in report.models]
    np.testing.assert_allclose(picks, [1 / 8, 7 / 8, 0], atol=0.1)
    assert report.mean_cost == pytest.approx(0.003, rel=0.1)


def test_the_readme_shows_exactly_this_code():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not beside the tests")
    assert f"```python\n{EXAMPLE.read_text()}```" in readme.read_text()


def test_it_is_twenty_lines():
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
