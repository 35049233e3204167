"""Results as tables: Markdown, which reads well on a terminal too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2mabv_jax import files
from c2mabv_jax.bench.targets import rate
from c2mabv_jax.errors import ProblemError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
EMPTY = "Not measured yet: `c2mabv bench --full --out experiments/benchmarks/results`."


def read(folder: Path) -> list[dict[str, Any]]:
    """All stored results, by file name."""
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != files.MARKER]
    return [json.loads(path.read_text()) for path in paths]


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """One section per machine; a line that says so where nothing was measured."""
    return "\n\n".join(map(section, results)) if results else EMPTY


def section(results: dict[str, Any]) -> str:
    """What it ran on, who reached how many rounds a second, and the targets."""
    about, version = results["machine"], results["versions"]
    backend = "" if about["backend"] == "cpu" else f", {about['device']}"
    lines = [
        f"{about['processor']}, {about['cores']} cores{backend}; JAX {version['jax']}, "
        f"NumPy {version['numpy']}, SciPy {version['scipy']}, numba {version['numba']}; "
        f"{results['date'][:10]}; N = 4.",
        "",
        "| who | reward | K | budget | solver | cores | million rounds/s (quartiles) "
        "| this package is | compile s |",
        "|---|---|--:|---|---|--:|--:|--:|--:|",
    ]
    for entry in results["entries"]:
        speed = entry["rounds_per_s"]
        own = rate(results, "this package", budget=entry["budget"], num_arms=entry["num_arms"])
        ratio = (
            "" if entry["name"] == "this package" or not own else f"{own / speed['median']:,.3g}×"
        )
        low, median, high = (_millions(speed[key]) for key in ("q1", "median", "q3"))
        lines.append(
            f"| {entry['name']} | {entry['reward_model']} | {entry['num_arms']} "
            f"| {entry['budget']} | {entry['solver'].replace('_', ' ')} | {entry['cores']} "
            f"| {median} ({low}–{high}) | {ratio} | {entry['compile_s']:.1f} |"
        )
    for what, points in (("T", results["horizons"]), ("seeds", results["seeds"])):
        key = "horizon" if what == "T" else "seeds"
        speeds = ", ".join(
            f"{point[key]:,}: {_millions(point['rounds_per_s']['median'])}" for point in points
        )
        lines += ["", f"Million rounds/s by {what}: {speeds}."] if points else []
    if results["start"]:
        cold, cached = (f"{results['start'][key]:.1f}" for key in ("cold_s", "cached_s"))
        lines += ["", f"`c2mabv run --seeds 100 --horizon 1000`: {cold} s, then {cached} s."]
    lines += ["", "| target | measured | wanted | |", "|---|--:|--:|---|"]
    words = {True: "met", False: "not met", None: "not measured"}
    for target in results["targets"]:
        value = "" if target["measured"] is None else f"{target['measured']:,.3g}"
        lines.append(
            f"| {target['what']} | {value} | {target['target']} | {words[target['met']]} |"
        )
    return "\n".join([*lines, *(f"\nNote: {note}." for note in results["notes"])])


def _millions(value: float) -> str:
    return f"{value / 1e6:.3g}" if value >= 1e4 else f"{value / 1e6:.5f}"


def inserted(text: str, table: str) -> str:
    """`text` with what stands between the two markers replaced by the table."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ProblemError(f"README: give it the markers {BEGIN} and {END} once each, in order")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"
