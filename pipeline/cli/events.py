"""`events`: read or follow the published events."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli import completion
from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.errors import SignalError
from pipeline.terminal import warn

if TYPE_CHECKING:
    from pipeline.kafka.event_reader import EventReader
    from pipeline.model.events import Event

Room = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Only events of this room; only its partition is read.", autocompletion=completion.rooms
    ),
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="NAME",
        help="Only this type, such as member.joined or 'member.*'; repeatable.",
        autocompletion=completion.event_types,
    ),
]
App = Annotated[str | None, typer.Option(metavar="ID", help="Only events of this app.")]
Maximum = Annotated[int | None, typer.Option("--max", metavar="N", min=1, help="Stop after N events.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", metavar="", help="Go on behind the end of the log; start now, or at --since.")
]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", metavar="", help="With --follow: start at the oldest event kept.")
]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="Stop after this time, in seconds.")]
Output = Annotated[
    Literal["text", "jsonl", "full"] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FORM",
        help="text (on a terminal), jsonl (in a pipe), or full: jsonl with place, append time and headers.",
    ),
]


def events(
    room: Room = None,
    kind: Kind = None,
    app: App = None,
    since: Since = None,
    until: Until = None,
    follow: Follow = False,
    maximum: Maximum = None,
    output: Output = None,
    from_beginning: FromBeginning = False,
    timeout: Timeout = None,
) -> None:
    """Read the published events, or follow them.

    It shows committed events only (read_committed), and stops at the end of
    the log. With --follow it starts now and goes on until --max, --timeout
    or Ctrl-C. Events come in the order of their append times; while it
    follows, a room's events keep their order.

    Exit codes: 0 done, 2 Kafka or the registry failed, 3 --timeout passed
    before --max events, 130 Ctrl-C, 143 SIGTERM.

    [dim]$ conference-pipeline events --since 10m
    $ conference-pipeline events --follow --type 'member.*' --app my-app
    $ conference-pipeline events --room room-1 --output full | jq .[/dim]
    """
    names = _full_names(kind or [])
    span = span_of(since, until, follow=follow)
    if from_beginning:
        if since is not None:
            raise typer.BadParameter("--from-beginning has no effect with --since: leave one out")
        span = span._replace(since=0)
    settings = server_settings()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

    def wanted(event: Event) -> bool:
        return (not names or event.EVENT in names) and (app is None or event.meta.app_id == app)

    async def job() -> None:
        from pipeline.kafka.event_reader import EventReader

        async with EventReader(settings, warn, span=span, room=room) as reader:
            if follow and sys.stdout.isatty():
                warn(f"following {settings.topic_prefix}.events, Ctrl-C to stop")
            await _print(reader, wanted, maximum, output or ("text" if sys.stdout.isatty() else "jsonl"))

    try:
        with kafka_errors(settings):
            asyncio.run(asyncio.wait_for(job(), timeout))
    except TimeoutError:
        if maximum is not None:
            warn(f"fewer than {maximum} events in {timeout:g} s")
            raise typer.Exit(3) from None


def _full_names(kinds: list[str]) -> frozenset[str]:
    """Return the names of the events that match. Raises BadParameter for a pattern without any."""
    from pipeline.model.events import EVENTS

    known = sorted(event.EVENT for event in EVENTS)
    found = set[str]()
    for kind in kinds:
        full = kind if kind.startswith("conference.") else f"conference.{kind}"
        matches = [name for name in known if fnmatchcase(name, full)]
        if not matches:
            every = ", ".join(one.removeprefix("conference.") for one in known)
            raise typer.BadParameter(f"--type {kind}: unknown event; expected one of {every}, or a pattern of them")
        found.update(matches)
    return frozenset(found)


async def _print(reader: EventReader, wanted: Callable[[Event], bool], maximum: int | None, output: str) -> None:
    from pipeline.cli.event_lines import EventPrinter

    printer, printed = EventPrinter(output), 0
    async for published in reader:
        if not wanted(published.event):
            continue
        try:
            printer.show(published)
        except SignalError as error:
            warn(f"{published.found.place}: no event: {error}; skipped")
            continue
        printed += 1
        if printed == maximum:
            return
