"""A consumer of events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from conference_events.avro import EVENT_NAMES, Decoder, header
from conference_events.errors import UnknownTypeError
from conference_events.events import AnyEvent
from conference_events.registry import Registry
from conference_events.sequence import Gap, Sequences

log = logging.getLogger("conference_events")


class EventConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Consumes `<prefix>.events` as a member of a consumer group.

        async with EventConsumer("kafka:9092", Registry(url), "my-service") as events:
            async for event in events:
                await work(event)

    An event counts as done when the loop asks for the next one; only then is its offset committed, every
    `commit_seconds`, before a rebalance and at the end. If the work raises, the event comes again. Events that were
    seen before are left out, and so are types that this version of the package does not know.

    Events that are missing are logged and given to `on_gap`; `gaps` counts them. Other keyword arguments go to
    aiokafka, such as `security_protocol` and `sasl_mechanism`.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        registry: Registry,
        group_id: str,
        *,
        prefix: str = "conference",
        from_beginning: bool = True,
        on_gap: Callable[[Gap], None] | None = None,
        commit_seconds: float = 5.0,
        **kafka: Any,
    ) -> None:
        self.gaps = 0
        """Number of gaps found."""
        self.record: ConsumerRecord | None = None
        """The Kafka record of the current event: its partition, offset and headers."""
        self._topic = f"{prefix}.events"
        self._decoder = Decoder(registry.schema)
        self._on_gap = on_gap
        self._commit_seconds = commit_seconds
        self._committed_at = time.monotonic()
        self._queue: deque[ConsumerRecord] = deque()
        self._done: dict[TopicPartition, int] = {}
        self._sequences: dict[int, Sequences] = {}
        self._options = {
            "bootstrap_servers": bootstrap_servers,
            "group_id": group_id,
            "isolation_level": "read_committed",  # otherwise events of aborted transactions come, too
            "auto_offset_reset": "earliest" if from_beginning else "latest",
            "enable_auto_commit": False,
            **kafka,
        }

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(**self._options)
        self._consumer.subscribe([self._topic], listener=self)
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.commit()
        finally:
            await self._consumer.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        """Return the next new event. Raises InvalidDataError, RegistryError, and aiokafka's KafkaError."""
        self.done()
        while True:
            if time.monotonic() - self._committed_at >= self._commit_seconds:
                await self.commit()
            if not self._queue:
                for records in (await self._consumer.getmany(timeout_ms=500, max_records=500)).values():
                    self._queue.extend(records)
                continue
            event = await self._decoded(self._queue[0])
            if not self._queue:  # a rebalance has taken the partition while the schema was fetched
                continue
            self.record = self._queue.popleft()
            if event is not None and self._is_new(event, self.record.partition):
                return event
            self.done()

    def done(self) -> None:
        """Count the current event as done. Call it only to leave the loop; the loop itself does it otherwise."""
        if self.record is not None:
            partition = TopicPartition(self.record.topic, self.record.partition)
            self._done[partition] = self.record.offset + 1
            self.record = None

    async def commit(self) -> None:
        """Commit the offsets of the events that are done."""
        self._committed_at = time.monotonic()
        done = {partition: offset for partition, offset in self._done.items() if offset}
        if not done:
            return
        try:
            await self._consumer.commit(done)
        except (CommitFailedError, IllegalStateError) as error:  # the group has given the partitions to others
            log.warning("offsets were not committed, so some events come again: %s", error)
        else:
            self._done = {partition: offset for partition, offset in self._done.items() if partition not in done}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit and forget everything: another consumer may handle the next events."""
        self._queue.clear()
        self._sequences.clear()
        self.record = None  # the event that is worked on now comes again, to us or to another consumer
        if revoked:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.commit(), 10)
        self._done.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Do nothing: the consumer goes on at the committed offsets."""

    async def _decoded(self, record: ConsumerRecord) -> AnyEvent | None:
        """Return the event of a record, None for a type that this version does not know."""
        if header(record.headers, "ce_type") not in EVENT_NAMES:  # looked at first: an unknown type may be anything
            return None
        if not self._decoder.knows(record.value):
            await asyncio.to_thread(self._decoder.learn, record.value)
        try:
            event: AnyEvent = self._decoder.decode(record.value)  # type: ignore[assignment]
        except UnknownTypeError:
            return None
        return event

    def _is_new(self, event: AnyEvent, partition: int) -> bool:
        is_new, gap = self._sequences.setdefault(partition, Sequences()).take(event)
        if gap is not None:
            self.gaps += 1
            log.warning("room %r: the events after %d and before %d are missing", *gap)
            if self._on_gap is not None:
                self._on_gap(gap)
        return is_new
