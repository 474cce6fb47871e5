"""Writes units: one transactional producer, one transaction per unit (docs/internals/adr/0001)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from typing import Final, NamedTuple

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.errors import FatalError
from pipeline.kafka.fenced_producer import FencedProducer
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.record_batch import Batch
from pipeline.settings import Settings
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.fencing import acquire
from pipeline.worker.kafka_errors import fatal

MAX_REPEATS: Final = 2
"""Commits that are repeated while the last records stay invisible. The cause may be another one: the open transaction
of a worker that had the partition before, which HangingTransactionMonitor ends."""
log = structlog.get_logger("transactions")


class SealedUnit(NamedTuple):
    """What a unit writes: its records, the group offsets after its input, and the partitions `also_end` in which an
    earlier transaction of this worker is open, which ends with this one."""

    outputs: Mapping[TopicPartition, Iterable[Batch]]
    offsets: dict[TopicPartition, int]
    also_end: AbstractSet[TopicPartition] = frozenset()


class Transactions:
    """The transactions of this worker, one after another: `begin`, then `commit`.

    Every error raises FatalError: the process must end, and its restart is the recovery. After a unit that failed no
    other is written, because the next one was decided from rooms that the failed one had changed.
    """

    def __init__(self, settings: Settings, offsets: LogOffsets, offset_text: Callable[[], str] = str) -> None:
        """`offset_text` returns the text that is committed with the group offsets (pipeline/admin/table_loss.py)."""
        self._settings, self._offsets, self._offset_text = settings, offsets, offset_text
        self._last: dict[TopicPartition, int] = {}
        """Offset of the last record of the last transaction, per partition, until it is known to be visible."""
        self._producer: FencedProducer | None = None
        self._membership = (-1, "")
        self.clock = BrokerClock()
        self.renewed = 0
        """Producers that were replaced because a request of theirs went unanswered."""
        self._committed = False
        self._failed: FatalError | None = None

    @property
    def producer(self) -> FencedProducer:
        """The started producer. Raises FatalError before `start`."""
        if self._producer is None:
            raise FatalError("the transactional producer is not started")
        return self._producer

    async def start(self) -> None:
        """Acquire the transactional id; its previous owner is fenced, and what that left open is ended."""
        try:
            producer = await acquire(self._settings, self._settings.worker_id, self._offsets.open_transactions)
        except Errors.KafkaError as error:
            raise fatal(error, self._settings) from error
        self._producer = producer
        producer.join(*self._membership)

    async def stop(self) -> None:
        """Stop the producer; an open transaction is left for the next owner of the id to abort."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def join(self, generation: int, member_id: str) -> None:
        """Commit group offsets as this member of this generation from now on."""
        self._membership = (generation, member_id)
        if self._producer is not None:
            self._producer.join(generation, member_id)

    @property
    def last_outcome(self) -> bool | None:
        """Whether the last transaction of this id was committed; None when it is unknown."""
        return True if self._committed else self.producer.previous_outcome

    async def repeat_outcome(self, partitions: set[TopicPartition], *, commit: bool) -> None:
        """End what a transaction of this worker left open there. Not while a unit is in flight. Raises FatalError."""
        try:
            producer = await self._usable_producer()
            await producer.repeat_outcome(partitions, self._settings.group_id, commit=commit)
        except (Errors.KafkaError, Errors.IllegalOperation) as error:
            raise fatal(error, self._settings) from error

    async def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin the transaction of the next unit; `partitions` are those it is known to write to, so far.

        All records of the previous transaction must be visible first. The broker may have lost one of its markers (see
        fencing.py). Then its records are still open there, and the next marker would end them too: an abort of this
        transaction would remove records that were committed.
        """
        async with self._abort_on_error():
            await self._begin(partitions)

    async def commit(self, unit: SealedUnit) -> None:
        """Write the unit and commit it, all or nothing.

        The offsets follow after every record is acknowledged. So a worker that takes a partition over, and reads the
        end of its log after the rebalance, sees every record that this worker can still commit.
        """
        async with self._abort_on_error():
            producer = self.producer
            producer.will_write({*unit.outputs, *unit.also_end})
            last: dict[TopicPartition, int] = {}
            for batches in in_rounds(unit.outputs):
                for tp, (offset, time) in (await producer.write(batches)).items():
                    # The first record of a batch is enough: a batch becomes visible as a whole.
                    last[tp] = offset
                    if time is not None:
                        self.clock.observe(time)
            text = self._offset_text()
            offsets = {tp: OffsetAndMetadata(offset, text) for tp, offset in unit.offsets.items()}
            await producer.send_offsets_to_transaction(offsets, self._settings.group_id)
            await producer.commit_transaction()
            self._committed, self._last = True, last

    async def _begin(self, partitions: Iterable[TopicPartition]) -> None:
        group = self._settings.group_id
        producer = await self._usable_producer()
        await producer.begin(group, partitions)
        for _ in range(MAX_REPEATS):
            invisible = await self._offsets.not_visible(self._last)
            if not invisible:
                break
            shown = sorted(f"{topic}/{number}" for topic, number in invisible)
            log.info("repeat a commit whose marker was lost", partitions=shown)
            producer.will_write(invisible)
            await producer.commit_transaction()
            producer = await self._usable_producer()
            await producer.begin(group, partitions)
        self._last.clear()

    async def _usable_producer(self) -> FencedProducer:
        """Return the producer; a new one if a request of the old one may arrive late and end the next transaction.

        Raises FatalError when a transaction has failed.
        """
        if self._failed is not None:
            raise self._failed
        # A loop: the new producer may have ended a transaction when it acquired the id, and had a request repeated too.
        while self.producer.unsure:
            await self.stop()
            await self.start()
            self.renewed += 1
        return self.producer

    @contextlib.asynccontextmanager
    async def _abort_on_error(self) -> AsyncIterator[None]:
        try:
            yield
        except (Errors.KafkaError, Errors.IllegalOperation) as error:
            producer = self.producer
            self._failed = fatal(producer.failure or error, self._settings)
            # Aborting spares the next owner a wait. Where it fails (fenced, broken), the next owner aborts.
            with contextlib.suppress(Errors.KafkaError, Errors.IllegalOperation, AssertionError, TimeoutError):
                await asyncio.wait_for(producer.abort_transaction(), 2)
            raise self._failed from error


def in_rounds(outputs: Mapping[TopicPartition, Iterable[Batch]]) -> Iterator[dict[TopicPartition, Batch]]:
    """Yield the first batch of each partition, then the second of each, and so on: a request for each round.

    The broker takes the batches of a partition in their order, so the next one waits for the answer.
    """
    for one_of_each in zip_longest(*outputs.values()):
        yield {tp: batch for tp, batch in zip(outputs, one_of_each, strict=True) if batch is not None}
