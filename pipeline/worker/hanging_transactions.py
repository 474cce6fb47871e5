"""Ends transactions that are open in this worker's partitions and that their owner will not end (see fencing.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.errors import FatalError
from pipeline.kafka.log_offsets import LogOffsets, OpenTransactions, assign_and_seek
from pipeline.kafka.transaction_owners import ENDED, owners
from pipeline.kafka.transaction_state import is_ending
from pipeline.model.records import Position
from pipeline.model.row_keys import POSITION_KEY
from pipeline.settings import Settings
from pipeline.worker.fencing import UnknownOutcome, acquire, leave, unchanged
from pipeline.worker.table_rows import TableRows, table_records
from pipeline.worker.takeover import require_no_other_workers
from pipeline.worker.task import PartitionTask
from pipeline.worker.transactions import Transactions

CHECK_SECONDS: Final = 2.0
log = structlog.get_logger("transactions")


class TransactionEnder:
    """Ends open transactions by acquiring the transactional id of their owner."""

    def __init__(self, settings: Settings, offsets: LogOffsets, rows: TableRows, transactions: Transactions) -> None:
        """`transactions` are this worker's own."""
        self._settings, self._offsets, self._rows = settings, offsets, rows
        self._transactions = transactions
        self.fenced = 0
        """Owners whose id was acquired."""
        self._foreign: OpenTransactions = {}
        """Transactions of others that were reported and left alone."""

    async def end(self, blocked: Mapping[TopicPartition, int]) -> None:
        """End the transactions that block reading: table partitions, and the offsets that must be reached.

        Raises KafkaError, FatalError.
        """
        by_owner: dict[str, dict[TopicPartition, bool]] = {}
        for tp, end in blocked.items():
            found = await self._owner(tp, await self._offsets.committed.position(tp), end)
            if found is not None:
                owner, only_position = found
                by_owner.setdefault(owner, {})[tp] = only_position
        for owner, tables in by_owner.items():
            if owner != self._settings.worker_id:
                await self.fence(owner, partial(self._assumed_outcome, tables))
            else:  # this worker's own, from before the rebalance: no unit is in flight now
                open_now = set(await self._offsets.open_transactions())
                outcome = self._transactions.last_outcome
                commit = self._assumed_outcome(tables, open_now) if outcome is None else outcome
                await self._transactions.repeat_outcome(open_now, commit=commit)

    async def end_in_outputs(self, transactions: OpenTransactions, last_writers: Mapping[int, str]) -> None:
        """End transactions of other workers that are open in output partitions of this worker.

        Each must have been open before this worker committed there, as the partition's owner, and still be open after:
        then it is of a worker that no longer owns the partition. A position record names the owner only in the table,
        which the transaction may not have reached: Kafka names it in any partition. Where Kafka refuses, it is taken
        for the worker that wrote to the partition before (`last_writers`, by partition number; "" for none).

        Raises KafkaError, FatalError.
        """
        known = await owners(self._offsets.uncommitted, transactions)
        if known is None:
            found = {last_writers.get(tp.partition, "") for tp in transactions}
        else:
            workers = {*last_writers.values()}
            found = {owner.transactional_id for owner in known.values()}
            foreign = {one for one in found if one not in workers and not self._settings.is_worker_id(one)}
            for tp, owner in known.items():
                if owner.transactional_id in foreign and owner.producer_id != ENDED:
                    self._report(tp, transactions[tp], *owner)
            found -= foreign
        for one in sorted(found - {"", self._settings.worker_id}):
            await self.fence(one)

    def _report(self, tp: TopicPartition, offset: int, producer_id: int, transactional_id: str) -> None:
        """Log once that a transaction is left open."""
        if self._foreign.get(tp) != offset:
            self._foreign = {**self._foreign, tp: offset}
            log.warning(
                "leave a transaction open that is not of a worker of this group: only workers may write to this topic",
                topic=tp.topic,
                partition=tp.partition,
                offset=offset,
                producer_id=producer_id,
                transactional_id=transactional_id,
            )

    async def fence(self, owner: str, unknown_outcome: UnknownOutcome = leave) -> None:
        """End what `owner`, a transactional id, left open. Does nothing while its coordinator is writing the markers
        of a decided transaction: its worker may be alive.

        Raises KafkaError, FatalError.
        """
        try:
            if await is_ending(self._offsets.uncommitted, owner):
                return
        except Errors.KafkaError as error:
            if error.retriable:
                return  # the coordinator can't answer now: the caller looks again
            raise
        log.info("end what another worker left open", transactional_id=owner)
        producer = await acquire(self._settings, owner, self._offsets.open_transactions, unknown_outcome)
        await producer.stop()
        self.fenced += 1

    def _assumed_outcome(self, tables: Mapping[TopicPartition, bool], still_open: set[TopicPartition]) -> bool:
        """Return whether to commit a transaction that hangs in these tables and whose outcome is lost, because its id
        has been acquired since.

        Either outcome is right where no other partition can have its marker: where the transaction wrote only its
        position, or its events hang too. Otherwise raises FatalError.
        """
        events = topics.EVENTS.full_name(self._settings.topic_prefix)
        for tp, only_position in tables.items():
            events_open = TopicPartition(events, tp.partition) in still_open
            if tp in still_open and not only_position and not events_open:
                raise FatalError(
                    f"a transaction hangs in {tp.topic} partition {tp.partition}, and its outcome is unknown: "
                    "see docs/howto/runbook.md, A transaction that hangs"
                )
        return True

    async def _owner(self, tp: TopicPartition, start: int, end: int) -> tuple[str, bool] | None:
        """Return the owner of the oldest open transaction in [start, end) of a table partition, and whether that
        transaction wrote only its position there. None if no position record is found."""
        reader = self._offsets.uncommitted
        assign_and_seek(reader, {tp: start})
        owner: str | None = None
        try:
            while await reader.position(tp) < end:
                fetched = await reader.getmany(tp, timeout_ms=1000)
                if not fetched:
                    break
                for record in table_records(tp, fetched[tp]):
                    is_position = record.key == POSITION_KEY
                    if owner is not None:
                        return owner, is_position
                    if is_position and record.value is not None:
                        row = await self._rows.decode(record.value)
                        assert isinstance(row, Position)
                        await require_no_other_workers({row.group_id}, self._settings)
                        owner = row.transactional_id
            return None if owner is None else (owner, True)
        finally:
            reader.pause(tp)


