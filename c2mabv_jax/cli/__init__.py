"""The command `c2mabv`: one module per subcommand, one line per error, exit status 2.

A subcommand lives in the module of its name, as a function of that name whose parameters
are typer options and whose docstring is its help. Modules are loaded when their command is
asked for, so that `--help` and a mistyped option need not wait for JAX.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import c2mabv_jax
from c2mabv_jax import interrupts
from c2mabv_jax.errors import printable

# What each subcommand does, in the order of `--help` and short enough for one line of it.
COMMANDS = {
    "run": "C2MAB-V against baselines: a table, results, figures.",
    "advise": "Your own log: which budget buys which quality.",
    "sweep": "A grid of problems times thousands of seeds; resumable.",
    "verify": "Every claim of the theory, tested.",
    "plot": "Figures from stored results.",
    "bench": "Throughput against peers, in one run.",
    "policies": "The policies, one line each.",
}

# Every complaint about options; its module differs between releases of typer.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Lazy(TyperGroup):
    """Subcommands that are imported when they are asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _subcommand(cmd_name)
        return self.commands.get(cmd_name)


def _subcommand(name: str) -> Any:
    module = importlib.import_module(f"c2mabv_jax.cli.{name}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=_SETTINGS)
    app.command(name=name, short_help=COMMANDS[name])(getattr(module, name))
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"c2mabv {c2mabv_jax.__version__}")
        raise typer.Exit()


def _c2mabv(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Cost-aware online selection of LLMs (C2MAB-V): simulate, sweep, verify, advise.

    `c2mabv COMMAND --help` shows the options of a command.
    """


def command() -> Any:
    """The whole command line."""
    app = typer.Typer(
        cls=_Lazy, rich_markup_mode=None, no_args_is_help=False, context_settings=_SETTINGS
    )
    app.callback()(_c2mabv)
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error is one line on standard error, exit 2."""
    interrupts.install()
    interrupts.end(run_command(sys.argv[1:] if arguments is None else list(arguments)))


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    try:
        status = command().main(
            list(arguments) or ["--help"], prog_name="c2mabv", standalone_mode=False
        )
    except (typer.Abort, KeyboardInterrupt):
        return _complain(interrupts.WORD, interrupts.STATUS)
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        return _complain(error.format_message())  # type: ignore[attr-defined]
    except (c2mabv_jax.ProblemError, OSError) as error:
        return _complain(str(error))
    except Exception:
        if interrupts.seen():  # turned into something else on its way
            return _complain(interrupts.WORD, interrupts.STATUS)
        if (line := _missing_device()) is not None:
            return _complain(line)
        raise
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int = 2) -> int:
    print(f"c2mabv: error: {printable(message)}", file=sys.stderr)
    return status


def _missing_device() -> str | None:
    """A line on devices that were asked for and are not there; None where that is not it."""
    asked = os.environ.get("JAX_PLATFORMS")
    if not asked or "jax" not in sys.modules:
        return None
    import jax

    try:
        jax.devices()
    except Exception:  # JAX raises several kinds
        jax.config.update("jax_platforms", None)
        there = ", ".join(sorted({device.platform for device in jax.devices()}))
        return f"JAX_PLATFORMS = {asked!r}: no such device here; available: {there}; unset it"
    return None
