"""Reads the table's log from the beginning to its end: the log is the truth (docs/internals/adr/0002).

The end is asked for read_uncommitted, after the rebalance; the records are read read_committed. An open transaction of
an owner that died blocks the reader at the last stable offset. Then the position record after it names the owner, and
acquiring its transactional id ends the transaction at once instead of after its timeout (see `hanging_transactions`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.core.partition import Partition
from pipeline.kafka.batch_reader import check_tasks
from pipeline.kafka.log_offsets import LogOffsets, assign_and_seek
from pipeline.model.records import Position
from pipeline.worker.hanging_transactions import TransactionEnder
from pipeline.worker.table_rows import TableRows, table_records

BLOCKED_SECONDS: Final = 0.3
"""Seconds without a record after which an open transaction is looked for."""
GAP_SECONDS: Final = 5.0
"""Seconds without progress after which only a compaction gap is assumed to remain before that transaction."""
ROWS_PER_TURN: Final = 250
"""Rows applied without yielding to the loop, about as many bytes as it reads from a socket at a time."""


class TableLog:
    """The table's log, partition by partition."""

    def __init__(self, offsets: LogOffsets, rows: TableRows, ender: TransactionEnder) -> None:
        self._offsets, self._rows, self._ender = offsets, rows, ender

    async def read(self, partitions: Mapping[TopicPartition, Partition]) -> dict[int, Position]:
        """Apply all rows of these table partitions. Return their positions, by partition number.

        Raises FatalError, KafkaError.
        """
        tables = list(partitions)
        positions: dict[int, Position] = {}
        starts, ends = await asyncio.gather(self._offsets.beginnings(tables), self._offsets.ends(tables))
        assign_and_seek(self._offsets.committed, starts)
        try:
            await self._read_to(ends, partitions, positions)
        finally:
            self._offsets.committed.pause(*tables)  # otherwise it fetches what this worker writes
        for partition in partitions.values():
            partition.restored()
            await asyncio.sleep(0)
        return positions

    async def _read_to(
        self,
        ends: dict[TopicPartition, int],
        partitions: Mapping[TopicPartition, Partition],
        positions: dict[int, Position],
    ) -> None:
        """Read until the consumer's position is at the end: markers and compaction leave gaps that are no loss."""
        reader = self._offsets.committed
        missing = dict(ends)
        moved = checked = time.monotonic()
        while True:
            for tp, end in list(missing.items()):
                if await reader.position(tp) >= end:
                    del missing[tp]
            if not missing:
                return
            fetched = await reader.getmany(*missing, timeout_ms=100)
            for tp, batches in fetched.items():
                for batch in batches:
                    await self._apply(tp, table_records(tp, [batch]), partitions[tp], positions)
            now = time.monotonic()
            if fetched:
                moved = checked = now
            elif now - checked > BLOCKED_SECONDS:
                check_tasks(reader)
                await self._ender.end(await self._blocked(missing, gap=now - moved > GAP_SECONDS))
                checked = time.monotonic()

    async def _apply(
        self, tp: TopicPartition, records: list[Record], partition: Partition, positions: dict[int, Position]
    ) -> None:
        for begin in range(0, len(records), ROWS_PER_TURN):
            await self._rows.restore(partition, positions, tp, records[begin : begin + ROWS_PER_TURN])
            await asyncio.sleep(0)  # the next fetch arrives meanwhile, and probes are answered

    async def _blocked(self, missing: dict[TopicPartition, int], *, gap: bool) -> dict[TopicPartition, int]:
        """Return the partitions that have been read up to an open transaction.

        A slow broker delays the reader too, and the last owner must not be fenced for that. `gap`: offsets left before
        the transaction hold no records.
        """
        stable = await self._offsets.stable(missing)
        return {
            tp: end
            for tp, end in missing.items()
            if stable[tp] < end and (gap or await self._offsets.committed.position(tp) >= stable[tp])
        }
