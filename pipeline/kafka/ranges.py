"""Reads ranges of topics: from an append time or the oldest record kept, to the end of the log or without an end.

The records of a range come in the order of their append times, topics in the given order, then partitions, at equal
times. For `API` and `MEDIA` that is the order in which workers apply signals, stragglers excepted. Memory: a fetch and
an unpacked batch per partition.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.core.merge import Record
from pipeline.errors import ConfigError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.batch_reader import by_batch, check_tasks
from pipeline.kafka.cancelled import cancelled_requests
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.oauth import client_options
from pipeline.kafka.partitioning import partition_of, room_key
from pipeline.kafka.record_reader import BatchError, all_headers, find_headers
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.settings import Settings
from pipeline.topics import Topic

POLL_MS: Final = 200
FETCH_WAIT_MS: Final = 20
"""Longest time that a broker holds a fetch that finds nothing while a range is read: the next one waits behind it."""
FOLLOW_WAIT_MS: Final = 500
FETCH_BYTES: Final = 64 << 20
MOST_FETCH_BYTES, LEAST_FETCH_BYTES = 8 << 20, 1 << 20
"""Bytes of a fetch: of all topic-partitions together, and the bounds of one."""


class Found(NamedTuple):
    """A record and where it is."""

    topic: str
    partition: int
    record: Record

    @property
    def place(self) -> str:
        """The place in the form of the header `ce_signal`: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.record.offset}"

    @property
    def headers(self) -> dict[str, str | None]:
        """The headers as text; of several with one name the last counts."""
        return {
            name: None if value is None else value.decode("utf-8", "replace") for name, value in self.header_pairs()
        }

    @property
    def signal(self) -> str:
        """The header `ce_signal`, the place of the signal that caused this record; "" if it has none."""
        headers = self.record.headers
        if isinstance(headers, bytes):
            found = find_headers(headers, ("ce_signal",))
            return found[0][1].decode("utf-8", "replace") if found else ""
        values = [value for name, value in headers if name == "ce_signal"]
        return (values[-1] or b"").decode("utf-8", "replace") if values else ""

    def header_pairs(self) -> Iterable[tuple[str, bytes | None]]:
        """Return the headers in their order."""
        headers = self.record.headers
        return all_headers(headers) if isinstance(headers, bytes) else headers


class Span(NamedTuple):
    """Which records to read, by append time in microseconds.

    since   the first time; None is the oldest record kept or, with `follow`, the end of the log
    until   the time to stop before; None is the end of the log when reading begins
    follow  go on behind the end of the log, without an end
    """

    since: int | None = None
    until: int | None = None
    follow: bool = False


OLDEST: Final = 0
"""A `since` before every record."""
ALL: Final = Span()
FROM_NOW: Final = Span(follow=True)


