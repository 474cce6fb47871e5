"""The rooms of an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.errors import SignalError
from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.ranges import RangeReader, Span
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.value_reader import ValueReader
from pipeline.model.decoders import Decoders
from pipeline.model.records import Room
from pipeline.settings import Settings
from pipeline.topics import ROOMS

OUTCOME_SECONDS: Final = 60
"""Time behind a range in which events are still those of its signals."""
_ROOM_KEY: Final = b'["room",'


async def rooms_of_app(
    settings: Settings, app_id: str, span: Span, on_bad_record: Callable[[str], object]
) -> frozenset[bytes]:
    """Return the record keys of the app's rooms: those that live, and those with an event in this range.

    Raises ConfigError, KafkaError, RegistryDownError.
    """
    until = None if span.until is None else span.until + OUTCOME_SECONDS * 1_000_000
    found = set[bytes]()
    async with EventReader(settings, on_bad_record, span=Span(span.since, until)) as events:
        async for event, _ in events:
            if event.meta.app_id == app_id:
                found.add(event.room_id.encode())
    reader = RangeReader(settings, [ROOMS], on_bad_batch=on_bad_record)
    async with reader, Registry(settings) as registry:
        values = ValueReader(registry, Decoders([Room]))
        async for row in reader:
            if row.record.value and (row.record.key or b"").startswith(_ROOM_KEY):
                try:
                    room: Room = await values.decode(row.record.value)
                except SignalError as error:
                    on_bad_record(f"{row.place}: {error}; skipped")
                    continue
                if room.app_id == app_id:
                    found.add(room.room_id.encode())
    return frozenset(found)
