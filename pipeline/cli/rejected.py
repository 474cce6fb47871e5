"""`rejected`: the signals that did not fit the state of their room."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from pipeline.cli import completion, room_now
from pipeline.cli.output import Output
from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.cli.tables import Column, Listing, short_time
from pipeline.errors import SignalError
from pipeline.terminal import warn

HELP: Final = """Show the signals that did not fit the state of their room.

[dim]$ conference-pipeline rejected list --since 1h[/dim]
"""
rejected = typer.Typer(help=HELP, no_args_is_help=True)

Room = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Only this room; only its partition is read.", autocompletion=completion.rooms),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="TYPE", help="Only signals such as conference.pause.", autocompletion=completion.signal_types
    ),
]
Reason = Annotated[
    str | None,
    typer.Option(
        metavar="REASON", help="Only this reason, such as playback_active.", autocompletion=completion.rejections
    ),
]

COLUMNS: Final = (
    Column("rejected", lambda row: short_time(row["rejected_at"]), fixed=True),
    Column("room", lambda row: row["room_id"]),
    Column("signal", lambda row: row["type"].removeprefix("conference.")),
    Column("reason", lambda row: row["reason"], style="red"),
    room_now.COLUMN,
    Column("from", lambda row: f"{row['topic'].partition('.')[2]}/{row['partition']}/{row['offset']}"),
)


@rejected.command("list")
def list_(
    room: Room = None,
    kind: Kind = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    output: Output = None,
) -> None:
    """List rejected signals: what, why, when, from where, and their room now.

    They come in the order of their append times, up to the end of the log.
    A table shows the last 1,000; the JSON forms have all. The rooms are read
    first: a million take some 15 seconds, with --room only one partition.

    Exit codes: 0 done, 2 Kafka or the registry failed.

    [dim]$ conference-pipeline rejected list --since 1h
    $ conference-pipeline rejected list --room room-1 --reason playback_active
    $ conference-pipeline rejected list -o jsonl | jq -r .signal_id[/dim]
    """
    from pipeline.kafka.partitioning import room_key
    from pipeline.kafka.ranges import RangeReader, Span
    from pipeline.kafka.schema_registry import Registry
    from pipeline.kafka.value_reader import ValueReader
    from pipeline.model.decoders import Decoders
    from pipeline.model.records import Rejected
    from pipeline.model.times import format_time
    from pipeline.settings import Settings
    from pipeline.topics import REJECTED

    async def job(settings: Settings, span: Span) -> None:
        listing = Listing(output, COLUMNS, "no rejected signal")
        reader = RangeReader(settings, [REJECTED], span, room=room, on_bad_batch=warn)
        async with room_now.rooms_now(settings, room) as state, reader, Registry(settings) as registry:
            values = ValueReader(registry, Decoders([Rejected]))
            async for found in listing.scan(reader):
                if room is not None and found.record.key != room_key(room):
                    continue
                try:
                    one: Rejected = await values.decode(found.record.value)
                except SignalError as error:
                    warn(f"{found.place}: no rejected signal: {error}; skipped")
                    continue
                if kind in (None, one.type) and reason in (None, one.reason):
                    listing.add(
                        {
                            "rejected_at": format_time(found.record.time),
                            "room_id": one.room_id,
                            "type": one.type,
                            "reason": one.reason,
                            "signal_id": one.signal_id,
                            "topic": one.topic,
                            "partition": one.partition,
                            "offset": one.offset,
                            "room_now": state(one.room_id),
                        }
                    )
        listing.end()

    span = span_of(since, until)
    settings = server_settings()
    with kafka_errors(settings):
        asyncio.run(job(settings, span))
