"""Seeded bugs, to check the checker: `python -m tests.chaos --bug NAME` runs workers that have the bug NAME.

Each is a small switch at a place that is easy to get wrong. docs/internals/guarantees.md has the table of what
caught which, and after how many injections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.core import lazy_rooms
from pipeline.core import partition as partitions
from pipeline.core.merge import GRACE, Input, Merge
from pipeline.core.partition import Partition
from pipeline.kafka import fenced_producer
from pipeline.kafka.record_batch import encode_row
from pipeline.model import signal_ids
from pipeline.model.records import Position
from pipeline.worker.barrier import Barrier
from pipeline.worker.engine import Engine
from pipeline.worker.faust_store import RoomsStore
from pipeline.worker.hanging_transactions import TransactionEnder
from pipeline.worker.intake import Intake
from pipeline.worker.table_log import TableLog
from pipeline.worker.table_rows import TableRows
from pipeline.worker.transactions import Transactions, in_rounds
from pipeline.worker.unit import Unit
from tests.chaos.bugs_rules import BUGS_OF_RULES
from tests.chaos.patches import put
from tests.support.state import remembered_ids


def offsets_before_records() -> None:
    """The group offsets are sent before the records are acknowledged."""

    async def begin(self: Any, partitions: Any) -> None:
        await self.producer.begin(self._settings.group_id)

    async def commit(self: Any, unit: Any) -> None:
        producer = self.producer
        producer.will_write({*unit.outputs, *unit.also_end})
        offsets = {tp: OffsetAndMetadata(offset, "") for tp, offset in unit.offsets.items()}
        await producer.send_offsets_to_transaction(offsets, self._settings.group_id)
        for batches in in_rounds(unit.outputs):
            for written in (await producer.write(batches)).values():
                self.clock.observe(written.time)
        await producer.commit_transaction()

    put(Transactions, "begin", begin)
    put(Transactions, "commit", commit)


def no_generation_fence() -> None:
    """Offsets are committed without generation and member id, which the group accepts from anyone."""
    put(fenced_producer.FencedProducer, "join", lambda self, generation, member_id: None)


def no_owner_fence() -> None:
    """The open transaction of a dead worker stays open until the broker's transaction timeout."""

    async def fence(self: Any, owner: str, unknown_outcome: Any = None) -> None:
        return None

    put(TransactionEnder, "fence", fence)


def fence_last_committed_owner() -> None:
    """Recovery fences the last committed owner, which may be healthy, instead of the owner of the open transaction."""
    restore = TableRows.restore
    owners: dict[int, str] = {}

    async def remember(self: Any, partition: Any, positions: Any, tp: Any, records: Any) -> None:
        await restore(self, partition, positions, tp, records)
        if tp.partition in positions:
            owners[tp.partition] = positions[tp.partition].transactional_id

    async def owner(self: Any, tp: Any, start: int, end: int) -> tuple[str, bool] | None:
        return (owners[tp.partition], True) if tp.partition in owners else None

    put(TableRows, "restore", remember)
    put(TransactionEnder, "_owner", owner)


def recovery_to_stable_offset() -> None:
    """Recovery reads the table only up to the last stable offset: it misses commits whose markers are not written."""

    class StableEnds:
        """Log offsets whose ends are the last stable offsets."""

        def __init__(self, offsets: Any) -> None:
            self._offsets = offsets
            self.ends = offsets.stable

        def __getattr__(self, name: str) -> Any:
            return getattr(self._offsets, name)

    async def read(self: Any, partitions: Any, original: Any = TableLog.read) -> Any:
        offsets, self._offsets = self._offsets, StableEnds(self._offsets)
        try:
            return await original(self, partitions)
        finally:
            self._offsets = offsets

    put(TableLog, "read", read)


