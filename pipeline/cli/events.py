"""`events`: follow the published events."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import SignalError
from pipeline.terminal import event_colour, printable, warn

if TYPE_CHECKING:
    from pipeline.settings import Settings

Room = Annotated[str | None, typer.Option(metavar="ID", help="Only events of this room.")]
Kind = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="NAME", help="Only events of this type, such as member.joined; repeatable."),
]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", metavar="", help="Start at the oldest event instead of the next one.")
]
Maximum = Annotated[int | None, typer.Option("--max", metavar="N", min=1, help="Stop after N events.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="Stop after this time, in seconds.")]


def events(
    room: Room = None,
    kind: Kind = None,
    from_beginning: FromBeginning = False,
    maximum: Maximum = None,
    timeout: Timeout = None,
) -> None:
    """Follow the published events, one JSON object per line.

    It shows committed events only (read_committed). A room's events keep
    their order. It runs until --max, --timeout or Ctrl-C.

    Exit codes: 0 printed --max events, or --timeout passed without --max,
    2 Kafka or the registry failed, 3 --timeout passed before --max events,
    130 Ctrl-C, 143 SIGTERM.

    [dim]$ conference-pipeline events --from-beginning --max 10
    $ conference-pipeline events --room room-1 --type member.joined | jq .[/dim]
    """
    names = _full_names(kind or [])
    settings = server_settings()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    job = _follow(settings, room, names, from_beginning=from_beginning, maximum=maximum)
    try:
        with kafka_errors(settings):
            asyncio.run(asyncio.wait_for(job, timeout))
    except TimeoutError:
        if maximum is not None:
            warn(f"fewer than {maximum} events in {timeout:g} s")
            raise typer.Exit(3) from None


def _full_names(kinds: list[str]) -> frozenset[str]:
    """Return the names with their prefix `conference.`. Raises BadParameter for an unknown event."""
    from pipeline.model.events import EVENTS

    known = {event.EVENT for event in EVENTS}
    full = [kind if kind.startswith("conference.") else f"conference.{kind}" for kind in kinds]
    for kind, name in zip(kinds, full, strict=True):
        if name not in known:
            every = ", ".join(one.removeprefix("conference.") for one in sorted(known))
            raise typer.BadParameter(f"--type {kind}: unknown event; expected one of {every}")
    return frozenset(full)


async def _follow(
    settings: Settings, room: str | None, names: frozenset[str], *, from_beginning: bool, maximum: int | None
) -> None:
    from pipeline.kafka.event_reader import EventReader
    from pipeline.model.codec import event_json

    printed, is_terminal = 0, sys.stdout.isatty()
    async with EventReader(settings, warn, from_beginning=from_beginning) as reader:
        async for event in reader:
            if (room is not None and event.room_id != room) or (names and event.EVENT not in names):
                continue
            try:
                line = event_json(event)
            except SignalError as error:
                warn(f"no event: {error}; skipped")
                continue
            if is_terminal:
                text = typer.style(printable(line.decode().rstrip("\n")), fg=event_colour(event.EVENT))
                line = text.encode("utf-8", "surrogatepass") + b"\n"
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            printed += 1
            if printed == maximum:
                return
