"""The engine alone: slices, units, and what is decided while a unit is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.errors import FencedError
from pipeline.kafka.record_batch import Batch
from pipeline.model.wire import decode_member, decode_room
from pipeline.settings import Settings
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.engine import SLICE_SIGNALS
from pipeline.worker.transactions import SealedUnit
from pipeline.worker.unit import MAX_SIGNALS
from testkit.engine import Core, stream
from tests.support.worker import a_task, an_engine

ROOMS, MEMBERS = 5, 3


class ControlledTransactions:
    """Transactions that begin while `begun` is set, and end when `proceed` is."""

    def __init__(self) -> None:
        self.clock = BrokerClock()
        self.renewed = 0
        self.begun, self.proceed = asyncio.Event(), asyncio.Event()
        self.begun.set()
        self.announced: list[set[TopicPartition]] = []
        self.times: list[float] = []
        """When each unit began, in seconds of the loop's clock."""
        self.outputs: list[Mapping[TopicPartition, Iterable[Batch]]] = []
        self.done: list[int] = []
        """Signals that had been decided when each unit was sealed."""

    async def begin(self, partitions: set[TopicPartition]) -> None:
        self.announced.append(partitions)
        self.times.append(asyncio.get_running_loop().time())
        await self.begun.wait()

    async def commit(self, unit: SealedUnit) -> None:
        self.outputs.append(unit.outputs)
        self.done.append(sum(unit.offsets.values()))
        await self.proceed.wait()


def queued(signals: int, partitions: int = 1, **settings: Any) -> tuple[Core, ControlledTransactions]:
    """An engine with this many signals queued, and its transactions."""
    transactions = ControlledTransactions()
    core = Core(ROOMS, MEMBERS, partitions, transactions, **settings)
    for number, topic, record in stream(core, signals, ROOMS, MEMBERS):
        source: Input = getattr(core.tasks[number].merge, topic)
        source.fetched((record,), record.offset + 1, record.offset + 1)
    for task in core.tasks.values():
        for source in task.merge.inputs:
            source.fetched((), source.position, source.position)
    return core, transactions


async def test_the_next_unit_is_decided_while_one_is_written() -> None:
    """Queued signals are enough: nothing else needs to wake the engine."""
    core, transactions = queued(MAX_SIGNALS + 300)
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not transactions.outputs:
            await asyncio.sleep(0.001)
        while core.engine._unit.signals < 300:
            await asyncio.sleep(0.001)
        assert len(transactions.outputs) == 1
        transactions.proceed.set()
        while len(transactions.outputs) < 2:
            await asyncio.sleep(0.001)
        await core.engine.stop()
        await running


async def test_signals_join_a_unit_until_its_transaction_has_begun() -> None:
    """Or until the unit is full. Then the next one is decided."""
    core, transactions = queued(MAX_SIGNALS + 3 * SLICE_SIGNALS)
    transactions.begun.clear()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not core.engine._unit.full:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert core.engine._unit.signals == MAX_SIGNALS
        assert len(transactions.announced) == 1
        transactions.begun.set()
        while core.engine._unit.signals != 3 * SLICE_SIGNALS:
            await asyncio.sleep(0.001)
        assert transactions.done == [MAX_SIGNALS]
        transactions.proceed.set()
        await core.engine.stop()
        await running
    assert transactions.done == [MAX_SIGNALS, MAX_SIGNALS + 3 * SLICE_SIGNALS]
    assert transactions.announced[0] <= transactions.outputs[0].keys()
    assert transactions.announced[1] == transactions.outputs[1].keys()


async def test_units_begin_no_sooner_than_the_commit_interval() -> None:
    core, transactions = queued(SLICE_SIGNALS, commit_interval_ms=200)
    transactions.proceed.set()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        for number in (1, 2, 3):
            core.engine.request_broker_time(0)
            while len(transactions.done) < number:
                await asyncio.sleep(0.001)
        await core.engine.stop()
        await running
    assert all(after - before >= 0.2 for before, after in pairwise(transactions.times))


async def test_a_full_unit_and_the_last_do_not_wait() -> None:
    core, transactions = queued(2 * MAX_SIGNALS, commit_interval_ms=1)
    core.engine._interval = 3600.0
    transactions.proceed.set()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while sum(transactions.done[-1:]) < MAX_SIGNALS:
            await asyncio.sleep(0.001)
        while not core.engine._unit.signals:
            await asyncio.sleep(0.001)
        await core.engine.stop()
        await running
    assert transactions.done[-1] - transactions.done[-2] > 0, "stopping writes what is decided"
    assert transactions.done[-2] >= MAX_SIGNALS


async def test_a_unit_is_little_larger_than_the_one_before() -> None:
    """In a backlog units grow to their maximum, but none waits until everything is decided."""
    core, transactions = queued(40 * SLICE_SIGNALS)
    transactions.proceed.set()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not transactions.done or transactions.done[-1] < 40 * SLICE_SIGNALS:
            await asyncio.sleep(0.001)
        await core.engine.stop()
        await running
    sizes = [after - before for before, after in pairwise([0, *transactions.done])]
    assert sizes[0] == SLICE_SIGNALS
    assert len(sizes) > 5
    for last, unit in pairwise(sizes[:-1]):
        assert 1.25 * last <= unit <= 1.25 * last + 4 * SLICE_SIGNALS


