"""`signals`: the signals that were produced."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli import completion
from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.errors import SignalError
from pipeline.terminal import data_writer, warn

if TYPE_CHECKING:
    from pipeline.kafka.ranges import Span
    from pipeline.settings import Settings

HELP: Final = """Read the signals that were produced.

[dim]$ conference-pipeline signals export --since 1h[/dim]
"""
signals = typer.Typer(help=HELP, no_args_is_help=True)

Room = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Only this room; only its partition is read.", autocompletion=completion.rooms),
]
App = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Only rooms of this app: its live rooms, and those with an event in the range."),
]


@signals.callback()
def _group() -> None:
    pass


@signals.command("export")
def export(room: Room = None, app: App = None, since: Since = None, until: Until = None) -> None:
    """Write signals from Kafka as JSON lines, for `replay` and `send`.

    Both topics are merged by append time, in the order in which workers
    apply them. Each keeps its occurred_at, which `replay` takes for the
    time; workers take the append time. A record that is not a signal is
    reported on standard error and skipped.

    Exit codes: 0 done, 1 a record was skipped, 2 Kafka or the registry
    failed.

    [dim]$ conference-pipeline signals export --room room-1 > room-1.jsonl
    $ conference-pipeline signals export --app my-app --since 1h |
        conference-pipeline replay -[/dim]
    """
    span = span_of(since, until)
    settings = server_settings()
    with kafka_errors(settings):
        skipped = asyncio.run(_export(settings, room, app, span))
    if skipped:
        raise typer.Exit(1)


async def _export(settings: Settings, room: str | None, app: str | None, span: Span) -> int:
    """Print the signals; return how many records were skipped."""
    from pipeline.cli.progress import scan
    from pipeline.kafka.partitioning import room_key
    from pipeline.kafka.ranges import RangeReader
    from pipeline.kafka.schema_registry import Registry
    from pipeline.kafka.value_reader import ValueReader
    from pipeline.model.codec import signal_json
    from pipeline.model.decoders import SignalDecoder
    from pipeline.topics import SIGNAL_TOPICS
    from pipeline.view.app_rooms import rooms_of_app

    skipped = 0

    def skip(text: str) -> None:
        nonlocal skipped
        skipped += 1
        warn(text)

    keys = None if app is None else await rooms_of_app(settings, app, span, warn)
    if room is not None:
        own = frozenset((room_key(room),))
        keys = own if keys is None else keys & own
    write = data_writer(sys.stdout.buffer)
    reader = RangeReader(settings, SIGNAL_TOPICS, span, room=room, on_bad_batch=skip)
    async with reader, Registry(settings) as registry:
        values = ValueReader(registry, SignalDecoder())
        async for found in scan(reader, visible=not sys.stdout.isatty()):
            if keys is not None and found.record.key not in keys:
                continue
            try:
                write(signal_json(await values.decode(found.record.value)))
            except SignalError as error:
                skip(f"{found.place}: no signal: {error}; skipped")
    sys.stdout.flush()
    return skipped
