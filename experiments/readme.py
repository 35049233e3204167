"""`python -m experiments.readme`: the generated parts of README.md and experiments/README.md.

The main job's table is what it printed, what the comparison says comes from its tables,
policies from the catalogue, what is verified from the stored report of `c2mabv verify`, speed
from the stored results of `c2mabv bench`. A test holds both pages against them.
"""

from __future__ import annotations

import csv
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from c2mabv_jax.bench import table
from c2mabv_jax.policies.catalogue import POLICIES

HERE = Path(__file__).parent
README, STUDY = HERE.parent / "README.md", HERE / "README.md"
REPORT = HERE / "verification" / "report.json"


def main_job() -> str:
    """What the main job printed."""
    return f"```text\n{(HERE / 'tables' / 'main_job.txt').read_text().rstrip()}\n```"


def comparison() -> str:
    """What the tables of the comparison say, in sentences."""
    tables = {model: _table(f"comparison-{model}.csv") for model in ("awc", "suc", "aic")}

    def of(policy: str, column: str) -> list[float]:
        return [float(table[policy][column]) for table in tables.values()]

    small, wide = "c2mabv (0.3, 0.01)", ("c2mabv-kl", "c2mabv-bernstein")
    lagrangian, spent = "Lagrangian regret", "of budget (%)"
    learning = [name for name in tables["suc"] if name not in ("oracle", "best-fixed-set")]
    best = [min(learning, key=lambda n, t=t: float(t[n][lagrangian])) for t in tables.values()]
    over = [value - 100 for value in of(small, spent)]
    thompson = [
        a / b for a, b in zip(of("thompson", lagrangian), of(small, lagrangian), strict=True)
    ]
    radii = sorted(value - 100 for name in wide for value in of(name, spent))
    cucb = [value / 100 for value in of("cucb", spent)]
    thrifty = [
        name
        for name in learning
        if max(of(name, spent)) <= 100 and name not in ("always-cheapest", "fixed-set")
    ]
    thompson_spent = of("thompson", spent)
    said = (
        "With a budget that binds, the lowest Lagrangian regret of all learning policies is that "
        f"of {_code(best[0])} under AWC, {_code(best[1])} under SUC and {_code(best[2])} under "
        f"AIC; {_code(small)} has {_pair(lagrangian, small, tables)} and spends {over[1]:.1f} % "
        f"(SUC), {over[2]:.1f} % (AIC) and {over[0]:.0f} % (AWC) more than the budget over 10,000 "
        "rounds. Thompson sampling with the budget in its linear programme spends "
        f"{thompson_spent[1]:.0f} % (SUC) and {thompson_spent[2]:.0f} % (AIC) of it, at "
        f"{thompson[1]:.1f} and {thompson[2]:.1f} times that regret; full-width KL and Bernstein "
        f"radii overspend by {radii[0]:.0f} to {radii[-1]:.0f} %. CUCB, which knows no budget, "
        f"spends {cucb[1]:.1f} (SUC, AIC) to {cucb[0]:.0f} (AWC) times what it may; "
        f"{', '.join(map(_code, thrifty))} never overspend and leave reward behind."
    )
    return textwrap.fill(said, 120, break_on_hyphens=False)


def _table(name: str) -> dict[str, dict[str, str]]:
    """A table of the study by its first column."""
    with open(HERE / "tables" / name, newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def _pair(column: str, policy: str, tables: dict[str, dict[str, dict[str, str]]]) -> str:
    """A quantity under the three reward models; ± is the last of its columns."""
    values = [
        f"{float(table[policy][column]):.0f} ± {float(table[policy]['±']):.1g} ({model.upper()})"
        for model, table in tables.items()
    ]
    return ", ".join(values)


def _code(name: str) -> str:
    return f"`{name}`"


def policies() -> str:
    """One row per policy of the catalogue."""
    rows = [f"| `{entry.name}` | {entry.description} |" for entry in POLICIES]
    return "\n".join(["| name | policy |", "|---|---|", *rows])


def verified() -> str:
    """One row per claim and per control of the stored report."""
    report = json.loads(REPORT.read_text())
    made = report["provenance"]
    lines = [
        f"Preset `{report['preset']}`, seed {report['seed']}: {report['comparisons']} comparisons, "
        f"false alarm of the whole report at most {report['level']:g}; {made['package']}, JAX "
        f"{made['jax']}, {made['float']}, {made['device'].split(':')[0]}.",
        "",
        "| claim | | runs | verdict |",
        "|---|---|--:|---|",
    ]
    for claim in report["claims"]:
        statement = claim["definition"]["statement"].replace("|", "\\|")
        lines.append(f"| `{claim['claim']}` | {statement} | {claim['n']:,} | {claim['verdict']} |")
    lines += ["", "| broken on purpose | what | caught by |", "|---|---|---|"]
    for control in report["controls"]:
        by = ", ".join(f"`{name}`" for name in control["by"]) or "not caught"
        lines.append(f"| `{control['control']}` | {control['what']} | {by} |")
    return "\n".join(lines)


def speed() -> str:
    """The table of the stored benchmark."""
    return table.markdown(table.read(HERE / "benchmarks" / "results"))


PARTS = {
    README: {"main_job": main_job},
    STUDY: {"comparison": comparison, "policies": policies, "verified": verified, "bench": speed},
}


def filled(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """A page with its generated parts made anew."""
    for name, make in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"give the page {begin} and {end} once each, in order")
        part = f"{begin}\n{make()}\n{end}"
        text = pattern.sub(lambda _, part=part: part, text)
    return text


if __name__ == "__main__":
    for page, parts in PARTS.items():
        page.write_text(filled(page.read_text(), parts))
        print(f"wrote {', '.join(parts)} of {page.relative_to(HERE.parent)}")
