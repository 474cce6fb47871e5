"""A partition's rooms and positions from the log of its table: the log is the truth (docs/internals/adr/0002).

The end is asked for read_uncommitted, after the rebalance; what is read is read_committed. An open transaction of
an owner that died holds the reader back at the last stable offset: then the position record behind it names the
owner, and taking its transactional id ends the transaction at once instead of after its timeout (see `take`).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.errors import FatalError, LossError
from pipeline.gc_pause import gc_paused
from pipeline.kafka.batch_reader import by_batch, check_tasks, look_rarely, records_of
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.transaction_state import ending
from pipeline.model.records import Position
from pipeline.settings import Settings
from pipeline.worker.fencing import OpenTransactions, Unknown, nobody_knows, take
from pipeline.worker.table_log import Rows

PATIENCE: Final = 0.3
"""Seconds without a record after which we look whether an open transaction holds us back."""
GAP_SECONDS: Final = 5.0
"""... after which we take it that nothing is left before that transaction: compaction may have left a gap there."""
SLICE: Final = 250
"""Rows that are taken at a time, about as many bytes as a loop reads from a socket at a time."""
log = structlog.get_logger("recovery")


class Lane:
    """All that a worker holds of one partition number: its rooms, and its two inputs.

    `owner` is who wrote the partition's log last when it was loaded, a transactional id; "" if nobody did.
    `waits_for` is input and offset of the latest record that had to wait for the barrier.
    """

    __slots__ = ("merge", "number", "owner", "partition", "waits_for")

    def __init__(self, number: int, partition: Partition, merge: Merge, owner: str) -> None:
        self.owner = owner
        self.waits_for: tuple[Input, int] | None = None
        self.number = number
        self.partition = partition
        self.merge = merge


class Own(Protocol):
    """What recovery needs of this worker's own transactions."""

    @property
    def decided(self) -> bool | None:
        """Whether the last one was committed, as far as anybody knows."""

    async def repeat(self, partitions: set[TopicPartition], *, commit: bool) -> None:
        """End what it left open in these partitions."""


