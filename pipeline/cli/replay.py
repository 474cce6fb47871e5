"""`replay`: the rules without Kafka."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import ExitStack
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.core.watchdog import Rules


def _time(text: str) -> int:
    from pipeline.model.times import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected an RFC 3339 time such as 2026-11-22T13:33:06Z, got {text!r} ({error})"
        ) from None


File = Annotated[
    str, typer.Argument(metavar="FILE", help="Signals, one JSON object a line; - is standard input.")
]
Until = Annotated[
    Any, typer.Option(parser=_time, metavar="TIME", help="Also let the deadlines up to TIME (RFC 3339) fire.")
]
Rejected = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write signals that made no sense there, with the reason.")
]
Dead = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write lines that are no signal there, with the error.")
]
Summary = Annotated[bool, typer.Option("--summary", help="Say on standard error what was counted.")]


def replay(
    file: File, until: Until = None, rejected: Rejected = None, dead: Dead = None, summary: Summary = False
) -> None:
    """Turn signals into events offline, with the very rules of the worker; no Kafka needed.

    A signal's time is its occurred_at. The exit code is 0 whatever the lines are.

    [dim]$ conference-pipeline replay signals.jsonl
    $ conference-pipeline replay signals.jsonl --until 2026-11-22T14:00:00Z --rejected no.jsonl --dead dead.jsonl
    $ conference-pipeline import freeswitch events.jsonl | conference-pipeline replay -[/dim]
    """
    from pipeline.replay import Replay, discard

    rules = _rules()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    with ExitStack() as files:

        def target(path: str | None) -> Any:
            return discard if path is None else files.enter_context(_open(path, "wb")).write

        source = sys.stdin.buffer if file == "-" else files.enter_context(_open(file, "rb"))
        out = _large(sys.stdout.buffer)
        run = Replay(rules, out.write, rejected=target(rejected), dead=target(dead))
        run.feed(source)
        if until is not None:
            run.until(until)
        out.flush()
    if summary:
        typer.echo(" ".join(f"{name}={number}" for name, number in sorted(run.counts.items())), err=True)


def _rules() -> Rules:
    """The watchdog settings; the settings class takes 0.2 s to load, which most replays need not wait for."""
    from pipeline.core.watchdog import Rules

    if not any(name.startswith("PIPELINE_WATCHDOG_") for name in os.environ):
        return Rules()
    from pipeline.settings import load

    return load().rules


LARGE_BUFFER: Final = 1 << 20
"""Bytes of a file's buffer: a call of the system for each 8 KiB is 3 % of the time."""


def _large(stream: IO[bytes]) -> IO[bytes]:
    """The same stream with a large buffer where it is a file; who reads a pipe or a terminal wants lines soon."""
    try:
        is_file = S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # not a stream of the system's, as in a test
        return stream
    return open(stream.fileno(), "wb", buffering=LARGE_BUFFER, closefd=False) if is_file else stream


def _open(path: str, mode: str) -> IO[bytes]:
    try:
        return open(path, mode, buffering=LARGE_BUFFER)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
