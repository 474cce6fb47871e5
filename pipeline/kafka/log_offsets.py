"""Where logs begin, end and are stable, and two consumers without a group that read from any offset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.kafka.batch_reader import by_batch, look_rarely
from pipeline.kafka.oauth import client_options
from pipeline.settings import Settings

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
        self.committed, self.uncommitted = self._consumer("read_committed"), self._consumer("read_uncommitted")
        self._consumers = self.committed, self.uncommitted
        await asyncio.gather(*(consumer.start() for consumer in self._consumers))
        for consumer in self._consumers:
            by_batch(consumer)
            look_rarely(consumer)

    def _consumer(self, isolation: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_options(self._settings),
            isolation_level=isolation,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
            # A request waits behind a fetch that finds nothing, as it does before an open transaction.
            fetch_max_wait_ms=50,
        )

    async def stop(self) -> None:
        """Disconnect both consumers."""
        for consumer in self._consumers:
            await consumer.stop()

    async def beginnings(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offsets of logs."""
        return await self.committed.beginning_offsets(list(partitions))  # type: ignore[no-any-return]

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the ends of logs, open transactions included."""
        return await self.uncommitted.end_offsets(list(partitions))  # type: ignore[no-any-return]

    async def stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offsets: where the first open transaction begins, or the end of the log."""
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
