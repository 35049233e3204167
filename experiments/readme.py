"""`python -m experiments.readme`: the generated parts of the README, made anew.

The main job's table is what it printed, policies come from the catalogue, what is verified
from the stored report of `c2mabv verify`, speed from the stored results of `c2mabv bench`. A
test holds the README against them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from c2mabv_jax.bench import table
from c2mabv_jax.policies.catalogue import POLICIES

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
REPORT = HERE / "verification" / "report.json"


def main_job() -> str:
    """What the main job printed."""
    return f"```text\n{(HERE / 'tables' / 'main_job.txt').read_text().rstrip()}\n```"


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


PARTS = {"main_job": main_job, "policies": policies, "verified": verified, "bench": speed}


def filled(text: str) -> str:
    """The README with its generated parts made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"README.md: give it {begin} and {end} once each, in order")
        part = f"{begin}\n{make()}\n{end}"
        text = pattern.sub(lambda _, part=part: part, text)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
    print(f"wrote {', '.join(PARTS)} of {README.name}")
