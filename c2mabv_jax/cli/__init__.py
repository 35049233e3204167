"""The command `c2mabv`: one module per subcommand, one line per error, exit status 2.

A subcommand lives in the module of its name, as a function of that name whose parameters
are typer options. Modules are loaded when their command is asked for, so that `--help` and
a mistyped option need not wait for JAX.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import typer

import c2mabv_jax

# What each subcommand does, in the order of `--help`.
COMMANDS: dict[str, str] = {
    "run": "C2MAB-V against baselines on a scenario or a log: table, results, figures.",
    "advise": "Replay your own log: which budget buys which quality.",
    "sweep": "A grid of problems times thousands of seeds, resumable.",
    "verify": "Check every claim of the theory; exit 1 if one is contradicted.",
    "plot": "Figures from stored results.",
    "bench": "Throughput against peers, in the same run.",
    "policies": "List the policies, one line each.",
}


# Every complaint about options; its module differs between releases of typer.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error is one line on standard error, exit 2."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else list(arguments)))


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    try:
        status = _dispatch(list(arguments))
    except (typer.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        return _complain(error.format_message())  # type: ignore[attr-defined]
    except (c2mabv_jax.ProblemError, OSError) as error:
        return _complain(str(error))
    return status if isinstance(status, int) else 0


def _dispatch(arguments: list[str]) -> object:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(help_text())
        return 0
    if name == "--version":
        print(f"c2mabv {c2mabv_jax.__version__}")
        return 0
    if name not in COMMANDS:
        kind = "option" if name.startswith("-") else "command"
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return _complain(f"{kind} = {name!r}: {hint}choose one of {', '.join(COMMANDS)}")
    return command(name).main(arguments[1:], prog_name=f"c2mabv {name}", standalone_mode=False)


def command(name: str) -> Any:
    """The subcommand of that name, its module imported now."""
    module = importlib.import_module(f"c2mabv_jax.cli.{name}")
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(name=name)(getattr(module, name))
    return typer.main.get_command(app)


def help_text() -> str:
    """What `c2mabv --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: c2mabv COMMAND [OPTIONS]",
            "",
            "Cost-aware online selection of LLMs (C2MAB-V): simulate, sweep, verify, advise.",
            "",
            "Commands:",
            *lines,
            "",
            "`c2mabv COMMAND --help` shows the options of a command; --version the version.",
        ]
    )


def _complain(message: str, status: int = 2) -> int:
    print(f"c2mabv: error: {' '.join(message.split())}", file=sys.stderr)
    return status