def positions_of_the_group() -> None:
    """Recovery seeks to the group's offsets instead of the position record's."""

    async def read(self: Any, partitions: Any, original: Any = TableLog.read) -> Any:
        positions = await original(self, partitions)
        settings = self._offsets._settings
        admin = AIOKafkaAdminClient(**settings.kafka())
        await admin.start()
        try:
            group = await admin.list_consumer_group_offsets(settings.group_id)
        finally:
            await admin.close()
        for number, position in positions.items():
            moved = [
                msgspec.structs.replace(p, offset=group[tp].offset)
                for p in position.positions
                if (tp := TopicPartition(p.topic, number)) in group
            ]
            positions[number] = Position(position.transactional_id, tuple(moved))
        return positions

    put(TableLog, "read", read)


def no_new_producer() -> None:
    """After a lost transactional request the producer is not replaced."""
    put(fenced_producer.FencedProducer, "unsure", property(lambda self: False))


def watchdog_by_wall_clock() -> None:
    """Deadlines fire by the worker's own clock, without the barrier."""
    put(Merge, "reached", lambda self, deadline: time.time_ns() // 1000 >= deadline)

    async def run(self: Any) -> None:
        while True:
            await asyncio.sleep(0.05)
            self._wake()

    put(Barrier, "run", run)
    decide = Engine._decide

    def looking(self: Any) -> bool:
        for task in self.tasks.values():
            timeout = task.partition.next_timeout()
            if timeout is not None and task.merge.reached(timeout.occurred_at):
                self._positions_due.add(task.number)
        return decide(self)

    put(Engine, "_decide", looking)


def barrier_at_stable_offset() -> None:
    """The barrier takes the last stable offset for the end: it misses signals of a producer's open transaction."""

    async def look_up(self: Any, inputs: Any, now: int, original: Any = Barrier._look_up) -> None:
        offsets, self._offsets = self._offsets, SimpleNamespace(ends=self._offsets.stable)
        try:
            await original(self, inputs, now)
        finally:
            self._offsets = offsets

    put(Barrier, "_look_up", look_up)


def deadline_new_after_pause() -> None:
    """A resumed playback gets the full 10 s instead of the remaining time."""
    decide = partitions.decide

    def decided(room: Any, gone: Any, members: Any, signal: Any, now: int, rules: Any) -> Any:
        decision = decide(room, gone, members, signal, now, rules)
        if any(event.EVENT == "conference.play.resumed" for event in decision.events):
            decision.room = msgspec.structs.replace(decision.room, deadline=now + rules.watchdog)
        return decision

    put(partitions, "decide", decided)


def toggle_without_memory() -> None:
    """A repeated pause request toggles again."""
    decide = partitions.decide

    def decided(room: Any, gone: Any, members: Any, signal: Any, now: int, rules: Any) -> Any:
        if signal.TYPE == "conference.pause" and room is not None:
            others = signal_ids.of(i for i in remembered_ids(room.recent) if i != signal.signal_id)
            room = msgspec.structs.replace(room, recent=others)
        return decide(room, gone, members, signal, now, rules)

    put(partitions, "decide", decided)


def redelivery_after_rebalance() -> None:
    """After a rebalance each input is read from one signal before its position."""
    quiesce = Engine.quiesce

    async def again(self: Any) -> None:
        await quiesce(self)
        for task in self.tasks.values():
            for source in task.merge.inputs:
                if source.offset > 0 and source.time:
                    source.offset -= 1
                    source.position = source.offset

    put(Engine, "quiesce", again)


def sequence_anew_after_restore() -> None:
    """A restored room numbers its events from 1 again."""
    _restored(sequence=0)


def recent_not_restored() -> None:
    """A restored room has forgotten its last API signals."""
    _restored(recent=signal_ids.NONE)


def _restored(**changes: Any) -> None:
    """Restore rooms with these changes, whether they stay encoded or not."""
    read, restore = lazy_rooms.read, Partition.restore_room

    def changed(room: Any) -> Any:
        return None if room is None else msgspec.structs.replace(room, **changes)

    def restored(self: Any, room_id: str, room: Any) -> None:
        restore(self, room_id, changed(room))

    put(lazy_rooms, "read", lambda row: changed(read(row)))
    put(Partition, "restore_room", restored)


def deadlines_not_restored() -> None:
    """A restored playback has no deadline."""
    put(Partition, "restored", lambda self: None)


def batch_dropped() -> None:
    """A fetch that a rebalance dropped is not fetched again."""

    def queue(self: Any, generation: int, fetch: Any, original: Any = Intake._queue) -> None:
        source = self._input(fetch.tp)
        if source is not None and generation == self.generation and fetch.start > source.position:
            fetch.start = source.position
        original(self, generation, fetch)

    put(Intake, "_queue", queue)


def queue_lost_on_rebalance() -> None:
    """A rebalance drops the queued signals and does not read them again."""

    def rewind(self: Any, original: Any = Input.rewind) -> None:
        self.offset = self.position
        original(self)

    put(Input, "rewind", rewind)


def stale_table() -> None:
    """A worker that the group had removed keeps its rooms."""
    rebalance = RoomsStore.on_rebalance

    async def kept(self: Any, *args: Any) -> None:
        if self._generation is not None:
            self._generation = args[-1] - 1
        self.app.consumer.expelled = False
        await rebalance(self, *args)

    put(RoomsStore, "on_rebalance", kept)


def tombstone_lost() -> None:
    """A deleted room gets no tombstone."""
    encode_rows, tombstone = Unit.encode_rows, encode_row(b"", None)[1:]  # no row with a value ends so

    def lost(self: Any) -> None:
        encode_rows(self)
        for output in self._outputs.values():
            output.rows = {key: row for key, row in output.rows.items() if not row.endswith(tombstone)}

    put(Unit, "encode_rows", lost)


def rejected_outside_the_transaction() -> None:
    """Rejected signals are written at once, by another producer."""
    begin, commit = Transactions.begin, Transactions.commit
    plain: list[Any] = []

    async def write(rejected: dict[TopicPartition, Any]) -> None:
        for tp, batches in rejected.items():
            for batch in batches:
                for one in MemoryRecords(bytes(batch.build())).next_batch():
                    await plain[0].send(tp.topic, one.value, one.key, tp.partition, headers=one.headers)
        await plain[0].flush()

    async def begin_without(self: Any, partitions: Any) -> None:
        if not plain:
            plain.append(AIOKafkaProducer(**self._settings.kafka()))
            await plain[0].start()
        await begin(self, [tp for tp in partitions if not tp.topic.endswith(".rejected")])

    async def commit_without(self: Any, unit: Any) -> None:
        rejected = [tp for tp in unit.outputs if tp.topic.endswith(".rejected")]
        written = asyncio.create_task(write({tp: unit.outputs.pop(tp) for tp in rejected}))
        await commit(self, unit)
        await written

    put(Transactions, "begin", begin_without)
    put(Transactions, "commit", commit_without)


def merge_without_waiting() -> None:
    """API signals are applied without waiting for the other topic."""

    def following(self: Any) -> Any:
        return self.api if self.api.queue else self.media if self.media.queue else None

    put(Merge, "next", following)


def no_grace() -> None:
    """The barrier accepts a log end that was read a second before the deadline."""

    def reached(self: Any, deadline: int, original: Any = Input.reached) -> bool:
        return bool(original(self, deadline - GRACE - 1_000_000))

    put(Input, "reached", reached)


BUGS: Final[dict[str, Callable[[], None]]] = {
    bug.__name__: bug
    for bug in (
        offsets_before_records,
        no_generation_fence,
        no_owner_fence,
        fence_last_committed_owner,
        recovery_to_stable_offset,
        positions_of_the_group,
        no_new_producer,
        watchdog_by_wall_clock,
        barrier_at_stable_offset,
        deadline_new_after_pause,
        toggle_without_memory,
        redelivery_after_rebalance,
        sequence_anew_after_restore,
        recent_not_restored,
        deadlines_not_restored,
        batch_dropped,
        queue_lost_on_rebalance,
        stale_table,
        tombstone_lost,
        rejected_outside_the_transaction,
        merge_without_waiting,
        no_grace,
        *BUGS_OF_RULES,
    )
}


def patch(name: str) -> str:
    """Return the `RunConfig.patch` that gives the workers a bug. Raises KeyError if there is no such bug."""
    return f"{BUGS[name].__module__}:{name}"
