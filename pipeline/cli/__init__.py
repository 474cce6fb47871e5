"""The command line (contract §7): `conference-pipeline`, also `python -m pipeline`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import typer

from pipeline.errors import PipelineError

COMMANDS: Final = {
    "demo": "demo",
    "up": "up",
    "down": "up",
    "status": "up",
    "setup": "setup",
    "worker": "setup",
    "doctor": "doctor",
    "send": "send",
    "events": "events",
    "replay": "replay",
    "import": "import_",
}
"""Command to the module below `pipeline.cli` that has a function of that name, in the order of `--help`."""


def build(only: str | None = None) -> typer.Typer:
    """The application; with `only` one command, without importing what the others need (0.4 s)."""
    app = typer.Typer(
        name="conference-pipeline",
        help="The conference event pipeline: for every conference room, what just happened, once, in order, and truly.",
        epilog="Try it: conference-pipeline demo. Without Kafka: conference-pipeline replay FILE.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, module in COMMANDS.items():
        if only not in (None, name):
            continue
        found = import_module(f"pipeline.cli.{module}")
        if name == "import":
            app.add_typer(found.import_app)
        else:
            app.command(name)(getattr(found, name))
    return app


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            typer.echo(installed("conference-pipeline"))
        except PackageNotFoundError:  # run from a checkout
            typer.echo("unknown")
        raise typer.Exit


# `_root` makes one command alone keep its name: typer would drop it. `_version` answers before typer misses a command.
def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True, callback=_version
    ),
) -> None:
    pass


def main() -> None:
    """The entry point: an error of ours is one line on standard error, never a stack trace.

    Exit codes beyond the commands' own: 2 for an error that an operator must act on, 130 after Ctrl-C, 1 without
    a word when the reader of our output has gone.
    """
    first = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        build(first if first in COMMANDS else None)()
    except PipelineError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
