"""`conference-pipeline import`: what an engine recorded → signals as JSON lines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Annotated, BinaryIO

import typer

from pipeline.engines.freeswitch.adapter import Adapter, read_event
from pipeline.errors import SignalError
from pipeline.model.codec import signal_json

import_app = typer.Typer(
    name="import", help="Turn what a media engine recorded into signals (JSON lines).", no_args_is_help=True
)


@import_app.callback()
def engine() -> None:
    """Turn what a media engine recorded into signals (JSON lines)."""


@import_app.command("freeswitch")
def freeswitch(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Events of mod_conference, one JSON object a line; - is standard input."
        ),
    ],
    media_map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX=URL",
            help="The engine's paths that begin with PREFIX are the API's urls at URL; repeatable.",
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where the signals go.")
    ] = "-",
) -> None:
    """Turn FreeSWITCH's conference events (from mod_event_kafka or the event socket) into media signals.

    A line that is no such event is named on standard error and skipped; at the end come the counts by kind.
    Exit code 0 whatever the lines are, 2 if a file can't be opened.
    """
    adapter = Adapter([_pair(text) for text in media_map or ()])
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else stack.enter_context(_open(file, "rb"))
        target = sys.stdout.buffer if output == "-" else stack.enter_context(_open(output, "wb"))
        convert = _Conversion(adapter)
        for line in convert(source):
            target.write(line)
            if file == "-":  # the input may be live, and a reader may wait behind a pipe
                target.flush()
        target.flush()
    for text in convert.summary():
        typer.echo(text, err=True)


class _Conversion:
    """Lines in, lines out; counts what became of them."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._signals: Counter[str] = Counter()
        self._lines = self._bad = 0

    def __call__(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for self._lines, line in enumerate(lines, 1):
            try:
                signal = self._adapter.signal(read_event(line))
            except SignalError as error:
                self._bad += 1
                typer.echo(f"line {self._lines}: {error}; skipped", err=True)
                continue
            if signal is not None:
                self._signals[signal.TYPE] += 1
                yield signal_json(signal)

    def summary(self) -> Iterator[str]:
        without = self._adapter.counts.total()
        yield f"{self._lines} lines: {self._signals.total()} signals, {without} without, {self._bad} bad"
        for title, counts in (("signals", self._signals), ("no signal", self._adapter.counts)):
            if counts:
                yield f"{title}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def _pair(text: str) -> tuple[str, str]:
    prefix, equals, url = text.partition("=")
    if not prefix or not equals:
        raise typer.BadParameter(
            f"--media-map: expected PREFIX=URL, such as /var/media=https://cdn.example.com, got {text!r}"
        )
    return prefix, url


def _open(name: str, mode: str) -> BinaryIO:
    try:
        return open(name, mode)  # type: ignore[return-value]
    except OSError as error:
        raise typer.BadParameter(f"can't open {name}: {error.strerror}") from None
