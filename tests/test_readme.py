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
    for page, parts in readme.PARTS.items():
        text = page.read_text()
        assert readme.filled(text, parts) == text, "run: python -m experiments.readme"


def test_an_edit_by_hand_is_found(readme):
    text = readme.STUDY.read_text()
    line = next(row for row in readme.policies().splitlines() if row.startswith("| `c2mabv`"))
    edited = text.replace(line, line + " best of all |")
    assert edited != text
    assert readme.filled(edited, readme.PARTS[readme.STUDY]) == text


@pytest.mark.parametrize("page", ["README.md", "experiments/README.md"])
def test_links_lead_somewhere(page):
    if not README.exists():
        pytest.skip("no README beside the tests")
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    inside = [target for target in targets if "://" not in target]
    assert len(inside) > 10
    assert [target for target in inside if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_the_readme_is_short():
    if not README.exists():
        pytest.skip("no README beside the tests")
    assert len(README.read_text().splitlines()) <= 250


def test_the_sweep_file_can_be_run(tmp_path):
    if not README.exists():
        pytest.skip("no README beside the tests")
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "sweep.toml").write_text(text)
    _, plan = read(tmp_path / "sweep.toml")
    assert len(plan.points) == 18