class Recovery:
    """Loads lanes. It reads with two consumers of its own, which belong to no group."""

    def __init__(self, settings: Settings, registry: Registry, *, accept_loss: bool = False) -> None:
        self._settings = settings
        self._accept_loss = accept_loss
        self._rows = Rows(registry)
        self._rooms = topics.ROOMS.full_name(settings.topic_prefix)
        self._outputs = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS if topic.output]
        self._inputs = [topic.full_name(settings.topic_prefix) for topic in topics.SIGNAL_TOPICS]
        self._committed: AIOKafkaConsumer = None
        self._everything: AIOKafkaConsumer = None
        self.own: Own
        self.loading = False
        self.fenced = 0
        self.seconds = 0.0
        """How long the last load took."""

    async def start(self) -> None:
        self._committed = self._consumer("read_committed")
        self._everything = self._consumer("read_uncommitted")
        await asyncio.gather(self._committed.start(), self._everything.start())
        by_batch(self._committed)
        for consumer in (self._committed, self._everything):
            look_rarely(consumer)

    def _consumer(self, isolation: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._settings.kafka(),
            isolation_level=isolation,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
            # What is asked of a broker waits behind a fetch that finds nothing, as before an open transaction.
            fetch_max_wait_ms=50,
            check_crcs=False,
        )

    async def stop(self) -> None:
        for consumer in (self._committed, self._everything):
            if consumer is not None:
                await consumer.stop()

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Ends of logs, open transactions included."""
        return await self._everything.end_offsets(list(partitions))  # type: ignore[no-any-return]

    async def stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Last stable offsets of logs: where the first open transaction begins, or the end. Raises KafkaError."""
        return await self._committed.end_offsets(list(partitions))  # type: ignore[no-any-return]

    async def hidden(self, offsets: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        """Where the record at this offset is not visible, since a transaction is open before it. Raises KafkaError."""
        stable = await self.stable(offsets)
        late = {tp for tp, offset in offsets.items() if stable[tp] <= offset}
        # A log whose topic was deleted and made anew also ends before; nothing is open in it.
        ends = await self.ends(late) if late else {}
        return {tp for tp in late if stable[tp] < ends[tp]}

    async def held(self, numbers: Iterable[int] | None = None) -> OpenTransactions:
        """In which output partitions of these numbers (all) a transaction is open. Raises KafkaError."""
        numbers = range(self._settings.partitions) if numbers is None else numbers
        outputs = [TopicPartition(topic, number) for number in numbers for topic in self._outputs]
        stable = await self.stable(outputs)
        ends = await self.ends(outputs)
        return {tp: offset for tp, offset in stable.items() if offset < ends[tp]}

    def table(self, number: int) -> TopicPartition:
        """The table's topic-partition of partition `number`."""
        return TopicPartition(self._rooms, number)

    async def load(self, numbers: Iterable[int]) -> dict[int, Lane]:
        """The lanes of these partitions, as their log has them. Raises FatalError, LossError."""
        tables = [self.table(number) for number in numbers]
        if not tables:
            return {}
        began = time.monotonic()
        self.loading = True
        try:
            gc.collect()
            # The collector would look through all that is loaded again and again. What is there in the end lives long,
            # and is taken out of its sight.
            with gc_paused():
                lanes = await self._load(tables)
                gc.freeze()
        finally:
            self.loading = False
        self.seconds = time.monotonic() - began
        return lanes

    async def _load(self, tables: list[TopicPartition]) -> dict[int, Lane]:
        partitions = {tp.partition: Partition(self._settings.rules) for tp in tables}
        positions: dict[int, Position] = {}
        starts, ends = await asyncio.gather(self._committed.beginning_offsets(tables), self.ends(tables))
        assign_and_seek(self._committed, starts)
        try:
            await self._read(
                ends, lambda tp, records: self._rows.take(partitions[tp.partition], positions, tp, records)
            )
        finally:
            self._committed.pause(*tables)  # else it goes on fetching what this worker writes
        for partition in partitions.values():
            partition.restored()
            await asyncio.sleep(0)
        return await self._lanes(partitions, positions)

    # --- the log ---------------------------------------------------------------------------------------------

    async def _read(
        self, ends: dict[TopicPartition, int], take: Callable[[TopicPartition, list[Any]], Awaitable[None]]
    ) -> None:
        """Read until the consumer's position is at the end: markers and compaction leave gaps that are no loss."""
        missing = dict(ends)
        moved = looked = time.monotonic()
        while True:
            for tp, end in list(missing.items()):
                if await self._committed.position(tp) >= end:
                    del missing[tp]
            if not missing:
                return
            fetched = await self._committed.getmany(*missing, timeout_ms=100)
            for tp, batches in fetched.items():
                records = records_of(batches)
                for begin in range(0, len(records), SLICE):
                    await take(tp, records[begin : begin + SLICE])
                    await asyncio.sleep(0)  # the next fetch comes in meanwhile, and probes are answered
            now = time.monotonic()
            if fetched:
                moved = looked = now
            elif now - looked > PATIENCE:
                check_tasks(self._committed)
                await self._free(await self._held_back(missing, gap=now - moved > GAP_SECONDS))
                looked = time.monotonic()

    async def _held_back(self, missing: dict[TopicPartition, int], *, gap: bool) -> dict[TopicPartition, int]:
        """Where we have read all that comes before an open transaction. A broker that is slow holds us back, too, and
        whoever wrote the log last is not to be fenced for that. `gap`: what is left before it may be no record."""
        stable = await self.stable(missing)
        return {
            tp: end
            for tp, end in missing.items()
            if stable[tp] < end and (gap or await self._committed.position(tp) >= stable[tp])
        }

    async def _free(self, stuck: dict[TopicPartition, int]) -> None:
        """End the open transactions that hold us back, by taking their owners' ids."""
        owners: dict[str, dict[TopicPartition, bool]] = {}
        for tp, end in stuck.items():
            found = await self._owner(tp, await self._committed.position(tp), end)
            if found is not None:
                owner, bare = found
                owners.setdefault(owner, {})[tp] = bare
        for owner, tables in owners.items():
            if owner != self._settings.worker_id:
                await self.fence(owner, partial(self._guess, tables))
            else:  # ours, of before the rebalance: nothing of ours is under way now
                held = set(await self.held())
                decided = self.own.decided
                await self.own.repeat(held, commit=self._guess(tables, held) if decided is None else decided)

    async def fence(self, owner: str, unknown: Unknown = nobody_knows) -> None:
        """End what a worker that is gone left open; one that lives and has just committed is spared.

        Raises KafkaError, FatalError.
        """
        try:
            if await ending(self._everything, owner):
                return
        except Errors.KafkaError as error:
            if error.retriable:
                return  # its coordinator can't answer now: whoever asked looks again
            raise
        log.info("end what another worker left open", transactional_id=owner)
        producer = await take(self._settings, owner, self.held, unknown)
        await producer.stop()
        self.fenced += 1

    def _guess(self, tables: dict[TopicPartition, bool], still: set[TopicPartition]) -> bool:
        """How a transaction was decided that hangs in these tables, when its id has been taken since and nobody knows.

        Where no other partition can have got its marker, both would be right: it wrote no events there (`bare`), or
        the events are held, too. Else, raises FatalError.
        """
        events = topics.EVENTS.full_name(self._settings.topic_prefix)
        for tp, bare in tables.items():
            if tp in still and not bare and TopicPartition(events, tp.partition) not in still:
                raise FatalError(
                    f"a transaction hangs in {tp.topic} partition {tp.partition}, and nobody knows any more whether it "
                    "was committed: see docs/howto/runbook.md, A transaction that hangs"
                )
        return True

    async def _owner(self, tp: TopicPartition, start: int, end: int) -> tuple[str, bool] | None:
        """Who wrote the first position record in [start, end), the owner of the oldest open transaction; and whether
        that transaction wrote nothing else to this log."""
        reader = self._everything
        assign_and_seek(reader, {tp: start})
        owner: str | None = None
        try:
            while await reader.position(tp) < end:
                fetched = await reader.getmany(tp, timeout_ms=1000)
                if not fetched:
                    break
                for record in fetched[tp]:
                    position = record.key == b'["position"]'
                    if owner is not None:
                        return owner, position
                    if position and record.value is not None:
                        row = await self._rows.decode(record.value)
                        assert isinstance(row, Position)
                        owner = row.transactional_id
            return None if owner is None else (owner, True)
        finally:
            reader.pause(tp)

    # --- the positions ---------------------------------------------------------------------------------------

    async def _lanes(
        self, partitions: dict[int, Partition], positions: dict[int, Position]
    ) -> dict[int, Lane]:
        wanted = [TopicPartition(topic, number) for number in partitions for topic in self._inputs]
        starts, ends = await asyncio.gather(self._everything.beginning_offsets(wanted), self.ends(wanted))
        lanes = {}
        for number, partition in partitions.items():
            known = {p.topic: p for p in positions[number].positions} if number in positions else {}
            inputs = []
            for topic in self._inputs:
                tp = TopicPartition(topic, number)
                offset, when = starts[tp], 0
                if topic in known:
                    offset, when = known[topic].offset, known[topic].time
                    offset = self._check(tp, offset, starts[tp], ends[tp])
                inputs.append(Input(topic, number, offset, when))
            owner = positions[number].transactional_id if number in positions else ""
            lanes[number] = Lane(number, partition, Merge(*inputs), owner)
        return lanes

    def _check(self, tp: TopicPartition, offset: int, start: int, end: int) -> int:
        """Where to go on. Raises LossError when signals behind the position are gone (promise 6)."""
        place = f"{tp.topic} partition {tp.partition}"
        if offset > end:
            raise FatalError(
                f"{place} ends at offset {end}, before our position {offset}: the topic was created anew or cut; "
                "move the workers to a new PIPELINE_TOPIC_PREFIX, or bring the topic back"
            )
        if offset >= start:
            return offset
        text = f"{start - offset} signals of {place} were deleted unread (offsets {offset} to {start - 1})"
        if not self._accept_loss:
            raise LossError(
                f"{text}: give the topic a longer retention; to go on without them: worker --accept-loss"
            )
        log.warning("signals lost, as accepted", topic=tp.topic, partition=tp.partition, lost=start - offset)
        return start
