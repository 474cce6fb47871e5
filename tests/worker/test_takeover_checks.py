"""What a worker checks before it continues partitions: other groups, and rows that the table has lost."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.admin.signal_loss import Log, Place
from pipeline.admin.table_loss import lost_rows, offset_text
from pipeline.errors import LossError
from pipeline.kafka.admin import admin_client
from pipeline.kafka.group_offsets import committed_offsets
from pipeline.model import signals as s
from pipeline.model.records import Position, TopicPosition
from pipeline.topics import ROOMS
from pipeline.worker.takeover import places
from testkit.pipe import Pipe
from tests.support.topics import T, alter, ended, positions, recreate, recreate_at_once, volumes, write_position

CREATE = s.ConferenceCreate("c", "room", T, "app", "name")
TP = TopicPartition("api", 3)


# --- positions -----------------------------------------------------------------------------------------------


def known(offset: int, topic_id: str = "") -> dict[TopicPartition, TopicPosition]:
    return {TP: TopicPosition("api", 3, offset, 77, topic_id)}


@pytest.mark.parametrize(
    ("recorded", "now", "text", "accepted"),
    [
        (known(5), Log("", 7, 9), r"2 signals of api partition 3 were deleted unread \(offsets 5 to 6\)", (7, 77, "")),
        (known(5), Log("", 1, 4), "api partition 3 ends at offset 4, before .*: it was created again", (1, 0, "")),
        (known(5), Log("B", 1, 4), "it was created again; the position was 5 on partition 3", (1, 0, "B")),
        (known(5, "A"), Log("A", 1, 4), "Kafka has lost its last signals", (4, 77, "A")),
        (known(5, "A"), Log("B", 1, 9), r"topic api was deleted and created again \(id A, now B\)", (1, 0, "B")),
    ],
)
def test_a_position_that_the_log_does_not_have(
    recorded: dict[TopicPartition, TopicPosition], now: Log, text: str, accepted: tuple[int, int, str]
) -> None:
    with pytest.raises(LossError, match=text):
        places(recorded, {TP: now}, accept_loss=False)
    assert places(recorded, {TP: now}, accept_loss=True) == {TP: Place(*accepted)}


@pytest.mark.parametrize(
    ("recorded", "now", "expected"),
    [
        (known(5), Log("", 2, 9), (5, 77, "")),
        (known(5), Log("A", 2, 9), (5, 77, "A")),
        (known(5, "A"), Log("", 5, 5), (5, 77, "")),
        (known(5, "A"), Log("A", 2, 9), (5, 77, "A")),
        ({}, Log("A", 2, 9), (2, 0, "A")),
    ],
)
def test_a_position_that_the_log_has(
    recorded: dict[TopicPartition, TopicPosition], now: Log, expected: tuple[int, int, str]
) -> None:
    assert places(recorded, {TP: now}, accept_loss=False) == {TP: Place(*expected)}


def test_all_losses_are_named_at_once() -> None:
    other = TopicPartition("api", 4)
    recorded = {TP: TopicPosition("api", 3, 5, 0, "A"), other: TopicPosition("api", 4, 6, 0, "A")}
    with pytest.raises(LossError, match="; the position was 5 on partition 3, 6 on partition 4: to continue"):
        places(recorded, {TP: Log("B", 0, 9), other: Log("B", 0, 9)}, accept_loss=False)


# --- rows ----------------------------------------------------------------------------------------------------


def test_offsets_that_prove_that_rows_are_lost() -> None:
    position = Position("w", (TopicPosition("api", 3, 5, 0),))
    worked = OffsetAndMetadata(5, offset_text("R"))
    assert lost_rows({TP: worked}, {3: position}, "R") == {}
    assert lost_rows({TP: worked}, {3: position}, "") == {}
    assert lost_rows({}, {}, "R") == {}
    assert lost_rows({TP: OffsetAndMetadata(0, offset_text("Q"))}, {}, "R") == {}, "nothing had been processed"
    assert lost_rows({TP: OffsetAndMetadata(9, "")}, {}, "R") == {}, "set by a tool"
    assert "but the table has no position" in lost_rows({TP: worked}, {}, "R")[3]
    assert "(id R, now Q)" in lost_rows({TP: worked}, {3: position}, "Q")[3]
    older = OffsetAndMetadata(6, offset_text("R"))
    assert "up to offset 6, but the table's position is 5" in lost_rows({TP: older}, {3: position}, "R")[3]


@pytest.mark.broker
async def test_a_lost_table_stops_the_worker_until_accepted(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE, *volumes(0, 2))
        before = await pipe.until_events(3)
        assert worker.stop() == 0
    await recreate(pipe, "rooms")
    with pipe.worker(ready=False) as worker:
        code, message = await ended(worker)
    assert code == 2
    number, topic = pipe.partition("room"), pipe.topic("api.signals")
    assert message.startswith(
        f"{pipe.topic('rooms')} has lost rows of partition {number}: the group has processed {topic} partition "
        f"{number} up to offset 3, but the table has no position; see docs/howto/runbook.md"
    )
    assert len(await pipe.events()) == 3, "nothing was published again"
    with pipe.worker("--accept-loss") as worker:
        assert await pipe.until_events(6) == before * 2
        assert worker.stop() == 0
    with pipe.worker() as worker:
        await pipe.send(*volumes(9, 1))
        await pipe.until_events(7)


@pytest.mark.broker
async def test_a_table_created_again_ends_this_worker_and_the_next(pipe: Pipe) -> None:
    """The new topic has the worker's later positions, but not the rows before them."""
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        await recreate_at_once(pipe, "rooms")
        await pipe.send(*volumes(0, 2))
        code, message = await ended(worker)
    assert code == 2
    assert message.startswith(f"{pipe.topic('rooms')} was deleted and created again while this worker ran")
    with pipe.worker(ready=False) as worker:
        code, message = await ended(worker)
    assert (code, "has lost rows of partition" in message) == (2, True)


