"""`replay`: turn signals into events offline."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import ExitStack
from functools import partial
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.errors import ConfigError
from pipeline.terminal import data_writer, warn

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


File = Annotated[str, typer.Argument(metavar="FILE", help="Signals, one JSON object per line; - is standard input.")]
Until = Annotated[
    Any,
    typer.Option(parser=_time, metavar="TIME", help="After the last signal, fire the deadlines up to TIME (RFC 3339)."),
]
Rejected = Annotated[str | None, typer.Option(metavar="FILE", help="Write rejected signals to FILE, with the reason.")]
Noops = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write API signals that were no-ops to FILE, with the reason.")
]
Dead = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write lines that are not signals to FILE, with the error.")
]
Summary = Annotated[bool, typer.Option("--summary", metavar="", help="Print the counts on standard error at the end.")]


def replay(
    file: File,
    until: Until = None,
    rejected: Rejected = None,
    noops: Noops = None,
    dead: Dead = None,
    summary: Summary = False,
) -> None:
    """Turn signals into events offline, without Kafka.

    The rules are the worker's. A signal's time is its occurred_at.

    Exit codes: 0 the input was read, even with bad lines, 2 a file can't be
    opened or a setting is invalid.

    [dim]$ conference-pipeline replay signals.jsonl
    $ conference-pipeline replay signals.jsonl --until 2026-11-22T14:00:00Z
    $ conference-pipeline import freeswitch events.jsonl |
        conference-pipeline replay - --rejected no.jsonl --dead dead.jsonl[/dim]
    """
    from pipeline.lines import CHUNK, lines_of
    from pipeline.replay import Replay, discard

    rules = _rules()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    with ExitStack() as files:

        def target(path: str | None) -> Any:
            return discard if path is None else files.enter_context(_open(path, "wb")).write

        source: Any = sys.stdin.buffer if file == "-" else files.enter_context(_open(file, "rb"))
        out = _large(sys.stdout.buffer)
        run = Replay(rules, data_writer(out), rejected=target(rejected), noops=target(noops), dead=target(dead))
        run.feed(lines_of(iter(partial(source.read1, CHUNK), b"")))
        if until is not None:
            run.until(until)
        out.flush()
    if summary:
        warn(" ".join(f"{name}={number}" for name, number in sorted(run.counts.items())))


def _rules() -> Rules:
    """Return the watchdog settings. The settings class takes 0.2 s to load: import it only when one is set."""
    from pipeline.core.watchdog import Rules

    if not any(name.startswith("PIPELINE_WATCHDOG_") for name in os.environ):
        return Rules()
    from pipeline.settings import load

    return load().rules


LARGE_BUFFER: Final = 1 << 20  # bytes of a file's buffer; with Python's 8 KiB, system calls take 3 % of the time


def _large(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream with a large buffer if it is a file. The reader of a pipe or a terminal gets lines sooner."""
    try:
        is_file = S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # a stream without a file descriptor, as in a test
        return stream
    return open(stream.fileno(), "wb", buffering=LARGE_BUFFER, closefd=False) if is_file else stream


def _open(path: str, mode: str) -> IO[bytes]:
    try:
        return open(path, mode, buffering=LARGE_BUFFER)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
