"""The command line (contract §7): `conference-pipeline`, also `python -m pipeline`.

Each command is a function in the module of the same name (`import_` for `import`).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from importlib import import_module
from keyword import iskeyword
from typing import Any, Final

import typer
from typer.core import TyperGroup

from pipeline.cli import completion
from pipeline.errors import PipelineError
from pipeline.terminal import SafeFormatter, excepthook, printable, warn

COMMANDS: Final = (
    "demo", "up", "down", "stack", "status", "setup", "worker", "doctor", "send", "signal", "signals", "events",
    "rooms", "timeline", "rejected", "dead", "verify", "replay", "import", "schemas", "gateway", "console",
    "engine",
)  # fmt: skip
"""The commands in the order of `--help`."""
GLOBAL_OPTIONS: Final = ("--profile", "--brokers", "--registry", "--prefix")
"""Options in front of the command; each takes a value."""


class SafeGroup(TyperGroup):
    """Commands whose usage errors are safe to print: they quote arguments, which may be anything."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the arguments."""
        with _safe_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _safe_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _safe_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):  # typer's own errors
            error.message = printable(message)  # type: ignore[attr-defined]
        raise


def build(only: str | None = None) -> typer.Typer:
    """Return the application; with `only`, one command, without importing the modules of the others (0.4 s)."""
    app = typer.Typer(
        name="conference-pipeline",
        cls=SafeGroup,
        help="Publish an ordered, exactly-once event stream for every conference room.",
        epilog="Start with: conference-pipeline demo",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in COMMANDS if only is None else (only,):
        attribute = f"{name}_" if iskeyword(name) else name
        command = getattr(import_module(f"pipeline.cli.{attribute}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("conference-pipeline"))
        except PackageNotFoundError:  # run from a checkout
            typer.echo("unknown")
        raise typer.Exit


# With a callback, typer keeps the name of the command also when there is only one.
def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True, callback=_show_version, metavar=""
    ),
    profile: str | None = typer.Option(
        None, metavar="NAME", help="Use the settings of this profile.", autocompletion=completion.profiles
    ),
    brokers: str | None = typer.Option(None, metavar="HOST:PORT", help="Kafka brokers; needs --registry."),
    registry: str | None = typer.Option(None, metavar="URL", help="Schema registry; needs --brokers."),
    prefix: str | None = typer.Option(None, metavar="PREFIX", help="Prefix of the names of the topics."),
) -> None:
    completion.use_global_options({"profile": profile, "brokers": brokers, "registry": registry, "prefix": prefix})


def _named(arguments: list[str]) -> str | None:
    """Return the command, behind the options in front of it; None if there is none, or help is asked for."""
    left = iter(arguments)
    for one in left:
        if one in GLOBAL_OPTIONS:
            next(left, None)
        elif one.partition("=")[0] not in GLOBAL_OPTIONS:
            return one if one in COMMANDS else None
    return None


def main() -> None:
    """Run the command line. A PipelineError becomes one line on standard error, without a stack trace.

    Exit codes besides those of each command: 2 for an error that an operator must fix, 130 after Ctrl-C, 1 without
    output when the reader of standard output has closed it.
    """
    if logging.lastResort is not None:  # prints the warnings of libraries where no handler is configured
        logging.lastResort.setFormatter(SafeFormatter())
    try:
        build(_named(sys.argv[1:]))()
    except PipelineError as error:
        warn(f"error: {error}")
        sys.exit(2)
    except Exception:
        excepthook(*sys.exc_info())
        sys.exit(1)