@pytest.mark.broker
async def test_one_truncated_partition_of_the_table_stops_the_worker(pipe: Pipe) -> None:
    """As a broker that lost a disk leaves it."""
    rooms = [next(f"r-{n}" for n in range(99) if pipe.partition(f"r-{n}") == number) for number in (1, 2)]
    with pipe.worker() as worker:
        await pipe.send(*(s.ConferenceCreate("c", room, T, "app", "name") for room in rooms))
        await pipe.until_events(2)
        assert worker.stop() == 0
    await alter(pipe, "rooms", {**ROOMS.config, "cleanup.policy": "delete"})
    async with admin_client(pipe.settings) as admin:
        await admin.delete_records({TopicPartition(pipe.topic("rooms"), 1): RecordsToDelete(-1)})
    await alter(pipe, "rooms", ROOMS.config)
    with pipe.worker(ready=False) as worker:
        code, message = await ended(worker)
    assert (code, "has lost rows of partition 1: " in message) == (2, True)


@pytest.mark.broker
async def test_a_table_that_lost_its_end_stops_the_worker(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE, *volumes(0, 4))
        await pipe.until_events(5)
        assert worker.stop() == 0
    number = pipe.partition("room")
    last = (await positions(pipe))[number]
    older = [TopicPosition(p.topic, number, max(0, p.offset - 3), p.time, p.topic_id) for p in last.positions]
    await write_position(pipe, number, Position(last.transactional_id, tuple(older), last.group_id))
    with pipe.worker(ready=False) as worker:
        code, message = await ended(worker)
    assert (code, "up to offset 5, but the table's position is 2; see docs" in message) == (2, True)


@pytest.mark.broker
async def test_offsets_that_a_tool_has_set_change_nothing(pipe: Pipe) -> None:
    from aiokafka import AIOKafkaConsumer

    tps = [TopicPartition(pipe.topic(f"{kind}.signals"), pipe.partition("room")) for kind in ("api", "media")]
    await pipe.send(CREATE, *volumes(0, 4))
    async with AIOKafkaConsumer(**pipe.settings.kafka(), group_id=pipe.settings.group_id) as tool:
        tool.assign(tps)
        await tool.commit(dict.fromkeys(tps, 4))
    with pipe.worker() as worker:
        assert len(await pipe.until_events(5)) == 5
        assert worker.stop() == 0
    async with admin_client(pipe.settings) as admin:
        found = await committed_offsets(admin, pipe.settings.group_id, tps)
    assert [(one.offset, one.metadata[:6]) for one in found.values()] == [(5, "table "), (0, "table ")]


# --- groups --------------------------------------------------------------------------------------------------


@pytest.mark.broker
async def test_a_second_group_ends_while_the_first_has_members(pipe: Pipe) -> None:
    """Also when no signal has come yet, and without harm to the first."""
    other = f"{pipe.prefix}-other"
    with pipe.worker() as first:
        async with asyncio.timeout(30):
            while len(await positions(pipe)) < pipe.settings.partitions:
                await asyncio.sleep(0.1)
        with pipe.worker(ready=False, PIPELINE_GROUP_ID=other) as second:
            code, message = await ended(second)
        assert code == 2
        assert message.startswith(f"group '{pipe.settings.group_id}' works on topics {pipe.prefix}.* and has members")
        await pipe.send(CREATE)
        await pipe.until_events(1)
        with pipe.worker(ready=False, PIPELINE_GROUP_ID=other) as second:
            assert (await ended(second))[0] == 2
        await pipe.send(*volumes(0, 1))
        await pipe.until_events(2)
        assert first.stop() == 0
    with pipe.worker(PIPELINE_GROUP_ID=other) as second:
        line = second.until_log("continue after another group, which has no members")
        assert line["group"] == pipe.settings.group_id
        async with asyncio.timeout(30):
            while {one.group_id for one in (await positions(pipe)).values()} != {other}:
                await asyncio.sleep(0.1)
        with pipe.worker(ready=False) as back:
            assert (await ended(back))[0] == 2
        await pipe.send(*volumes(1, 1))
        assert len(await pipe.until_events(3)) == 3
