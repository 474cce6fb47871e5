"""Replays the signals of a time range with the core, and compares with what was published (contract §6.7).

One partition after another: its signals, and the records that name them, are held in memory. A room counts if it was
unknown when the range begins; the state of the others is not known. What the workers have not processed is left out:
their positions in the table say what that is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, LastRecords
from pipeline.core.explanation import Difference, Explanation, Input, Published, Recorded
from pipeline.errors import SignalError
from pipeline.kafka.ranges import Found, RangeReader, Span
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.value_reader import ValueReader
from pipeline.model.decoders import Decoders, SignalDecoder
from pipeline.model.events import EVENTS as EVENT_CLASSES
from pipeline.model.records import NoOp, Rejected
from pipeline.settings import Settings
from pipeline.topics import API, DEAD, EVENTS, MEDIA, NOOPS, REJECTED
from pipeline.view.letters import letter_of, place_of

GONE_SECONDS: Final = 60
"""A room is gone, not unknown, for so long. Events of this time before the range tell which rooms are."""
MARGIN_SECONDS: Final = 60
"""Signals so long behind the range are replayed, too: a straggler within it may have been applied after them."""
LATE_SECONDS: Final = 5
"""A deadline that the workers have reached on both topics fires within this time."""
CHECK_SECONDS: Final = 30.0
OUTPUTS: Final = (EVENTS, REJECTED, NOOPS, DEAD)
Scan = Callable[[RangeReader], AsyncIterator[Found]]


class Wrong(NamedTuple):
    """A room with a difference."""

    room_id: str
    difference: Difference


class Report:
    """What was compared.

    `counts` has the numbers of `rooms`, `signals` and `events` that were compared, of rooms `skipped` because they were
    born before the range, of signals `waiting` to be processed, and of rooms `undecided`. `wrong` are the rooms with a
    difference.
    """

    def __init__(self) -> None:
        names = ("rooms", "signals", "events", "skipped", "waiting", "undecided")
        self.counts: dict[str, int] = dict.fromkeys(names, 0)
        self.wrong: list[Wrong] = []


class _Partition:
    """The records of one partition number, by room."""

    def __init__(self, begins: Mapping[TopicPartition, int], ends: Mapping[str, int], since: int | None) -> None:
        """`begins` are the first offsets of the range; `ends` the workers' positions, by topic."""
        self._begins = {tp.topic: offset for tp, offset in begins.items()}
        self._ends, self._since = ends, since
        self.inputs: dict[bytes, list[Found]] = defaultdict(list)
        self.events: dict[bytes, list[Found]] = defaultdict(list)
        self.reasons: dict[str, Recorded] = {}
        self.numbers: dict[str, int] = defaultdict(int)
        self.dead: set[str] = set()
        self.dead_batches: list[tuple[str, int, int]] = []
        self.before: set[bytes] = set()
        self.waiting = 0
        self._last: dict[str, int] = {}

    def add_signal(self, found: Found) -> None:
        """Add a record of a signal topic, unless it is not processed yet."""
        if found.record.offset >= self._ends.get(found.topic, 0):
            self.waiting += 1
        elif found.record.key is not None:
            self.inputs[found.record.key].append(found)
            self._last[found.topic] = found.record.offset

    def add_event(self, found: Found) -> None:
        """Add an event; one of a signal before the range shows that its room was known."""
        key, place = found.record.key or b"", found.signal
        if self._is_before(found, place):
            self.before.add(key)
            return
        self.numbers[place] += 1
        self.events[key].append(found)

    def add_outcome(self, found: Found, recorded: Recorded) -> None:
        """Add a rejection or a no-op."""
        if self._is_before(found, found.signal):
            if recorded != Recorded("rejected", "room_unknown"):
                self.before.add(found.record.key or b"")
            return
        self.reasons[found.signal] = recorded

    def add_letter(self, found: Found) -> None:
        """Add a dead letter."""
        letter = letter_of(found)
        if letter.source is None:
            return
        topic, partition, offset = letter.source
        if letter.last is None:
            self.dead.add(f"{topic}/{partition}/{offset}")
        else:
            self.dead_batches.append((topic, offset, letter.last))

    def is_dead(self, found: Found) -> bool:
        """Return whether this record of a signal topic is a dead letter."""
        offset = found.record.offset
        return found.place in self.dead or any(
            topic == found.topic and first <= offset <= last for topic, first, last in self.dead_batches
        )

    def end(self, topic: str) -> int:
        """Return the offset behind the last signal of a topic that is replayed."""
        return self._last.get(topic, -1) + 1

    def recorded(self, place: str) -> Recorded:
        """Return what the records say became of the signal at this place."""
        if number := self.numbers.get(place):
            return Recorded("events", "", number)
        return self.reasons.get(place, Recorded("none"))

    def _is_before(self, found: Found, place: str) -> bool:
        source = place_of(place)
        if source is None:  # a deadline
            return self._since is not None and found.record.time < self._since
        return source[2] < self._begins.get(source[0], 0)


