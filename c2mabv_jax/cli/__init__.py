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

import click
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


class _Lazy(click.Group):
    """A group whose subcommands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"c2mabv_jax.cli.{cmd_name}")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name=cmd_name, help=COMMANDS[cmd_name])(getattr(module, cmd_name))
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx, args):
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise click.UsageError(
                f"command = {name!r}: {hint}choose one of {', '.join(COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(c2mabv_jax.__version__, prog_name="c2mabv")
def app() -> None:
    """Cost-aware online selection of LLMs (C2MAB-V): simulate, sweep, verify, advise."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error is one line on standard error, exit 2."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else list(arguments)))


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    try:
        status = app.main(list(arguments), prog_name="c2mabv", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except click.ClickException as error:
        return _complain(error.format_message())
    except (c2mabv_jax.ProblemError, OSError) as error:
        return _complain(str(error))
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int = 2) -> int:
    print(f"c2mabv: error: {' '.join(message.split())}", file=sys.stderr)
    return status
