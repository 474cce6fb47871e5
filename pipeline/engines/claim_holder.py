"""Holds the claim of a node on the topic `conference.engines`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.engines.rules.claim import WRITE_SECONDS, Claim
from pipeline.engines.topic_log import TopicLog
from pipeline.errors import FencedError
from pipeline.kafka.oauth import client_options
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.signal_producer import PRODUCER_OPTIONS
from pipeline.model import framing
from pipeline.model.records import Engine
from pipeline.model.wire import ENCODERS
from pipeline.settings import Settings
from pipeline.view.follower import Notice

READ_SECONDS: Final = 0.5
"""Seconds between two readings of the end."""
RETRY_SECONDS: Final = 1.0
LOST_SECONDS: Final = 30
"""Seconds after its last record for which a node counts as announced."""
Describe = Callable[[], Engine]
"""Returns the record of the bridge; its epoch is filled in."""


class ClaimHolder:
    """Writes the bridge's record, and reads those of others. An asynchronous context manager; run `run`."""

    def __init__(self, settings: Settings, node: str, describe: Describe, notice: Notice) -> None:
        self._settings, self._node, self._describe, self._notice = settings, node, describe, notice
        self._topic = topics.ENGINES.full_name(settings.topic_prefix)
        self._tp = TopicPartition(self._topic, 0)
        self.claim = Claim(node)
        self.last: dict[bytes, tuple[int, Engine]] = {}
        """The last record of each node, and when it was appended (microseconds)."""
        self.log = TopicLog(settings, (Engine,), self._take, notice)
        self._open = contextlib.AsyncExitStack()
        self._clock_offset = 0

    async def __aenter__(self) -> ClaimHolder:
        async with contextlib.AsyncExitStack() as opened:
            async with Registry(self._settings) as registry:
                ids = await registry.schema_ids(self._settings.topic_prefix, [topics.ENGINES])
            self._head = framing.head(ids[Engine.RECORD])
            await opened.enter_async_context(self.log)
            self._producer = AIOKafkaProducer(**client_options(self._settings), **PRODUCER_OPTIONS)
            opened.push_async_callback(self._producer.stop)
            await self._producer.start()
            self.log.begin(await self.log.offsets.beginnings([self._tp]))
            task = asyncio.create_task(self.log.run())
            opened.push_async_callback(_cancel, task)
            await self.log.read_end(self._tp)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _take(self, _: TopicPartition, record: Record, value: Any) -> None:
        self.claim.apply(record.key, record.offset, value)
        if record.key is not None:
            if value is None:
                self.last.pop(record.key, None)
            else:
                self.last[record.key] = (record.time, value)

    def lost_nodes(self) -> int:
        """Return how many nodes were announced and are not any more."""
        oldest = self.broker_time() - LOST_SECONDS * 1_000_000
        return sum(appended < oldest for appended, _ in self.last.values())

    def broker_time(self) -> int:
        """Return the broker's clock in microseconds, as far as the last acknowledgement tells it."""
        return time.time_ns() // 1000 + self._clock_offset

    async def _write(self, value: bytes | None) -> int:
        key = self._node.encode()
        metadata = await self._producer.send_and_wait(self._topic, value, key, partition=0)
        self._clock_offset = metadata.timestamp * 1000 - time.time_ns() // 1000
        return int(metadata.offset)

    async def take(self) -> None:
        """Write the first record. Raises KafkaError."""
        first = self._record(-1)
        self.claim.begin(await self._write(first), time.monotonic())

    def _record(self, epoch: int) -> bytes:
        import msgspec

        encoded: bytes = ENCODERS[Engine](msgspec.structs.replace(self._describe(), epoch=epoch), self._head)
        return encoded

    async def run(self) -> None:
        """Hold the claim until another bridge takes it: then raise FencedError."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_writing())
            group.create_task(self._keep_reading())

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                await self._write(self._record(self.claim.epoch))
            except KafkaError as error:
                self._notice(f"the claim of node {self._node} could not be written: {error}")

    async def _keep_reading(self) -> None:
        while True:
            asked = time.monotonic()
            await self.log.read_end(self._tp)
            self.claim.read_end(asked)
            if self.claim.lost:
                raise FencedError(f"another bridge has taken node {self._node}: run one bridge per node")
            await asyncio.sleep(READ_SECONDS)

    async def release(self) -> None:
        """Write the tombstone of a clean end, unless another bridge's record follows."""
        await self.log.read_end(self._tp)
        if self.claim.may_end:
            await self._write(None)

    async def retire(self) -> None:
        """Write the tombstone of a node whose bridge is gone."""
        await self._write(None)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
