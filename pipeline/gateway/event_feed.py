"""Reads the events once for all streams of a gateway, and older ones for a stream that resumes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final, Self

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import SignalError
from pipeline.gateway.event_ring import Entry, EventRing
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.positions import to_text
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.codec import event_json
from pipeline.model.decoders import Decoders
from pipeline.model.events import EVENTS
from pipeline.settings import Settings
from pipeline.view.follower import Follower, Notice, learn_schemas

IDLE_SECONDS: Final = 0.5
"""Seconds between two readings while no stream is open."""
LIVE_SECONDS: Final = 5.0
MAX_QUEUE: Final = 1000
"""Events that wait for a client; one more ends its stream, which the client resumes."""


class EventDecoder:
    """Turns records of the topic of events into entries; each moves the positions, which its id is made of."""

    def __init__(self, registry: Registry, topic_id: str, notice: Notice) -> None:
        self._registry, self._topic_id, self._notice = registry, topic_id, notice
        self._decoders = Decoders(EVENTS)

    async def entries(self, tp: TopicPartition, records: list[Record], positions: dict[int, int]) -> list[Entry]:
        """Return the events of these records. What is no event is reported and skipped."""
        await learn_schemas(self._registry, self._decoders, records, self._notice)
        found = []
        for record in records:
            positions[tp.partition] = record.offset + 1
            try:
                event = self._decoders.decode(record.value)
            except SignalError as error:
                self._notice(f"{tp.topic}/{tp.partition}/{record.offset}: no event: {error}; skipped")
                continue
            place = (tp.partition, record.offset, time.monotonic(), event.meta.app_id, event.room_id)
            found.append(Entry(*place, event.EVENT, event_json(event).strip(), to_text(self._topic_id, positions)))
        return found


class Subscriber:
    """What one stream has not sent yet. `closed`: it gets no more, because it was too slow or the gateway stops."""

    def __init__(self, app: str, room_id: str | None, kind: str | None) -> None:
        self.app, self.room_id, self.kind = app, room_id, kind
        self.closed = False
        self._event = asyncio.Event()
        self._queue: list[bytes] = []

    def wants(self, entry: Entry) -> bool:
        """Return whether the stream is to have this event."""
        return entry.app == self.app and self.room_id in (None, entry.room_id) and self.kind in (None, entry.type)

    def put(self, part: bytes) -> bool:
        """Give it an event, as it is sent. Return whether it kept up; else it is closed."""
        if len(self._queue) >= MAX_QUEUE:
            self.close()
            return False
        self._queue.append(part)
        self._event.set()
        return True

    def take(self) -> bytes:
        """Return what waits."""
        taken, self._queue = self._queue, []
        self._event.clear()
        return b"".join(taken)

    async def wait(self, seconds: float) -> None:
        """Wait until something waits or the stream is closed, or for this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self._event.set()


