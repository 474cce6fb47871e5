"""Reads the timeline of one room: one partition of the topics, from the room's birth or the oldest record kept."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

from pipeline.errors import SignalError
from pipeline.kafka.partitioning import room_key
from pipeline.kafka.ranges import ALL, Found, RangeReader, Span
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.value_reader import ValueReader
from pipeline.model.decoders import Decoders, SignalDecoder
from pipeline.model.events import EVENTS as EVENT_CLASSES
from pipeline.model.records import NoOp, Position, Rejected, Room
from pipeline.model.row_keys import POSITION_KEY, ROOM, encode_key
from pipeline.model.times import format_time
from pipeline.settings import Settings
from pipeline.topics import API, DEAD, EVENTS, MEDIA, NOOPS, REJECTED, ROOMS, SIGNAL_TOPICS
from pipeline.view.letters import letter_of
from pipeline.view.timeline import Entry, Timeline

OnBadRecord = Callable[[str], object]
Scan = Callable[[RangeReader], AsyncIterator[Found]]
TOPICS: Final = (API, MEDIA, EVENTS, REJECTED, NOOPS, DEAD)


class RoomRows(NamedTuple):
    """What the table has of a room: its row if it lives, and the worker's positions on its partition, by topic."""

    room: Room | None
    positions: dict[str, int]


async def _read_rows(settings: Settings, room_id: str) -> RoomRows:
    """Return the rows of a room. Reads one partition of the table.

    Raises ConfigError, KafkaError, RegistryDownError, SignalError.
    """
    key, row, position = encode_key((ROOM, room_key(room_id).decode("utf-8", "replace"))), None, None
    async with RangeReader(settings, [ROOMS], room=room_id) as reader:
        async for found in reader:
            record = found.record
            if record.key == key:
                row = record.value
            elif record.key == POSITION_KEY:
                position = record.value
    async with Registry(settings) as registry:
        values = ValueReader(registry, Decoders([Room, Position]))
        room = await values.decode(row) if row else None
        inputs = (await values.decode(position)).positions if position else ()
    return RoomRows(room, {one.topic: one.offset for one in inputs})


class Values:
    """Decodes the records of timelines; several may share it."""

    def __init__(self, registry: Registry) -> None:
        self.signals = ValueReader(registry, SignalDecoder())
        self.outputs = ValueReader(registry, Decoders([*EVENT_CLASSES, Rejected, NoOp]))


class RecordJoiner:
    """Adds records of `TOPICS` to the timeline of one room. `on_bad_record`: as of TimelineReader.

    A signal must come before the records that name it.
    """

    def __init__(self, settings: Settings, room_id: str, values: Values, on_bad_record: OnBadRecord) -> None:
        self._values, self._on_bad_record, self.key = values, on_bad_record, room_key(room_id)
        self.timeline = Timeline()
        prefix = settings.topic_prefix
        self._add: Mapping[str, Callable[[Found], Any]] = {
            **{topic.full_name(prefix): self._add_signal for topic in SIGNAL_TOPICS},
            EVENTS.full_name(prefix): self._add_event,
            REJECTED.full_name(prefix): self._add_rejected,
            NOOPS.full_name(prefix): self._add_no_op,
            DEAD.full_name(prefix): self._add_letter,
        }
        self.inputs = {topic.full_name(prefix) for topic in SIGNAL_TOPICS}

    async def add(self, found: Found) -> bool:
        """Add a record of the room's partition. Return whether it is one of the room, so that entries may be complete.

        Raises RegistryDownError, ConfigError.
        """
        record, timeline = found.record, self.timeline
        if timeline.waits and found.topic not in self.inputs:
            timeline.add_progress(found.signal, record.time)
        if record.key != self.key and record.key is not None:
            return False
        await self._add[found.topic](found)
        return True

    async def _decoded(self, values: ValueReader, found: Found) -> Any:
        """Return the value of a record; None, after a report, if it can't be read."""
        try:
            return await values.decode(found.record.value)
        except SignalError as error:
            self._on_bad_record(f"{found.place}: {error}; skipped")
            return None

    async def _add_signal(self, found: Found) -> None:
        if found.record.key is None:
            return
        signal, error = None, ""
        try:
            signal = await self._values.signals.decode(found.record.value)
        except SignalError as reason:
            error = str(reason)
        self.timeline.add_signal(found.record.time, found.place, signal, error)

    async def _add_event(self, found: Found) -> None:
        if (event := await self._decoded(self._values.outputs, found)) is not None:
            self.timeline.add_event(found.record.time, found.signal, event)

    async def _add_rejected(self, found: Found) -> None:
        if (record := await self._decoded(self._values.outputs, found)) is not None:
            self.timeline.add_outcome(found.record.time, found.signal, "rejected", record.reason)

    async def _add_no_op(self, found: Found) -> None:
        if (record := await self._decoded(self._values.outputs, found)) is not None:
            self.timeline.add_outcome(found.record.time, found.signal, "no_op", record.reason)

    async def _add_letter(self, found: Found) -> None:
        letter = letter_of(found)
        if letter.last is not None:
            self.timeline.add_batch(found.record.time, found.signal, letter.reason)
        elif found.record.key is not None:
            self.timeline.add_outcome(found.record.time, found.signal, "dead", letter.reason)


class TimelineReader:
    """An asynchronous context manager and iterator over the entries of a room, in the order in which they took effect.

    Args:
        span: which records to read; by default those since the birth of the room's present life, or all.
        on_bad_record: called with one line of text for each record that can't be read; it is skipped.
        scan: iterates over the records; a caller can report its progress.

    `range` reads the records. `origin` is where it begins, for people. Entering raises
    ConfigError, KafkaError, RegistryDownError, SignalError.
    """

    origin: str

    def __init__(
        self,
        settings: Settings,
        room_id: str,
        on_bad_record: OnBadRecord,
        span: Span | None = None,
        *,
        scan: Scan = aiter,
    ) -> None:
        self._settings, self._room, self._on_bad_record, self._span = settings, room_id, on_bad_record, span
        self._scan = scan
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> TimelineReader:
        rows = await _read_rows(self._settings, self._room)
        self._positions, span, born = rows.positions, self._span, None
        if span is None:
            born = rows.room.created_at if rows.room else None
            span = ALL if born is None else Span(born)
        async with contextlib.AsyncExitStack() as opened:
            self.range = RangeReader(self._settings, TOPICS, span, room=self._room, on_bad_batch=self._on_bad_record)
            await opened.enter_async_context(self.range)
            registry = await opened.enter_async_context(Registry(self._settings))
            self._joiner = RecordJoiner(self._settings, self._room, Values(registry), self._on_bad_record)
            self._open = opened.pop_all()
        self.origin = self._describe(span, born)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Entry]:
        timeline = self._joiner.timeline
        async for found in self._scan(self.range):
            if await self._joiner.add(found):
                for entry in timeline.complete():
                    yield entry
        for entry in timeline.end(self._positions):
            yield entry

    async def last(self, number: int) -> list[Entry]:
        """Return the last entries."""
        kept = deque[Entry](maxlen=number)
        async for entry in self:
            kept.append(entry)
        return list(kept)

    def _describe(self, span: Span, born: int | None) -> str:
        if self._span is not None:
            return "the whole range" if span.since is None else f"{format_time(span.since)}"
        begins, oldest = self.range.begins, self.range.oldest
        whole = all(begins[tp] > first or first == 0 for tp, first in oldest.items() if tp.topic in self._joiner.inputs)
        if born is not None and whole:
            return f"the room's birth, {format_time(born)}"
        return "the oldest record kept"
