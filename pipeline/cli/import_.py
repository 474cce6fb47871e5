"""`import`: turn the recorded events of a media engine into signals."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Annotated, BinaryIO, Final

import typer

from pipeline.engines.freeswitch.adapter import Adapter, read_event
from pipeline.errors import SignalError
from pipeline.model.codec import signal_json

HELP: Final = """Turn recorded events of a media engine into signals.

[dim]$ conference-pipeline import freeswitch events.jsonl[/dim]
"""

import_ = typer.Typer(help=HELP, no_args_is_help=True)

File = Annotated[
    str,
    typer.Argument(metavar="FILE", help="mod_conference events, one JSON object per line; - is standard input."),
]
MediaMap = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX=URL",
        help="Replace PREFIX at the start of the engine's file paths by URL, as used in the API; repeatable.",
    ),
]
Output = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Write the signals to FILE; - is standard output."),
]


@import_.command("freeswitch")
def freeswitch(file: File, media_map: MediaMap = None, output: Output = "-") -> None:
    """Turn FreeSWITCH conference events into media signals.

    The events come from mod_event_kafka or from the event socket (event
    json). A line that is not an event is reported on standard error and
    skipped. The counts by kind follow at the end.

    Exit codes: 0 the input was read, even with bad lines, 2 a file can't be
    opened.

    [dim]$ conference-pipeline import freeswitch events.jsonl -o signals.jsonl
    $ conference-pipeline import freeswitch events.jsonl |
        conference-pipeline replay -[/dim]
    """
    adapter = Adapter([_parse_pair(text) for text in media_map or ()])
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else stack.enter_context(_open(file, "rb"))
        target = sys.stdout.buffer if output == "-" else stack.enter_context(_open(output, "wb"))
        conversion = _Conversion(adapter)
        for line in conversion.signals(source):
            target.write(line)
            if file == "-":  # the input may be live, and a reader may wait at the other end of a pipe
                target.flush()
        target.flush()
    for text in conversion.summary():
        typer.echo(text, err=True)


class _Conversion:
    """Converts lines and counts the outcomes."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._signals: Counter[str] = Counter()
        self._lines = self._bad = 0

    def signals(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the signals of the events as JSON lines."""
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
        """Yield the lines of the summary."""
        ignored = self._adapter.counts.total()
        yield f"{self._lines} lines: {self._signals.total()} signals, {ignored} ignored, {self._bad} bad"
        for title, counts in (("signals", self._signals), ("ignored", self._adapter.counts)):
            if counts:
                yield f"{title}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def _parse_pair(text: str) -> tuple[str, str]:
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