class Verifier:
    """Compares the rooms of a range. `scan` iterates over records; a caller can report its progress."""

    def __init__(self, settings: Settings, span: Span, on_bad_record: Callable[[str], object], scan: Scan) -> None:
        self._settings, self._span, self._on_bad_record, self._scan = settings, span, on_bad_record, scan
        prefix = settings.topic_prefix
        self._api, self._media = API.full_name(prefix), MEDIA.full_name(prefix)
        self.report = Report()

    async def run(self) -> Report:
        """Compare all partitions. Raises ConfigError, KafkaError, RegistryDownError, NotCheckedError."""
        context = CheckContext(self._settings, CHECK_SECONDS)
        try:
            positions = await context.last_records()
        finally:
            await context.close()
        async with Registry(self._settings) as registry:
            self._signals = ValueReader(registry, SignalDecoder())
            self._outputs = ValueReader(registry, decoders := Decoders([*EVENT_CLASSES, Rejected, NoOp]))
            self._is_current = decoders.is_current
            for number, last in sorted(positions.items()):
                await self._check_partition(number, last)
        return self.report

    async def _check_partition(self, number: int, last: LastRecords) -> None:
        inputs = last.position.positions if last.position else ()
        until = None if self._span.until is None else self._span.until + MARGIN_SECONDS * 1_000_000
        since = self._span.since
        options: dict[str, Any] = {"partition": number, "on_bad_batch": self._on_bad_record}
        async with RangeReader(self._settings, (API, MEDIA), Span(since, until), **options) as signals:
            part = _Partition(signals.begins, {one.topic: one.offset for one in inputs}, since)
            async for found in self._scan(signals):
                part.add_signal(found)
        early = None if since is None else max(0, since - GONE_SECONDS * 1_000_000)
        async with RangeReader(self._settings, OUTPUTS, Span(early), **options) as outputs:
            async for found in self._scan(outputs):
                await self._add_output(part, found)
        self.report.counts["waiting"] += part.waiting
        reached = None
        if until is None and len(inputs) == 2:
            reached = min(one.time for one in inputs) - LATE_SECONDS * 1_000_000
        times = self._times(part)
        for key, records in part.inputs.items():
            await self._check_room(part, key, records, times, reached)

    async def _add_output(self, part: _Partition, found: Found) -> None:
        prefix = self._settings.topic_prefix
        if found.topic == EVENTS.full_name(prefix):
            part.add_event(found)
        elif found.topic == DEAD.full_name(prefix):
            part.add_letter(found)
        else:
            try:
                record = await self._outputs.decode(found.record.value)
            except SignalError as error:
                self._on_bad_record(f"{found.place}: {error}; skipped")
                return
            kind: Any = "rejected" if isinstance(record, Rejected) else "no_op"
            part.add_outcome(found, Recorded(kind, record.reason))

    def _times(self, part: _Partition) -> dict[str, int]:
        """Return the time of each signal by place: it never runs back on a topic, and dead letters don't move it."""
        times, now = dict[str, int](), {self._api: 0, self._media: 0}
        everything = sorted(
            (one for records in part.inputs.values() for one in records), key=lambda one: one.record.offset
        )
        for one in everything:
            if not part.is_dead(one):
                now[one.topic] = times[one.place] = max(now[one.topic], one.record.time)
        return times

    async def _check_room(
        self, part: _Partition, key: bytes, records: list[Found], times: Mapping[str, int], reached: int | None
    ) -> None:
        room_id, report = key.decode("utf-8", "replace"), self.report
        by_topic: dict[str, list[Input]] = {self._api: [], self._media: []}
        order: list[Input] = []
        for found in records:
            if (time := times.get(found.place)) is None:
                continue
            try:
                signal = await self._signals.decode(found.record.value)
            except SignalError as error:
                wrong = Difference(found.place, time, f"a dead letter: {error}", "none")
                report.wrong.append(Wrong(room_id, wrong))
                return
            order.append(Input(found.place, time, signal, part.recorded(found.place)))
            by_topic[found.topic].append(order[-1])
        if not order:
            return
        events = await self._events(part, key, {one.place for one in order})
        if key in part.before or not _begins_unknown(order, events):
            report.counts["skipped"] += 1
            return
        report.counts["rooms"] += 1
        report.counts["signals"] += len(order)
        report.counts["events"] += len(events)
        search = Explanation(room_id, by_topic[self._api], by_topic[self._media], events, self._settings.rules)
        difference = search.difference(reached)
        if difference is None or (self._span.until is not None and difference.time >= self._span.until):
            return
        if difference.undecided:
            report.counts["undecided"] += 1
        else:
            report.wrong.append(Wrong(room_id, difference))

    async def _events(self, part: _Partition, key: bytes, places: set[str]) -> list[Published]:
        """Return the room's events up to the first one of a signal that is not replayed."""
        events = []
        for found in part.events.get(key, ()):
            place = found.signal
            if place and place not in places and place not in part.dead:
                source = place_of(place)
                if source is None or source[2] >= part.end(source[0]):
                    break
            try:
                event = await self._outputs.decode(found.record.value)
            except SignalError as error:
                self._on_bad_record(f"{found.place}: {error}; skipped")
                continue
            value = found.record.value
            events.append(Published(place, event, value if value and self._is_current(value) else None))
        return events


def _begins_unknown(order: list[Input], events: list[Published]) -> bool:
    """Return whether the room was unknown before its first signal: then each signal up to its birth leaves a record."""
    first = order[0].recorded
    if first.kind == "rejected" and first.reason != "room_unknown":
        return False
    if first.kind == "no_op" or (first.kind == "none" and order[0].signal.TOPIC == "media"):
        return False
    return not events or events[0].event.meta.sequence == 1