def part_of(entry: Entry) -> bytes:
    """Return an event as it is sent."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (entry.id.encode(), entry.type.encode(), entry.data)


class EventFeed:
    """The shared reader. An asynchronous context manager; `run` reads. Entering raises KafkaError, ConfigError."""

    def __init__(self, settings: Settings, notice: Notice, metrics: GatewayMetrics) -> None:
        self._settings, self._notice, self._metrics = settings, notice, metrics
        self._topic = topics.EVENTS.full_name(settings.topic_prefix)
        self._follower = Follower(settings, self._apply, self._bad_batch, notice)
        self._offsets = LogOffsets(settings)
        self._subscribers: dict[tuple[str, str | None], set[Subscriber]] = {}
        """By app and room; None: all rooms."""
        self._readers = 0
        self._wanted, self._is_live = asyncio.Event(), False
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            self._registry = await opened.enter_async_context(Registry(self._settings))
            opened.push_async_callback(self._offsets.stop)
            opened.push_async_callback(self._follower.stop)
            await asyncio.gather(self._offsets.start(), self._follower.start())
            found = (await self._offsets.describe([self._topic]))[self._topic]
            self.topic_id, self.partitions = found.topic_id, found.partitions
            self._decoder = EventDecoder(self._registry, self.topic_id, self._notice)
            tps = [TopicPartition(self._topic, number) for number in range(self.partitions)]
            begin = await self._follower.consumer.end_offsets(tps)
            self._positions = {tp.partition: offset for tp, offset in begin.items()}
            self.ring = EventRing(self._positions)
            self._follower.begin(begin)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def run(self) -> None:
        """Read until cancelled. Raises KafkaError, also when events were deleted before they were read."""
        while True:
            if not self._readers:  # a fetch costs as much as a request
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wanted.wait()
            await self._follower.turn()
            # Markers move the position without an event.
            for tp, offset in self._follower.positions.items():
                self._positions[tp.partition] = max(self._positions[tp.partition], offset)

    async def _apply(self, tp: TopicPartition, records: list[Record]) -> None:
        for entry in await self._decoder.entries(tp, records, self._positions):
            self.ring.add(entry)
            self._deliver(entry)

    def _deliver(self, entry: Entry) -> None:
        """Give an event to the streams that want it. It is encoded once for all."""
        found = [
            one
            for room_id in (None, entry.room_id)
            for one in self._subscribers.get((entry.app, room_id), ())
            if not one.closed and one.wants(entry)
        ]
        if found:
            part = part_of(entry)
            slow = sum(not one.put(part) for one in found)
            self._metrics.delivered.inc(len(found) - slow)
            if slow:
                self._metrics.slow.inc(slow)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{batch.first}: no events: {fault}; skipped")

    # --- streams ---------------------------------------------------------------------------------------------

    @property
    def positions(self) -> Mapping[int, int]:
        """The next offset of each partition."""
        return self._positions

    @property
    def id(self) -> str:
        """The id of the present position."""
        return to_text(self.topic_id, self._positions)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read without pauses during the block. It begins when what was written before is read, or after 5 s."""
        self._readers += 1
        self._wanted.set()
        try:
            if not self._is_live:
                with contextlib.suppress(TimeoutError, Errors.KafkaError):
                    async with asyncio.timeout(LIVE_SECONDS):
                        ends = await self._offsets.stable(list(self._follower.positions))
                        read = self._follower
                        await read.until(lambda: all(read.positions[tp] >= end for tp, end in ends.items()))
                self._is_live = True
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._wanted.clear()
                self._is_live = False

    def add(self, subscriber: Subscriber) -> None:
        """Give a subscriber the events from now on."""
        self._subscribers.setdefault((subscriber.app, subscriber.room_id), set()).add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Give it no more events."""
        name = (subscriber.app, subscriber.room_id)
        others = self._subscribers.get(name, set())
        others.discard(subscriber)
        if not others:
            self._subscribers.pop(name, None)

    def close(self) -> None:
        """End all streams."""
        for one in [one for several in self._subscribers.values() for one in several]:
            one.close()

    async def older(self, positions: dict[int, int]) -> AsyncGenerator[list[Entry] | None, None]:
        """Read from these positions on, which move, until the ring covers them. Yield None first if there is a gap."""
        found: list[Entry] = []
        decoder = EventDecoder(self._registry, self.topic_id, self._notice)

        async def apply(tp: TopicPartition, records: list[Record]) -> None:
            found.extend(await decoder.entries(tp, records, positions))

        follower = Follower(self._settings, apply, self._bad_batch, self._notice)
        await follower.start()
        try:
            tps = [TopicPartition(self._topic, number) for number in range(self.partitions)]
            starts = await follower.consumer.beginning_offsets(tps)
            if any(starts[tp] > positions[tp.partition] for tp in tps):
                positions |= {tp.partition: max(starts[tp], positions[tp.partition]) for tp in tps}
                yield None
            follower.begin({tp: positions[tp.partition] for tp in tps})
            while not self.ring.covers(positions):
                await follower.turn()
                yield found.copy()
                found.clear()
                positions |= {tp.partition: offset for tp, offset in follower.positions.items()}
        finally:
            await follower.stop()
