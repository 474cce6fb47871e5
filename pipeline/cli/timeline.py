"""`timeline`: the history of one room."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli import completion
from pipeline.cli.output import Form, JsonRows, json_line
from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.terminal import event_colour, printable, warn

if TYPE_CHECKING:
    from pipeline.kafka.ranges import Span
    from pipeline.settings import Settings
    from pipeline.view.timeline import Entry

RoomId = Annotated[str, typer.Argument(metavar="ROOM", help="The room_id.", autocompletion=completion.rooms)]
Last = Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N signals and deadlines.")]
TextOrJson = Annotated[
    Literal["text", "json", "jsonl"] | None,
    typer.Option("--output", "-o", metavar="FORM", help="text (on a terminal), json, or jsonl (in a pipe)."),
]


def timeline(
    room: RoomId, last: Last = None, since: Since = None, until: Until = None, output: TextOrJson = None
) -> None:
    """Show the history of a room: each signal and what became of it.

    A signal causes events, is a no-op, is rejected, or is a dead letter.
    Times are append times, in UTC; delays are from the append of the signal
    to that of its outcome. Events that the pipeline inferred are marked.
    "No effect" is a media signal without a record of an effect; "unknown"
    is a signal that no record shows as processed.

    One partition is read: from the birth of the room's present life, or, if
    the room does not live or its birth was deleted, from the oldest record
    kept. The first line says which.

    Exit codes: 0 done, 1 nothing is known of the room, 2 Kafka or the
    registry failed.

    [dim]$ conference-pipeline timeline room-1
    $ conference-pipeline timeline room-1 --since 1h --last 20[/dim]
    """
    span = span_of(since, until) if since or until else None
    settings = server_settings()
    form = output or ("text" if sys.stdout.isatty() else "jsonl")
    with kafka_errors(settings):
        found = asyncio.run(_print(settings, room, last, span, form))
    if not found:
        warn(f"nothing is kept of room {room!r}")
        raise typer.Exit(1)


async def _print(settings: Settings, room: str, last: int | None, span: Span | None, form: str) -> int:
    from pipeline.cli.progress import scan
    from pipeline.view.timeline_reader import TimelineReader

    printed, visible = 0, last is not None or form == "json" or not sys.stdout.isatty()
    async with TimelineReader(settings, room, warn, span, scan=partial(scan, visible=visible)) as reader:
        printer = _Printer(form, reader.origin)
        if last is not None:
            for entry in await reader.last(last):
                printer.show(entry)
                printed += 1
        else:
            async for entry in reader:
                printer.show(entry)
                printed += 1
    printer.end()
    return printed


class _Printer:
    """Prints entries on standard output."""

    def __init__(self, form: str, origin: str) -> None:
        self._form, self._origin = form, origin
        self._json = JsonRows(Form.JSON if form == "json" else Form.JSONL)
        self._count = 0
        self._day = ""

    def show(self, entry: Entry) -> None:
        """Print one entry."""
        from pipeline.cli.event_lines import day

        self._count += 1
        if self._form == "text":
            if self._count == 1:
                typer.secho(f"from {printable(self._origin)}", dim=True)
            if (today := day(entry.time)) != self._day:
                self._day = today
                typer.secho(f"{today}, times are UTC", dim=True)
            for line in entry_lines(entry):
                typer.echo(line)
            return
        self._json.add(json_line(entry.fields()))
        sys.stdout.flush()

    def end(self) -> None:
        """Print what ends the list."""
        if self._form != "text":
            self._json.end()


async def last_lines(settings: Settings, room_id: str, number: int) -> list[str]:
    """Return the last `number` lines of a room's timeline, safe to print. Raises as TimelineReader does."""
    from pipeline.view.timeline_reader import TimelineReader

    async with TimelineReader(settings, room_id, warn) as reader:
        lines = [line for entry in await reader.last(number) for line in entry_lines(entry)]
    return lines[-number:]


def entry_lines(entry: Entry) -> list[str]:
    """Return an entry as lines for people, safe to print: the signal with its outcome, then further events."""
    from pipeline.cli.event_lines import clock
    from pipeline.view.wording import cause

    head = f"{clock(entry.time)}  {printable(cause(entry)):<13}"
    outcomes = _outcomes(entry)
    delay = "" if entry.delay is None else typer.style(f"  {entry.delay / 1000:.0f} ms", dim=True)
    first, *more = outcomes
    return [f"{head} {first}{delay}", *(f"{'':<27} {one}" for one in more)]


def _outcomes(entry: Entry) -> list[str]:
    """Return a text for each event, or one for another outcome; never none."""
    from pipeline.view.wording import asked, details

    fields = printable(asked(entry.signal))
    match entry.outcome:
        case "events":
            shown = []
            for event in entry.events:
                name = typer.style(event.EVENT.removeprefix("conference."), fg=event_colour(event.EVENT))
                inferred = "  (inferred)" if event.meta.synthetic else ""
                shown.append(f"→ {name}  {printable(details(event))}".rstrip() + inferred)
            return shown
        case "rejected" | "dead":
            reason = printable(f"{'rejected' if entry.outcome == 'rejected' else 'dead letter'}: {entry.reason}")
            return [f"→ {typer.style(reason, fg='red')}  {fields}".rstrip()]
        case "no_op":
            return [f"→ no-op: {printable(entry.reason)}  {fields}".rstrip()]
        case "none":
            return [f"→ no effect  {fields}".rstrip()]
        case _:
            return [f"→ unknown  {fields}".rstrip()]
