"""The state of the pipeline as a whole: workers, lag, rates, rooms, letters. It only reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, retried
from pipeline.admin.doctor.progress import first_times
from pipeline.kafka.admin import ConsumerGroup, describe_group
from pipeline.kafka.ranges import RangeReader, Span
from pipeline.settings import Settings
from pipeline.topics import API, DEAD, EVENTS, REJECTED, ROOMS, SIGNAL_TOPICS, Topic

RATE_SECONDS: Final = 60
LETTER_SECONDS: Final = 86_400
REQUEST_SECONDS: Final = 30.0
_ROOM_KEY: Final = b'["room",'


class PartitionStatus(NamedTuple):
    """A partition number: the host that has it ("" for none), its lag in signals, and the age of the oldest of them.

    The lag is an upper bound: markers of producers' transactions count, too.
    """

    partition: int
    host: str
    lag_signals: int
    lag_seconds: float

    def fields(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return self._asdict()


class Flow(NamedTuple):
    """Who works, and how fast. `workers` maps each host to the number of its partitions.

    Rates are per second, over the last minute; that of events counts the marker of each transaction, too.
    """

    group: str
    group_state: str
    workers: list[tuple[str, int]]
    partitions: list[PartitionStatus]
    signals_per_second: float
    events_per_second: float

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **self._asdict(),
            "workers": [{"host": host, "partitions": number} for host, number in self.workers],
            "partitions": [one.fields() for one in self.partitions],
        }


class Status(NamedTuple):
    """The state of one pipeline: its flow, and what it has.

    `rooms` is None if they were not counted. `dead` and `rejected` are counts of the last 24 hours.
    """

    flow: Flow
    rooms: int | None
    dead: int
    rejected: int

    def fields(self) -> dict[str, Any]:
        """Return it as `status` prints it as JSON."""
        return {
            **self.flow.fields(),
            "rooms": self.rooms,
            "dead": self.dead,
            "rejected": self.rejected,
        }


async def read_status(settings: Settings, *, count_rooms: bool) -> Status:
    """Return the state of the pipeline; with `count_rooms`, the whole table is read.

    Raises ConfigError, KafkaError, NotCheckedError, SignalError.
    """
    flow = await read_flow(settings)
    rooms = await _rooms(settings) if count_rooms else None
    return Status(flow, rooms, await _count(settings, DEAD), await _count(settings, REJECTED))


async def read_flow(settings: Settings) -> Flow:
    """Return who works, and how fast. Raises ConfigError, KafkaError, NotCheckedError, SignalError."""
    context = CheckContext(settings, REQUEST_SECONDS)
    try:
        async with context.admin() as admin:
            group = await retried(partial(describe_group, admin, settings.group_id))
        partitions = await _partitions(context, _hosts(settings, group))
        signals, events = await _rates(context)
    finally:
        await context.close()
    workers = [(host, len({tp.partition for tp in assigned})) for host, assigned in sorted(group.members)]
    return Flow(settings.group_id, group.state, workers, partitions, signals, events)


def _hosts(settings: Settings, group: ConsumerGroup) -> dict[int, str]:
    """Map each partition number to the host that has it."""
    topic = API.full_name(settings.topic_prefix)
    return {tp.partition: host for host, assigned in group.members for tp in assigned if tp.topic == topic}


async def _partitions(context: CheckContext, hosts: Mapping[int, str]) -> list[PartitionStatus]:
    inputs = await context.partitions(SIGNAL_TOPICS)
    tables = await context.last_records()
    known = [one for last in tables.values() if last.position for one in last.position.positions]
    positions = {TopicPartition(one.topic, one.partition): one.offset for one in known}
    async with context.consumer() as reader:
        starts, ends = await reader.beginning_offsets(inputs), await reader.end_offsets(inputs)
        unread = {tp: offset for tp in inputs if (offset := max(positions.get(tp, 0), starts[tp])) < ends[tp]}
        first = await first_times(reader, unread, ends)
    found = []
    now = time.time()
    for number in sorted({tp.partition for tp in inputs}):
        waiting = [tp for tp in first if tp.partition == number]
        age = max((now - first[tp] / 1000 for tp in waiting), default=0.0)
        lag = sum(ends[tp] - unread[tp] for tp in waiting)
        found.append(PartitionStatus(number, hosts.get(number, ""), lag, round(max(age, 0.0), 3)))
    return found


async def _rates(context: CheckContext) -> tuple[float, float]:
    """Return the signals and the events per second over the last minute."""
    inputs, events = await context.partitions(SIGNAL_TOPICS), await context.partitions([EVENTS])
    since = int((time.time() - RATE_SECONDS) * 1000)
    async with context.consumer() as reader:
        ends = await reader.end_offsets([*inputs, *events])
        begins = await reader.offsets_for_times(dict.fromkeys(ends, since))

    def rate(partitions: list[TopicPartition]) -> float:
        found = [(ends[tp], begins.get(tp)) for tp in partitions]
        records: int = sum(max(0, end - begin.offset) for end, begin in found if begin)
        return round(records / RATE_SECONDS, 1)

    return rate(inputs), rate(events)


async def _rooms(settings: Settings) -> int:
    """Return the number of live rooms."""
    rooms = set[bytes]()
    async with RangeReader(settings, [ROOMS]) as reader:
        async for found in reader:
            key = found.record.key or b""
            if key.startswith(_ROOM_KEY):
                (rooms.add if found.record.value is not None else rooms.discard)(key)
    return len(rooms)


async def _count(settings: Settings, topic: Topic) -> int:
    """Return the number of records of the last 24 hours."""
    since = int((time.time() - LETTER_SECONDS) * 1e6)
    async with RangeReader(settings, [topic], Span(since)) as reader:
        return sum([1 async for _ in reader])