def sealed_with_queued(decided: int, queued_behind: int) -> tuple[int, int]:
    """Return the signals of a unit, sealed with these queued behind it, and how many are enough for the next."""
    core, _ = queued(decided + queued_behind)
    while core.engine._unit.signals < decided:
        core.engine._decide()
    size = core.engine._unit.signals
    core.engine._seal()
    return size, core.engine._enough


@pytest.mark.parametrize(
    ("behind", "enough"),
    [
        (8 * SLICE_SIGNALS + 1, 10 * SLICE_SIGNALS),
        (8 * SLICE_SIGNALS, 8 * SLICE_SIGNALS),
        (4 * SLICE_SIGNALS, 8 * SLICE_SIGNALS),
        (4 * SLICE_SIGNALS - 1, 6 * SLICE_SIGNALS),
    ],
)
def test_units_grow_in_a_backlog_and_shrink_after_it(behind: int, enough: int) -> None:
    """Near the end of the log, a unit that waits to be as large as the last delays its signals."""
    assert sealed_with_queued(8 * SLICE_SIGNALS, behind) == (8 * SLICE_SIGNALS, enough)


def test_busy_tasks_take_turns_of_equal_shares() -> None:
    """Each keeps its turn for a share of a unit, and none waits longer than a unit."""
    core, _ = queued(2 * MAX_SIGNALS, partitions=2)
    share = MAX_SIGNALS // 2
    assert all(task.merge.queued > share + SLICE_SIGNALS for task in core.tasks.values())
    before, turns = {number: task.merge.queued for number, task in core.tasks.items()}, []
    while not core.engine._unit.full:
        core.engine._decide()
        for number, task in core.tasks.items():
            if done := before[number] - task.merge.queued:
                turns.append((number, done))
                before[number] = task.merge.queued
    assert sum(done for _, done in turns) == MAX_SIGNALS
    order = [number for number, _ in turns]
    assert order == sorted(order)
    for number in core.tasks:
        assert sum(done for other, done in turns if other == number) == share


def test_a_task_with_little_queued_goes_first() -> None:
    core, _ = queued(100 * SLICE_SIGNALS, partitions=2)
    for source in core.tasks[1].merge.inputs:
        while len(source.queue) > 3:
            source.applied(source.queue[0], source.time)
    assert core.tasks[1].merge.queued == 6
    assert core.engine._decide()
    assert core.tasks[1].merge.queued == 0
    assert core.engine._unit.signals == SLICE_SIGNALS


def test_an_intake_is_idle_without_signals_and_watchdogs() -> None:
    """Then polls may take longer."""
    core, _ = queued(0)
    [task] = core.tasks.values()
    assert task.partition.armed
    assert not core.engine.intake.idle()
    task.partition.armed = 0
    assert core.engine.intake.idle()
    task.merge.media.queue.append(Record(0, 0, b"room", b"{}", b""))
    assert not core.engine.intake.idle()


async def test_a_row_is_written_once_per_unit() -> None:
    """Rows are encoded several times in a unit; the last one is written."""
    core, transactions = queued(10 * SLICE_SIGNALS)
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not transactions.outputs:
            await asyncio.sleep(0.001)
        transactions.proceed.set()
        await core.engine.stop()
        await running
    [batches] = [written for tp, written in transactions.outputs[-1].items() if tp.topic.endswith(".rooms")]
    rows = [(bytes(record.key), record.value) for batch in batches for record in read(batch)]
    found = dict(rows)
    assert len(found) == len(rows) > ROOMS
    partition = core.tasks[0].partition
    kept = 0
    for key, value in rows[1:]:  # the first one is the position
        if key.startswith(b'["room"'):
            room = decode_room(value)
            assert room == partition.rooms[room.room_id]
        elif value is not None:
            member = decode_member(value)
            assert member == partition.members[member.room_id][member.session_uuid]
        kept += value is not None
    assert kept >= ROOMS


def read(batch: Batch) -> list[Any]:
    """Return the records of a batch, as a consumer reads them."""
    records, found = MemoryRecords(bytes(batch.build())), []
    while records.has_next():
        found += list(records.next_batch())
    return found


async def test_nothing_is_written_after_a_unit_that_failed(settings: Settings) -> None:
    """The next unit is decided while one is written. A process that ends stops its engine, which must not commit that
    unit: it was decided as if the failed one had been committed."""
    written: list[dict[TopicPartition, int]] = []
    answer = asyncio.Event()

    class Fenced(ControlledTransactions):
        def join(self, generation: int, member_id: str) -> None:
            """Do nothing."""

        async def commit(self, unit: SealedUnit) -> None:
            written.append(unit.offsets)
            await answer.wait()
            raise FencedError("fenced")

    engine = an_engine(settings, Fenced())
    engine.tasks[0] = a_task(0)
    running = asyncio.create_task(engine.run())
    engine.resume(1, "me")
    engine.request_broker_time(0)
    while not written:
        await asyncio.sleep(0.01)
    engine.request_broker_time(0)
    while not engine._unit:
        await asyncio.sleep(0.01)
    answer.set()
    with pytest.raises(FencedError):
        await asyncio.wait_for(running, 10)
    for ending in (engine.quiesce, engine.stop):
        await asyncio.wait_for(ending(), 10)
    assert len(written) == 1
