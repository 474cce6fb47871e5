"""Makes the tasks of newly assigned partitions: rooms from the table's log, inputs at the positions found there."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable, Mapping

from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.admin import table_loss
from pipeline.admin.signal_loss import Log, Place
from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.gc_pause import gc_paused
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.model.records import Position
from pipeline.settings import Settings
from pipeline.worker.table_log import TableLog
from pipeline.worker.takeover import Committed, check_table, is_current, places, require_no_other_workers
from pipeline.worker.task import PartitionTask
from pipeline.worker.topic_watch import TopicWatch


class Recovery:
    """Loads tasks."""

    def __init__(
        self,
        settings: Settings,
        offsets: LogOffsets,
        table_log: TableLog,
        watch: TopicWatch,
        *,
        accept_loss: bool = False,
    ) -> None:
        """`accept_loss`: continue where signals were deleted before they were read, or where the table lost rows."""
        self._settings, self._offsets, self._table_log = settings, offsets, table_log
        self._accept_loss = accept_loss
        self._inputs = [topic.full_name(settings.topic_prefix) for topic in topics.SIGNAL_TOPICS]
        self.watch = watch
        self.loading = False
        self.seconds = 0.0
        """Duration of the last load."""
        self._unclaimed: set[int] = set()

    def table(self, number: int) -> TopicPartition:
        """Return the table's topic-partition of partition `number`."""
        return TopicPartition(topics.ROOMS.full_name(self._settings.topic_prefix), number)

    async def table_ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return the ends of the table's logs, by partition number. Raises KafkaError."""
        ends = await self._offsets.ends([self.table(number) for number in numbers])
        return {tp.partition: end for tp, end in ends.items()}

    async def load(self, numbers: Iterable[int]) -> dict[int, PartitionTask]:
        """Return the tasks of these partitions. Raises ConfigError, LossError, FatalError, KafkaError."""
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
        await self.watch.check()
        partitions = {tp: Partition(self._settings.rules) for tp in tables}
        inputs = [TopicPartition(topic, tp.partition) for tp in tables for topic in self._inputs]
        committed = await self._offsets.group_offsets(inputs)
        positions = await self._table_log.read(partitions)
        await require_no_other_workers((position.group_id for position in positions.values()), self._settings)
        table, table_id = self.watch.table, self.watch.ids[self.watch.table]
        check_table(committed, positions, table, table_id, accept_loss=self._accept_loss)
        starts, ends = await asyncio.gather(self._offsets.beginnings(inputs), self._offsets.ends(inputs))
        self._claim(tables, positions, committed)
        recorded = {
            TopicPartition(one.topic, number): one for number, known in positions.items() for one in known.positions
        }
        logs = {tp: Log(self.watch.ids[tp.topic], starts[tp], ends[tp]) for tp in inputs}
        begins = places(recorded, logs, accept_loss=self._accept_loss)
        return {
            tp.partition: self._task(tp.partition, partition, positions.get(tp.partition), begins)
            for tp, partition in partitions.items()
        }

    def _claim(self, tables: list[TopicPartition], positions: Mapping[int, Position], committed: Committed) -> None:
        ids, text = self.watch.ids, table_loss.offset_text(self.watch.ids[self.watch.table])
        for number in (tp.partition for tp in tables):
            offsets = [committed.get(TopicPartition(topic, number)) for topic in self._inputs]
            if not is_current(positions.get(number), self._settings.group_id, ids, offsets, text):
                self._unclaimed.add(number)

    def take_unclaimed(self) -> set[int]:
        """Return the loaded partitions whose position record does not name this group and these topics.

        It must be written at once: until then another group, or a lost topic, would not be noticed. Clears the set.
        """
        unclaimed, self._unclaimed = self._unclaimed, set()
        return unclaimed

    def _task(
        self, number: int, partition: Partition, position: Position | None, begins: Mapping[TopicPartition, Place]
    ) -> PartitionTask:
        inputs = (Input(topic, number, *begins[TopicPartition(topic, number)]) for topic in self._inputs)
        return PartitionTask(number, partition, Merge(*inputs), "" if position is None else position.transactional_id)