class HangingTransactionMonitor:
    """Looks for transactions that hang in the partitions of this worker's tasks, while it runs.

    One of this worker's own ends with its next unit, if that writes to the same partition (`include`). One that is open
    even then belongs to a worker that had the partition before: it is dead or frozen, and is fenced. It cannot be one
    of the next owner: the group accepted this worker's unit, so the partition was its own after that one had begun.
    """

    def __init__(
        self,
        offsets: LogOffsets,
        ender: TransactionEnder,
        tasks: Mapping[int, PartitionTask],
        include: Callable[[set[TopicPartition]], None],
        take_ended: Callable[[], set[TopicPartition]],
    ) -> None:
        """`include` adds partitions to the next transaction. `take_ended` returns those of them in which one has ended
        since the last call: a unit that takes long also holds its partitions, and must not get anybody fenced."""
        self._offsets, self._ender = offsets, ender
        self._tasks, self._include, self._take_ended = tasks, include, take_ended
        self._open: OpenTransactions = {}

    async def run(self) -> None:
        """Check every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._check()
            except Errors.KafkaError as error:  # Kafka is away: the next check repeats it
                log.debug("could not look for open transactions", error=str(error))

    async def _check(self) -> None:
        ended = self._take_ended()
        found = await self._offsets.open_transactions(list(self._tasks))
        hanging, self._open = unchanged(self._open, found), found
        tried = hanging & ended
        if untried := hanging - tried:
            shown = sorted(f"{tp.topic}/{tp.partition}" for tp in untried)
            log.info("repeat a commit that left a transaction open", partitions=shown)
        self._include(untried)
        if tried:
            last_writers = {number: task.owner for number, task in self._tasks.items()}
            await self._ender.end_in_outputs({tp: found[tp] for tp in tried}, last_writers)