class RangeReader:
    """An asynchronous context manager and iterator over the committed records of a range. Iterate once.

    Args:
        topics: the topics to read; their order decides at equal append times.
        span: which records to read.
        room: read only the partition of this room. Its other rooms' records come, too.
        partition: read only this partition.
        on_bad_batch: called with one line of text for each batch that can't be read; it is skipped.

    `partitions` is the number of partitions of the topics, `total` the number of offsets in the range and `read` how
    many of them were passed. `begins` maps each topic-partition of the range to its first offset, `oldest` to the first
    offset kept, `ends` to the end of its log at entering. Entering raises ConfigError, KafkaError; iterating raises
    KafkaError, FatalError.
    """

    partitions: int

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[Topic],
        span: Span = ALL,
        *,
        room: str | None = None,
        partition: int | None = None,
        on_bad_batch: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._settings, self._span, self._room, self._on_bad_batch = settings, span, room, on_bad_batch
        self._partition = partition
        self._topics = [topic.full_name(settings.topic_prefix) for topic in topics]
        self._acls = acls.reader(settings, topics)
        self._open = contextlib.AsyncExitStack()
        self.total = self.read = 0
        self.begins: Mapping[TopicPartition, int] = {}
        self.oldest: Mapping[TopicPartition, int] = {}
        self.ends: Mapping[TopicPartition, int] = {}

    async def __aenter__(self) -> RangeReader:
        with cancelled_requests():
            await self._connect()
        return self

    async def _connect(self) -> None:
        found = await require_topics(self._settings, self._acls)
        self.partitions = self._common(found)
        self._all = [TopicPartition(topic, number) for topic in self._topics for number in self._numbers()]
        async with contextlib.AsyncExitStack() as opened:
            self._consumer: Any = AIOKafkaConsumer(
                **client_options(self._settings),
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # records may be deleted before they are read
                fetch_max_wait_ms=FOLLOW_WAIT_MS if self._span.follow else FETCH_WAIT_MS,
                max_partition_fetch_bytes=max(LEAST_FETCH_BYTES, min(MOST_FETCH_BYTES, FETCH_BYTES // len(self._all))),
            )
            opened.push_async_callback(self._consumer.stop)
            await self._consumer.start()
            by_batch(self._consumer)
            await self._look_up()
            self._open = opened.pop_all()

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Found]:
        if self._sources:
            assign_and_seek(self._consumer, {source.tp: source.begin for source in self._sources})
            async for found in self._merged():
                yield found
        if self._span.follow:
            assign_and_seek(self._consumer, self.ends)
            while True:
                for tp, batches in (await self._poll()).items():
                    for batch in batches:
                        for record in self._records(tp, batch):
                            yield Found(tp.topic, tp.partition, record)

    async def record(self, partition: int, offset: int) -> Record | None:
        """Return the record at an offset of the first topic; None if there is none. Do not iterate afterwards.

        A batch that can't be read is skipped. Raises ConfigError for a partition that the topic does not have.
        """
        tp = TopicPartition(self._topics[0], partition)
        if partition >= self.partitions:
            raise ConfigError(f"{tp.topic} has partitions 0 to {self.partitions - 1}, not {partition}")
        [oldest] = (await self._consumer.beginning_offsets([tp])).values()
        [end] = (await self._consumer.end_offsets([tp])).values()
        if not oldest <= offset < end:
            return None
        source = _Source(tp, 0, offset, offset + 1)
        assign_and_seek(self._consumer, {tp: offset})
        return source.queue[0] if not await self._fill([source]) else None

    def _common(self, found: Mapping[str, int]) -> int:
        """Return the number of partitions, which all topics share. Raises ConfigError."""
        if len(set(found.values())) > 1:
            counts = ", ".join(f"{name} {number}" for name, number in found.items())
            raise ConfigError(
                f"the topics have different numbers of partitions ({counts}): run `conference-pipeline setup`"
            )
        return next(iter(found.values()))

    def _numbers(self) -> Iterable[int]:
        if self._partition is not None:
            return (self._partition,)
        if self._room is None:
            return range(self.partitions)
        return (partition_of(room_key(self._room), self.partitions),)

    async def _look_up(self) -> None:
        """Find the offsets at which the range begins and ends."""
        self.ends = await self._consumer.end_offsets(self._all)
        self.oldest = await self._consumer.beginning_offsets(self._all)
        since, until = self._span.since, self._span.until
        if since is None:
            self.begins = self.ends if self._span.follow else self.oldest
        else:
            self.begins = self.oldest if since <= OLDEST else await self._at(since)
        stops = self.ends if until is None else await self._at(until)
        self._sources = [
            _Source(tp, self._topics.index(tp.topic), self.begins[tp], stops[tp])
            for tp in self._all
            if self.begins[tp] < stops[tp]
        ]
        self.total = sum(source.end - source.begin for source in self._sources)

    async def _at(self, time: int) -> dict[TopicPartition, int]:
        """Return the offset of the first record with this append time or a later one, else the end of the log."""
        millis = max(-(-time // 1000), 0)
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._all, millis))
        return {
            tp: self.ends[tp] if found.get(tp) is None else min(found[tp].offset, self.ends[tp]) for tp in self._all
        }

    async def _merged(self) -> AsyncIterator[Found]:
        sources = self._sources
        while sources:
            done = await self._fill([source for source in sources if not source.queue])
            if done:
                sources = [source for source in sources if source not in done]
            heap = [(source.head_time, source.rank, source.tp.partition, source) for source in sources]
            heapify(heap)
            while heap:
                source = heap[0][3]
                record = source.queue.popleft()
                self.read += record.offset + 1 - source.passed
                source.applied(record)
                yield Found(source.tp.topic, source.tp.partition, record)
                if source.queue:
                    heapreplace(heap, (source.head_time, source.rank, source.tp.partition, source))
                else:
                    heappop(heap)
                    break

    async def _fill(self, lacking: list[_Source]) -> list[_Source]:
        """Give each of these sources a record. Return those that have ended instead."""
        ended = []
        while lacking:
            by_tp = {source.tp: source for source in lacking if not source.batches}
            if by_tp:
                for tp, batches in (await self._poll(*by_tp)).items():
                    by_tp[tp].batches.extend(batches)
            left = []
            for source in lacking:
                while source.batches and not source.queue:
                    source.add(self._records(source.tp, source.batches.popleft()))
                if source.queue:
                    continue
                if await self._consumer.position(source.tp) < source.end:
                    left.append(source)
                else:
                    self._consumer.pause(source.tp)
                    self.read += source.end - source.passed
                    ended.append(source)
            lacking = left
        return ended

    async def _poll(self, *partitions: TopicPartition) -> Mapping[TopicPartition, list[StoredBatch]]:
        fetched: Mapping[TopicPartition, list[StoredBatch]]
        with cancelled_requests():
            fetched = await self._consumer.getmany(*partitions, timeout_ms=POLL_MS)
        if not fetched:
            check_tasks(self._consumer)
        return fetched

    def _records(self, tp: TopicPartition, batch: StoredBatch) -> list[Record]:
        try:
            return batch.read_all()
        except BatchError as error:
            self._on_bad_batch(f"{tp.topic}/{tp.partition}/{batch.first}: {error}; skipped")
            return []


class _Source:
    """A topic-partition of a range: what was fetched of it and not returned yet.

    rank    the order of its topic
    begin   the first offset to read, and `end` the one behind the last
    passed  the offset behind the last record that was returned
    time    the append time of that record; it never runs back
    """

    __slots__ = ("batches", "begin", "end", "passed", "queue", "rank", "time", "tp")

    def __init__(self, tp: TopicPartition, rank: int, begin: int, end: int) -> None:
        self.tp, self.rank, self.begin, self.end = tp, rank, begin, end
        self.passed, self.time = begin, 0
        self.batches = deque[StoredBatch]()
        self.queue = deque[Record]()

    @property
    def head_time(self) -> int:
        """The time of the next record."""
        time = self.queue[0].time
        return time if time > self.time else self.time

    def add(self, records: Iterable[Record]) -> None:
        """Queue the records before the end."""
        end = self.end
        self.queue.extend(record for record in records if record.offset < end)

    def applied(self, record: Record) -> None:
        """Note that this record was returned."""
        self.passed = record.offset + 1
        self.time = max(self.time, record.time)
