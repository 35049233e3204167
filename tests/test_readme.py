"""The generated parts of the README are what their sources say now."""

import importlib
from pathlib import Path

import pytest

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
