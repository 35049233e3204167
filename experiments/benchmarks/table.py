"""`python -m experiments.benchmarks.table [--write README.md]`: the table of stored results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from c2mabv_jax import ProblemError
from c2mabv_jax.bench import table

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or put it between the markers of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="a file with the two markers")
    path = parser.parse_args(arguments).write
    made = table.markdown(table.read(RESULTS))
    if path is None:
        print(made)
        return 0
    try:
        path.write_text(table.inserted(path.read_text(), made))
    except (ProblemError, OSError) as error:
        print(f"table: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
