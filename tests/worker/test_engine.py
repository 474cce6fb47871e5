"""The engine alone: slices, units, and what is decided while a unit is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.kafka.record_batch import Batch
from pipeline.model.wire import decode_member, decode_room
from pipeline.worker.engine import SLICE
from pipeline.worker.transactions import BrokerClock, SealedUnit
from pipeline.worker.unit import MAX_SIGNALS
from testkit.engine import Core, stream

ROOMS, MEMBERS = 5, 3


class OpenTransactions:
    """A writer whose transactions end when they are told to."""

    def __init__(self) -> None:
        self.clock = BrokerClock()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.begun.set()
        self.places: list[set[TopicPartition]] = []
        self.outputs: list[Mapping[TopicPartition, Iterable[Batch]]] = []
        self.done: list[int] = []
        """Signals that had been decided when each of them was closed."""

    async def write(self, places: set[TopicPartition], close: Callable[[], SealedUnit]) -> SealedUnit:
        self.places.append(places)
        await self.begun.wait()
        unit = close()
        self.outputs.append(unit.outputs)
        self.done.append(sum(unit.offsets.values()))
        await self.go_on.wait()
        return unit


def queued(signals: int, partitions: int = 1) -> tuple[Core, Any]:
    """An engine with so much to do, and its writer."""
    core, writer = Core(ROOMS, MEMBERS, partitions), OpenTransactions()
    core.engine._writer = writer  # type: ignore[assignment]
    for number, topic, record in stream(core, signals, ROOMS, MEMBERS):
        source: Input = getattr(core.lanes[number].merge, topic)
        source.fetched((record,), record.offset + 1, record.offset + 1)
    for lane in core.lanes.values():
        for source in lane.merge.inputs:
            source.end = source.position
    return core, writer


async def test_the_next_unit_is_decided_while_a_full_one_is_written() -> None:
    """Nobody needs to wake the engine for it: what is queued is enough."""
    core, writer = queued(MAX_SIGNALS + 300)
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not writer.outputs:
            await asyncio.sleep(0.001)
        while core.engine._unit.signals < 300:
            await asyncio.sleep(0.001)
        assert len(writer.outputs) == 1
        writer.go_on.set()
        while len(writer.outputs) < 2:
            await asyncio.sleep(0.001)
        await core.engine.stop()
        await running


async def test_what_comes_while_the_broker_begins_is_of_the_same_unit() -> None:
    """It stays open until then, or until it is full; then the next one is decided without a word from anybody."""
    core, writer = queued(MAX_SIGNALS + 3 * SLICE)
    writer.begun.clear()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not core.engine._unit.full:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert core.engine._unit.signals == MAX_SIGNALS
        assert len(writer.places) == 1
        writer.begun.set()
        while core.engine._unit.signals != 3 * SLICE:
            await asyncio.sleep(0.001)
        assert writer.done == [MAX_SIGNALS]
        writer.go_on.set()
        await core.engine.stop()
        await running
    assert writer.done == [MAX_SIGNALS, MAX_SIGNALS + 3 * SLICE]
    assert writer.places[0] <= writer.outputs[0].keys()
    assert writer.places[1] == writer.outputs[1].keys()


async def test_a_writer_that_is_free_waits_for_little_more_than_the_last_unit() -> None:
    """In a backlog, units grow to their full size; but none waits until all is decided."""
    core, writer = queued(40 * SLICE)
    writer.go_on.set()
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not writer.done or writer.done[-1] < 40 * SLICE:
            await asyncio.sleep(0.001)
        await core.engine.stop()
        await running
    sizes = [after - before for before, after in pairwise([0, *writer.done])]
    assert sizes[0] == SLICE
    assert len(sizes) > 5
    for last, unit in pairwise(sizes[:-1]):
        assert 1.25 * last <= unit <= 1.25 * last + 4 * SLICE


def closed_with_queued(decided: int, queued_behind: int) -> tuple[int, int]:
    """The signals of a unit that is closed when so many are queued behind it, and how many are enough for the next."""
    core, _ = queued(decided + queued_behind)
    while core.engine._unit.signals < decided:
        core.engine._decide()
    size = core.engine._unit.signals
    core.engine._close()
    return size, core.engine._enough


@pytest.mark.parametrize(
    ("behind", "enough"),
    [(8 * SLICE + 1, 10 * SLICE), (8 * SLICE, 8 * SLICE), (4 * SLICE, 8 * SLICE), (4 * SLICE - 1, 6 * SLICE)],
)
def test_units_grow_in_a_backlog_and_shrink_close_to_the_end_of_the_log(behind: int, enough: int) -> None:
    """There, one that waits to be as large as the last makes all that is in it late."""
    assert closed_with_queued(8 * SLICE, behind) == (8 * SLICE, enough)


def test_busy_lanes_take_turns_of_an_equal_share_of_a_unit() -> None:
    """Each stays at work for a while, and none waits for longer than a unit."""
    core, _ = queued(2 * MAX_SIGNALS, partitions=2)
    share = MAX_SIGNALS // 2
    assert all(lane.merge.queued > share + SLICE for lane in core.lanes.values())
    before, turns = {number: lane.merge.queued for number, lane in core.lanes.items()}, []
    while not core.engine._unit.full:
        core.engine._decide()
        for number, lane in core.lanes.items():
            if done := before[number] - lane.merge.queued:
                turns.append((number, done))
                before[number] = lane.merge.queued
    assert sum(done for _, done in turns) == MAX_SIGNALS
    order = [number for number, _ in turns]
    assert order == sorted(order)
    for number in core.lanes:
        assert sum(done for other, done in turns if other == number) == share


def test_a_lane_with_little_to_do_waits_for_no_busy_one() -> None:
    core, _ = queued(100 * SLICE, partitions=2)
    for source in core.lanes[1].merge.inputs:
        while len(source.queue) > 3:
            source.applied(source.queue[0], source.time)
    assert core.lanes[1].merge.queued == 6
    assert core.engine._decide()
    assert core.lanes[1].merge.queued == 0
    assert core.engine._unit.signals == SLICE


def test_an_engine_is_idle_when_nobody_waits_for_an_input() -> None:
    """Then polls may take their time: no signal is queued, and no watchdog runs."""
    core, _ = queued(0)
    [lane] = core.lanes.values()
    assert lane.partition.armed
    assert not core.engine.idle()
    lane.partition.armed = 0
    assert core.engine.idle()
    lane.merge.media.queue.append(Record(0, 0, b"room", b"{}", ()))
    assert not core.engine.idle()


async def test_a_row_is_written_once_a_unit_with_its_last_value() -> None:
    """Rows are encoded turn by turn; of each, the last one counts."""
    core, writer = queued(10 * SLICE)
    running = asyncio.create_task(core.engine.run())
    async with asyncio.timeout(60):
        while not writer.outputs:
            await asyncio.sleep(0.001)
        writer.go_on.set()
        await core.engine.stop()
        await running
    [batches] = [said for tp, said in writer.outputs[-1].items() if tp.topic.endswith(".rooms")]
    rows = [(bytes(record.key), record.value) for batch in batches for record in read(batch)]
    found = dict(rows)
    assert len(found) == len(rows) > ROOMS
    partition = core.lanes[0].partition
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
    """Its records, as a consumer reads them."""
    records, found = MemoryRecords(bytes(batch._build())), []
    while records.has_next():
        found += list(records.next_batch())
    return found
