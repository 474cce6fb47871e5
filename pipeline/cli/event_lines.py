"""Events as lines: for people, and as JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import typer

from pipeline.model.codec import event_json
from pipeline.model.times import format_time
from pipeline.terminal import event_colour, printable
from pipeline.view.wording import details

if TYPE_CHECKING:
    from pipeline.kafka.event_reader import Published

SHOWN_ROOM: Final = 24
"""Characters of a room_id on a line for people."""


def shown_room(room_id: str, most: int = SHOWN_ROOM) -> str:
    """Return a room_id with at most `most` characters: its end tells rooms of one node apart."""
    return room_id if len(room_id) <= most else f"{room_id[: most // 3]}…{room_id[-(most - most // 3 - 1) :]}"


def clock(micros: int) -> str:
    """Return the time of day in UTC, with milliseconds."""
    return format_time(micros)[11:23]


def day(micros: int) -> str:
    """Return the date in UTC."""
    return datetime.fromtimestamp(micros / 1e6, UTC).date().isoformat()


def readable(published: Published) -> str:
    """Return an event as one line for people, with its colour: append time, room, name, fields."""
    event, found = published
    name = event.EVENT.removeprefix("conference.")
    inferred = "  (inferred)" if event.meta.synthetic else ""
    head = f"{clock(found.record.time)}  {printable(shown_room(event.room_id))}  "
    shown = typer.style(f"{name:<14}", fg=event_colour(event.EVENT))
    return f"{head}{shown}  {printable(details(event))}{inferred}".rstrip()


def full_json(published: Published) -> bytes:
    """Return an event with its place, append time and headers as one JSON line, with LF. Raises SignalError."""
    event, found = published
    place = {
        "topic": found.topic,
        "partition": found.partition,
        "offset": found.record.offset,
        "appended_at": format_time(found.record.time),
        "headers": found.headers,
    }
    head = json.dumps(place, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return head[:-1] + b',"event":' + event_json(event)[:-1] + b"}\n"


class EventPrinter:
    """Prints events on standard output in one of the forms of `--output`: `text`, `jsonl` or `full`."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._day = ""

    def show(self, published: Published) -> None:
        """Print one event. Raises SignalError if it can't be written as JSON."""
        out = sys.stdout.buffer
        if self._output != "text":
            line = full_json(published) if self._output == "full" else event_json(published.event)
            if out.isatty():
                line = printable(line.decode("utf-8", "replace"), lines=True).encode()
            out.write(line)
        else:
            today = day(published.found.record.time)
            if today != self._day:
                self._day = today
                typer.secho(f"{today}, times are UTC", dim=True)
            typer.echo(readable(published))
        sys.stdout.flush()
