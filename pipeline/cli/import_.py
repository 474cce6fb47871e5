"""`import`: turn the recorded events of a media engine into signals."""

from __future__ import annotations

import sys
from collections import Counter
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
    str, typer.Argument(metavar="FILE", help="mod_conference events, one JSON object per line; - is standard input.")
]
MediaMap = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX=URL",
        help="Replace PREFIX at the start of the engine's file paths by URL, as used in the API; repeatable.",
    ),
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Write the signals to FILE; - is standard output.")
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
        _convert(adapter, source, target, is_live=file == "-")


def _convert(adapter: Adapter, source: BinaryIO, target: BinaryIO, *, is_live: bool) -> None:
    """Write the signals of the events in `source`; report bad lines, and the counts at the end, on standard error."""
    signals: Counter[str] = Counter()
    number = bad = 0
    for number, line in enumerate(source, 1):
        try:
            signal = adapter.signal(read_event(line))
        except SignalError as error:
            bad += 1
            typer.echo(f"line {number}: {error}; skipped", err=True)
            continue
        if signal is not None:
            signals[signal.TYPE] += 1
            target.write(signal_json(signal))
            if is_live:  # a reader may wait at the other end of a pipe
                target.flush()
    target.flush()
    counts = f"{signals.total()} signals, {adapter.counts.total()} ignored, {bad} bad"
    typer.echo(f"{number} lines: {counts}", err=True)
    for title, counter in (("signals", signals), ("ignored", adapter.counts)):
        if counter:
            kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(counter.items()))
            typer.echo(f"{title}: {kinds}", err=True)


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
