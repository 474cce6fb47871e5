"""Where logs begin, end and are stable, and two consumers without a group that read from any offset."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline import topics
from pipeline.kafka.admin import TopicMetadata, broker_addresses, describe_topics
from pipeline.kafka.batch_reader import by_batch, look_rarely
from pipeline.kafka.cancelled import cancelled_requests
from pipeline.kafka.group_offsets import committed_offsets
from pipeline.kafka.oauth import client_options
from pipeline.settings import Settings

DESCRIBE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 2.0
"""Time limit of one broker; a host that is gone would not refuse the connection."""
OpenTransactions = Mapping[TopicPartition, int]
"""Partitions in which a transaction is open, and the offset at which it begins."""


def assign_and_seek(reader: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Read these partitions, and no others, from these offsets.

    Get offsets from `beginning_offsets` and `end_offsets`, which look for the leader. aiokafka's own look-ups
    (`auto_offset_reset`, `seek_to_beginning`, `seek_to_end`) ask a broker that no longer leads until the metadata are
    five minutes old. To stop reading, pause: calling `unsubscribe` right after `assign` kills the fetch task.
    """
    reader.assign(list(offsets))
    for tp, offset in offsets.items():
        reader.seek(tp, offset)


def batch_consumer(settings: Settings, isolation: str, reset: str = "earliest", wait_ms: int = 50) -> AIOKafkaConsumer:
    """Return a consumer without a group, for `start_batch_consumer`. Raises ConfigError.

    `reset`: where to go on when an offset is out of range; "none" raises OffsetOutOfRangeError. `wait_ms`: milliseconds
    after which a broker answers a fetch that finds nothing; the consumer's other requests wait behind it.
    """
    return AIOKafkaConsumer(
        **client_options(settings),
        isolation_level=isolation,
        auto_offset_reset=reset,
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=wait_ms,
    )


async def start_batch_consumer(consumer: AIOKafkaConsumer, **options: Any) -> None:
    """Connect a consumer that returns batches; `options` are those of `by_batch`. Raises KafkaError."""
    await consumer.start()
    by_batch(consumer, **options)
    look_rarely(consumer)


class LogOffsets:
    """Offsets of the topics of one pipeline.

    `committed` and `uncommitted` are the consumers behind it, by isolation level. They belong to no group, and may also
    be used to read, after `start`. They return batches (see `batch_reader.by_batch`). Methods raise KafkaError.
    """

    committed: AIOKafkaConsumer
    uncommitted: AIOKafkaConsumer

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outputs = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS if topic.output]
        self._consumers: tuple[AIOKafkaConsumer, ...] = ()

    async def start(self) -> None:
        """Connect both consumers."""
        self.committed, self.uncommitted = (
            batch_consumer(self._settings, isolation) for isolation in ("read_committed", "read_uncommitted")
        )
        self._consumers = self.committed, self.uncommitted
        await asyncio.gather(*map(start_batch_consumer, self._consumers))

    async def stop(self) -> None:
        """Disconnect both consumers."""
        for consumer in self._consumers:
            await consumer.stop()

    def on_refresh(self, call: Callable[[], None]) -> None:
        """Call when the metadata were refreshed: regularly, and when a partition is not where it was."""
        for consumer in self._consumers:
            consumer._client.cluster.add_listener(lambda _: call())

    async def describe(self, names: Iterable[str]) -> Mapping[str, TopicMetadata]:
        """Describe topics as one broker knows them; wait up to DESCRIBE_SECONDS for one that answers."""
        limit = time.monotonic() + DESCRIBE_SECONDS
        while True:
            nodes = list(broker_addresses(self.uncommitted))
            for node in random.sample(nodes, len(nodes)):
                if (found := await self._describe_by(node, names)) is not None:
                    return found
            if time.monotonic() > limit:
                raise Errors.KafkaTimeoutError(f"no broker has described the topics in {DESCRIBE_SECONDS:g} s")
            await asyncio.sleep(0.5)

    async def describe_by_all(self, names: Iterable[str]) -> list[Mapping[str, TopicMetadata]]:
        """Describe topics as each broker knows them that answers; empty when none does."""
        nodes = broker_addresses(self.uncommitted)
        answers = await asyncio.gather(*(self._describe_by(node, names) for node in nodes))
        return [answer for answer in answers if answer is not None]

    async def _describe_by(self, node: int, names: Iterable[str]) -> Mapping[str, TopicMetadata] | None:
        with contextlib.suppress(Errors.KafkaError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                return (await describe_topics(self.uncommitted, names, node)).topics
        return None

    async def group_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what the workers' group has committed in these partitions, if anything."""
        with cancelled_requests():
            return await committed_offsets(self.uncommitted, self._settings.group_id, partitions)

    async def beginnings(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offsets of logs."""
        with cancelled_requests():
            return await self.committed.beginning_offsets(list(partitions))  # type: ignore[no-any-return]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends of logs, open transactions included."""
        with cancelled_requests():
            return await self.uncommitted.end_offsets(list(partitions))  # type: ignore[no-any-return]

    async def stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offsets: where the first open transaction begins, or the end of the log."""
        with cancelled_requests():
            return await self.committed.end_offsets(list(partitions))  # type: ignore[no-any-return]

    async def not_visible(self, offsets: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        """Return the partitions whose record at this offset is invisible, because a transaction is open before it."""
        stable = await self.stable(offsets)
        late = {tp for tp, offset in offsets.items() if stable[tp] <= offset}
        # The log of a topic that was deleted and created again also ends earlier; nothing is open in it.
        ends = await self.ends(late) if late else {}
        return {tp for tp in late if stable[tp] < ends[tp]}

    async def open_transactions(self, numbers: Iterable[int] | None = None) -> OpenTransactions:
        """Return the open transactions in the output partitions of these numbers (None: of all)."""
        numbers = range(self._settings.partitions) if numbers is None else numbers
        outputs = [TopicPartition(topic, number) for number in numbers for topic in self._outputs]
        stable, ends = await self.stable(outputs), await self.ends(outputs)
        return {tp: offset for tp, offset in stable.items() if offset < ends[tp]}
