"""Reads the committed events of a range."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from pipeline import topics
from pipeline.errors import SignalError
from pipeline.kafka.partitioning import room_key
from pipeline.kafka.ranges import FROM_NOW, Found, RangeReader, Span
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.value_reader import ValueReader
from pipeline.model.decoders import Decoders
from pipeline.model.events import EVENTS, Event
from pipeline.settings import Settings


class Published(NamedTuple):
    """An event and its record."""

    event: Event
    found: Found


class EventReader:
    """An asynchronous context manager and iterator over events; each partition's events come in their order.

    Args:
        on_bad_record: called with one line of text for each record that is not an event; the record is skipped.
        span: which records to read; by default those that are written from now on.
        room: only the events of this room, whose partition alone is read.

    Entering raises ConfigError, KafkaError, RegistryDownError; iterating raises the last two.
    """

    def __init__(
        self,
        settings: Settings,
        on_bad_record: Callable[[str], object],
        *,
        span: Span = FROM_NOW,
        room: str | None = None,
    ) -> None:
        self._settings, self._on_bad_record = settings, on_bad_record
        self._key = None if room is None else room_key(room)
        self._range = RangeReader(settings, [topics.EVENTS], span, room=room, on_bad_batch=on_bad_record)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> EventReader:
        async with contextlib.AsyncExitStack() as opened:
            await opened.enter_async_context(self._range)
            registry = await opened.enter_async_context(Registry(self._settings))
            self._values = ValueReader(registry, Decoders(EVENTS))
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Published]:
        async for found in self._range:
            if self._key is not None and found.record.key != self._key:
                continue
            try:
                event = await self._values.decode(found.record.value)
            except SignalError as error:
                self._on_bad_record(f"{found.place}: no event: {error}; skipped")
            else:
                yield Published(event, found)
