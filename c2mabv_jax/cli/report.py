"""What a run leaves: the stored results, the summary, the figures, the report."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import xarray as xr
from zarr.storage import MemoryStore

from c2mabv_jax import pages
from c2mabv_jax.cli import folder, overspending
from c2mabv_jax.cli.output import plain
from c2mabv_jax.cli.table import aligned, markdown, table
from c2mabv_jax.plotting import curves, style
from c2mabv_jax.results.summary import summarise

MEANING = {
    "mean": "mean over seeds, at the last round",
    "half": "half the width of the 95 % confidence interval of the mean (Student's t)",
    "low, high": "interval that holds the middle 95 % of the seeds (reward_per_violation: "
    "ends of the confidence interval)",
    "reward": "realised reward of the asked set per round",
    "cost": "billed cost per round, in cost_unit",
    "violation": "max(0, cost - budget)",
    "regret": "expected reward missed against the best mixture of sets within the budget, which "
    "knows all means; negative where a policy overspends",
    "reward_per_violation": "mean reward over mean violation; null where no seed has a violation",
}


FOOT = (
    "± is the 95 % confidence interval of the mean over seeds. Regret: expected reward missed in "
    "all rounds against the best mixture of sets within the budget; negative where a policy "
    "overspends."
)
CAPTIONS = {
    "overview": "Reward, cost, regret, violation against rounds; reward for money; LLMs picked",
    "types": "What each policy reached with and without the types, and which type asks what",
}


def contents(results: xr.Dataset, told: Sequence[str]) -> dict[str, bytes]:
    """The files of a run, by path: results.zarr, summary.json, the report and the figures.

    Args:
      results: of the run.
      told: what was said of the run before it began, by line.
    """
    stored: dict[str, Any] = {}
    # Format 2 is what every zarr reads, text coordinates included.
    results.to_zarr(MemoryStore(stored), zarr_format=2)  # type: ignore[arg-type]
    files = {f"results.zarr/{name}": value.to_bytes() for name, value in stored.items()}
    files[folder.MARK] = (json.dumps(summary(results), indent=2) + "\n").encode()
    drawn = curves.figures(results)
    for name, drawing in drawn.items():
        files |= style.rendered(drawing, f"figures/{name}")
    text = words(results, told, [name for name in drawn if name in CAPTIONS])
    files["report.md"] = text.encode()
    files["report.html"] = pages.page(text, drawn).encode()
    return files


def words(results: xr.Dataset, told: Sequence[str], drawn: Sequence[str]) -> str:
    """The report as Markdown: what was run, the table, the figures that `drawn` names."""
    rows = summarise(results)
    cells = [[pages.plain(c) for c in line] for line in table(rows, results.attrs["cost_unit"])]
    lines = ["# C2MAB-V and baselines", ""]
    for line in told:
        lines += [pages.plain(line), ""]
    lines += [
        "## Results",
        "",
        *markdown(cells),
        "",
        FOOT,
        "",
    ]
    for line in overspent(results):
        lines += [pages.plain(line), ""]
    for remark in remarks(results, rows):
        lines += [f"Note: {pages.plain(remark)}", ""]
    for name in drawn:
        lines += [f"![{CAPTIONS[name]}](figures/{name}.png)", ""]
    if "type" in results.dims:
        lines += ["## Types", ""]
        for line in by_type(results):
            item = line.startswith(" ")
            lines += [f"- {pages.plain(line.strip())}"] if item else ["", pages.plain(line), ""]
    lines += ["## What the numbers mean", ""]
    lines += [f"- *{pages.plain(name)}*: {text}." for name, text in MEANING.items()]
    made = results.attrs
    lines += [
        "",
        f"Seed {int(made['root_seed'])}; {made['package']}, JAX {made['jax']}, {made['device']}. "
        "The same numbers are in `summary.json`, every seed's in `results.zarr`.",
    ]
    return "\n".join(lines) + "\n"


def summary(results: xr.Dataset) -> dict[str, Any]:
    """The table and what it was computed from, as plain JSON types."""
    attributes = {key: plain(value) for key, value in results.attrs.items()}
    attributes["configuration"] = json.loads(attributes["configuration"])
    return {
        "kind": "run",
        "rounds": int(results["round"][-1]),
        "seeds": int(results.sizes["seed"]),
        "policies": {name: plain(row) for name, row in summarise(results).items()},
        "overspending": overspending.overspending(results),
        "meaning": MEANING,
        **attributes,
    }


def shown(results: xr.Dataset) -> str:
    """The table, and what a reader of it should know."""
    rows = summarise(results)
    parts = [aligned(table(rows, results.attrs["cost_unit"]))]
    parts += [textwrap.fill(line, 96) for line in (FOOT, *overspent(results))]
    if "type" in results.dims:
        parts.append("\n".join(by_type(results)))
    notes = [f"note: {remark}" for remark in remarks(results, rows)]
    return "\n".join(["\n\n".join(parts), *notes])


def overspent(results: xr.Dataset) -> Iterator[str]:
    """What C2MAB-V overspends, and how that shrinks."""
    found = overspending.overspending(results)
    if found is not None:
        yield overspending.sentence(found, results.attrs["cost_unit"], results.attrs["budget"])


def by_type(results: xr.Dataset) -> Iterator[str]:
    """Which type of query asks what."""
    from c2mabv_jax.plotting.types import allocation_of, seen_best

    policy = seen_best(results)
    chosen = allocation_of(results, policy)
    yield f"Queries, money and LLMs of each type under {policy}:"
    for g, name in enumerate(chosen.types):
        order = (-chosen.asked[g]).argsort(kind="stable")[:3]
        asked = ", ".join(f"{chosen.names[k]} {100 * chosen.asked[g, k]:.0f} %" for k in order)
        yield (
            f"  {name}: {100 * chosen.queries[g]:.0f} % of queries, "
            f"{100 * chosen.money[g]:.0f} % of money; {asked}"
        )
    gain = results.attrs["optimum"] - results.attrs["optimum_pooled"]
    yield f"Seeing the type is worth {gain:.4g} reward a round at this budget, knowing the truth."


def remarks(results: xr.Dataset, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What a reader of the table should know."""
    horizon = int(results["round"][-1])
    for name, row in rows.items():
        if row["fallback"] > 0:
            yield (
                f"{name}: in {100 * row['fallback'] / horizon:.3g} % of the rounds no set kept "
                "the budget at the costs it reckoned with, and the cheapest was asked"
            )
        if row["unconverged"] > 0:
            yield (
                f"{name}: its solver met the step limit in {row['unconverged']:.3g} rounds per "
                f"run; worst certified gap {row['gap']:.2g}"
            )
    if "regret" not in next(iter(rows.values())):
        yield "regret is unknown: the expected reward of sets of so many dependent LLMs is"
