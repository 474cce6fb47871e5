"""`import`: turn the recorded or live events of a media engine into signals."""

from __future__ import annotations

import os
import select
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from stat import S_ISREG
from typing import Annotated, BinaryIO, Final

import typer

from pipeline.engines.freeswitch.adapter import Adapter, EventReader, Found, Output
from pipeline.errors import SignalError
from pipeline.lines import CHUNK
from pipeline.model.codec import signal_json
from pipeline.terminal import data_writer, warn

HELP: Final = """Turn recorded events of a media engine into signals.

[dim]$ conference-pipeline import freeswitch events.jsonl[/dim]
"""
TICK: Final = 0.05  # seconds between two looks for what waits no longer, while a live input is silent
REORDER_FILE: Final = 2.0
REORDER_LIVE: Final = 0.25
MEDIA_MAP_EXAMPLE: Final = "/var/media=https://cdn.example.com"

import_ = typer.Typer(help=HELP, no_args_is_help=True)

File = Annotated[
    str, typer.Argument(metavar="FILE", help="Events of mod_conference, in any of the forms; - is standard input.")
]
MediaMap = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX=URL",
        help="Replace PREFIX at the start of the engine's file paths by URL, as used in the API; repeatable.",
    ),
]
Reorder = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        max=3600,
        help="Put the events of one switch into the order of Event-Sequence: each waits SECONDS for earlier ones. "
        f"Default: {REORDER_FILE:g} for a file, {REORDER_LIVE:g} for a pipe; 0: keep the order of the input.",
    ),
]
OutputFile = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Write the signals to FILE; - is standard output.")
]


@import_.command("freeswitch")
def freeswitch(file: File, media_map: MediaMap = None, reorder: Reorder = None, output: OutputFile = "-") -> None:
    """Turn FreeSWITCH conference events into media signals.

    The events come from mod_event_kafka or from the event socket, in one of
    these forms: a JSON object per line, a JSON array, pretty-printed JSON,
    "Name: value" lines with a blank line after each event, or the JSON lines
    of kcat -J. What is no event is reported on standard error and skipped;
    so are restarts of a switch, and signs of missing events. The counts by
    kind follow at the end.

    Exit codes: 0 the input was read, even with bad lines, 2 a file can't be
    opened.

    [dim]$ conference-pipeline import freeswitch events.jsonl -o signals.jsonl
    $ conference-pipeline import freeswitch events.jsonl |
        conference-pipeline replay -[/dim]
    """
    pairs = [_parse_pair(text) for text in media_map or ()]
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else stack.enter_context(_open(file, "rb"))
        target = sys.stdout.buffer if output == "-" else stack.enter_context(_open(output, "wb"))
        is_live = not S_ISREG(os.fstat(source.fileno()).st_mode)
        if reorder is None:
            reorder = REORDER_LIVE if is_live else REORDER_FILE
        adapter = Adapter(pairs, reorder=round(reorder * 1e6))
        _Import(adapter, target, is_live=is_live).run(source.fileno())


class _Import:
    """Writes the signals of the events; reports bad events, and the counts at the end, on standard error."""

    def __init__(self, adapter: Adapter, target: BinaryIO, *, is_live: bool) -> None:
        self._adapter, self._reader, self._is_live = adapter, EventReader(), is_live
        self._target, self._write = target, data_writer(target)
        self._signals: Counter[str] = Counter()
        self._bad = 0

    def run(self, handle: int) -> None:
        try:
            for chunk in self._chunks(handle):
                self._take(self._reader.push(chunk))
                if self._is_live:
                    self._put(self._adapter.advance(_now()))
                    self._target.flush()  # a reader may wait at the other end of a pipe
            self._take(self._reader.end())
        finally:  # also after Ctrl-C: what waits is not lost
            self._put(self._adapter.end())
            self._target.flush()
        self._summarise()

    def _chunks(self, handle: int) -> Iterator[bytes]:
        """Yield what arrives; of a live input also nothing, when something may wait no longer."""
        while True:
            if self._is_live and self._adapter.waits and not select.select([handle], [], [], TICK)[0]:
                yield b""
                continue
            chunk = os.read(handle, CHUNK)
            if not chunk:
                return
            yield chunk

    def _take(self, found: Iterable[Found]) -> None:
        for number, event in found:
            try:
                if isinstance(event, SignalError):
                    raise event
                self._put(self._adapter.feed(event, _now() if self._is_live else None))
            except SignalError as error:
                self._bad += 1
                warn(f"line {number}: {error}; skipped")

    def _put(self, output: Output) -> None:
        for signal in output.signals:
            self._signals[signal.TYPE] += 1
            self._write(signal_json(signal))
        for report in output.reports:
            warn(f"warning: {report.text}")

    def _summarise(self) -> None:
        signals, ignored = self._signals, self._adapter.counts
        counts = f"{signals.total()} signals, {ignored.total()} ignored, {self._bad} bad"
        warn(f"{self._reader.lines} lines: {counts}")
        for title, counter in (("signals", signals), ("ignored", ignored)):
            if counter:
                warn(f"{title}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counter.items())))


def _now() -> int:
    """Return the time of a clock that does not run back, in microseconds."""
    return time.monotonic_ns() // 1000


def _parse_pair(text: str) -> tuple[str, str]:
    prefix, equals, url = text.partition("=")
    if not prefix or not equals:
        raise typer.BadParameter(f"--media-map: expected PREFIX=URL, such as {MEDIA_MAP_EXAMPLE}, got {text!r}")
    return prefix, url


def _open(name: str, mode: str) -> BinaryIO:
    try:
        return open(name, mode)  # type: ignore[return-value]
    except OSError as error:
        raise typer.BadParameter(f"can't open {name}: {error.strerror}") from None
