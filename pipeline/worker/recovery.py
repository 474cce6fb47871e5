"""Makes the tasks of newly assigned partitions: rooms from the table's log, inputs at the positions found there."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable, Mapping

import structlog
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.errors import FatalError, LossError
from pipeline.gc_pause import gc_paused
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.model.records import Position
from pipeline.settings import Settings
from pipeline.worker.table_log import TableLog
from pipeline.worker.task import PartitionTask

log = structlog.get_logger("recovery")


class Recovery:
    """Loads tasks."""

    def __init__(
        self, settings: Settings, offsets: LogOffsets, table_log: TableLog, *, accept_loss: bool = False
    ) -> None:
        """`accept_loss`: continue where signals were deleted before they were read."""
        self._settings, self._offsets, self._table_log = settings, offsets, table_log
        self._accept_loss = accept_loss
        self._inputs = [topic.full_name(settings.topic_prefix) for topic in topics.SIGNAL_TOPICS]
        self.loading = False
        self.seconds = 0.0
        """Duration of the last load."""

    def table(self, number: int) -> TopicPartition:
        """Return the table's topic-partition of partition `number`."""
        return TopicPartition(topics.ROOMS.full_name(self._settings.topic_prefix), number)

    async def table_ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return the ends of the table's logs, by partition number. Raises KafkaError."""
        ends = await self._offsets.ends([self.table(number) for number in numbers])
        return {tp.partition: end for tp, end in ends.items()}

    async def load(self, numbers: Iterable[int]) -> dict[int, PartitionTask]:
        """Return the tasks of these partitions. Raises FatalError, LossError, KafkaError."""
        tables = [self.table(number) for number in numbers]
        if not tables:
            return {}
        began = time.monotonic()
        self.loading = True
        try:
            gc.collect()
            # The collector would scan all that is loaded, again and again. What remains lives long, and is frozen.
            with gc_paused():
                tasks = await self._load(tables)
                gc.freeze()
        finally:
            self.loading = False
        self.seconds = time.monotonic() - began
        return tasks

    async def _load(self, tables: list[TopicPartition]) -> dict[int, PartitionTask]:
        partitions = {tp: Partition(self._settings.rules) for tp in tables}
        positions = await self._table_log.read(partitions)
        inputs = [TopicPartition(topic, tp.partition) for tp in tables for topic in self._inputs]
        starts, ends = await asyncio.gather(self._offsets.beginnings(inputs), self._offsets.ends(inputs))
        return {
            tp.partition: self._task(tp.partition, partition, positions.get(tp.partition), starts, ends)
            for tp, partition in partitions.items()
        }

    def _task(
        self,
        number: int,
        partition: Partition,
        position: Position | None,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> PartitionTask:
        known = {p.topic: p for p in position.positions} if position is not None else {}
        inputs = []
        for topic in self._inputs:
            tp = TopicPartition(topic, number)
            if topic in known:
                offset = self._checked_offset(tp, known[topic].offset, starts[tp], ends[tp])
                inputs.append(Input(topic, number, offset, known[topic].time))
            else:
                inputs.append(Input(topic, number, starts[tp], 0))
        owner = position.transactional_id if position is not None else ""
        return PartitionTask(number, partition, Merge(*inputs), owner)

    def _checked_offset(self, tp: TopicPartition, offset: int, start: int, end: int) -> int:
        """Return the offset to continue from. Raises LossError when signals after the position are gone (promise 6)."""
        place = f"{tp.topic} partition {tp.partition}"
        if offset > end:
            raise FatalError(
                f"{place} ends at offset {end}, before the worker's position {offset}: the topic was created again or "
                "truncated; restore the topic, or move the workers to a new PIPELINE_TOPIC_PREFIX"
            )
        if offset >= start:
            return offset
        text = f"{start - offset} signals of {place} were deleted unread (offsets {offset} to {start - 1})"
        if not self._accept_loss:
            raise LossError(
                f"{text}: give the topic a longer retention; to continue without them: worker --accept-loss"
            )
        log.warning("signals lost, as accepted", topic=tp.topic, partition=tp.partition, lost=start - offset)
        return start
