"""The generated parts of the README are what their sources say now."""

import importlib
import re
from pathlib import Path

import pytest

from c2mabv_jax.sweep.run import read

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


@pytest.fixture
def readme(monkeypatch):
    if not README.exists():
        pytest.skip("no README beside the tests")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("experiments.readme")


def test_generated_parts_are_current(readme):
    text = README.read_text()
    assert readme.filled(text) == text, "run: python -m experiments.readme"


def test_an_edit_by_hand_is_found(readme):
    text = README.read_text()
    line = next(row for row in readme.policies().splitlines() if row.startswith("| `c2mabv`"))
    assert readme.filled(text.replace(line, line + " best of all |")) == text


def test_links_lead_somewhere():
    if not README.exists():
        pytest.skip("no README beside the tests")
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    inside = [target for target in targets if "://" not in target]
    assert len(inside) > 20
    assert [target for target in inside if not (ROOT / target).exists()] == []


def test_the_sweep_file_can_be_run(tmp_path):
    if not README.exists():
        pytest.skip("no README beside the tests")
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "sweep.toml").write_text(text)
    _, plan = read(tmp_path / "sweep.toml")
    assert len(plan.points) == 18
