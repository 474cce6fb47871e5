"""How a table is read where brokers are slow or change, and who is fenced for what holds it back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import errors as Errors

from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.transaction_state import ending
from pipeline.model import signals as s
from pipeline.worker import recovery as module
from pipeline.worker.recovery import Recovery
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
CREATE = s.ConferenceCreate("c", "room", 1_795_354_386_106_600, "app", "name")


@contextlib.asynccontextmanager
async def recovering(pipe: Pipe) -> AsyncIterator[Recovery]:
    async with Registry(pipe.settings) as registry:
        recovery = Recovery(pipe.settings, registry)
        try:
            await recovery.start()
            yield recovery
        finally:
            await recovery.stop()


async def a_room(pipe: Pipe) -> int:
    """A room that a worker has made; its partition."""
    with pipe.worker():
        await pipe.send(CREATE)
        await pipe.until_events(1)
    return pipe.partition("room")


async def test_a_table_is_read_where_aiokafka_cannot_find_its_beginning(pipe: Pipe) -> None:
    """Its consumer asks the broker that it takes for the leader where a log begins, again and again, and does not look
    for another one until its metadata are old: a worker that started while a leader changed stood still for 131 s."""

    async def asked_in_vain(*_: object) -> bool:
        await asyncio.sleep(0.1)
        return False

    number = await a_room(pipe)
    async with recovering(pipe) as recovery:
        recovery._committed._fetcher._update_fetch_positions = asked_in_vain
        lanes = await asyncio.wait_for(recovery.load([number]), 30)
    assert list(lanes[number].partition.rooms) == ["room"]


async def test_nobody_is_fenced_because_a_broker_is_slow(pipe: Pipe) -> None:
    """Who wrote the log last may well live: workers that fenced each other for this did so for a minute."""
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        async with recovering(pipe) as recovery:
            getmany, slow_until = recovery._committed.getmany, time.monotonic() + 2

            async def slowly(*partitions: Any, timeout_ms: int) -> Any:
                if time.monotonic() > slow_until:
                    return await getmany(*partitions, timeout_ms=timeout_ms)
                await asyncio.sleep(timeout_ms / 1000)
                return {}

            recovery._committed.getmany = slowly
            lanes = await recovery.load([pipe.partition("room")])
            assert recovery.seconds > 2
            assert recovery.fenced == 0
        assert [list(lane.partition.rooms) for lane in lanes.values()] == [["room"]]
        await pipe.send(s.ConferenceVolume("v", "room", CREATE.occurred_at, 1, "volume"))
        await pipe.until_events(2)
        assert worker.stop() == 0


async def test_who_left_a_transaction_open_behind_a_gap_is_fenced(pipe: Pipe) -> None:
    """Compaction may have removed what was last before it, so that our position never gets to where it begins."""
    number = await a_room(pipe)
    dead = await pipe.left_open(f"{pipe.prefix}-dead")
    async with recovering(pipe) as recovery:
        table = recovery.table(number)
        begins = (await recovery.stable([table]))[table]
        position = recovery._committed.position

        async def before_the_gap(tp: Any) -> int:
            known = await position(tp)
            return int(known - 1 if known == begins else known)

        recovery._committed.position = before_the_gap
        lanes = await asyncio.wait_for(recovery.load([number]), 30)
        assert recovery.seconds > module.GAP_SECONDS
        assert recovery.fenced == 1
    assert list(lanes[number].partition.rooms) == ["room"]
    await dead.stop()


async def test_a_commit_that_is_on_its_way_is_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker may live: it gave a partition away, and committed before. Markers take a slow broker a while."""
    number = await a_room(pipe)
    owner = await pipe.left_open(f"{pipe.prefix}-other")
    asked = 0

    async def answer(_: object, transactional_id: str) -> bool:
        nonlocal asked
        assert transactional_id == f"{pipe.prefix}-other"
        asked += 1
        if asked == 1:
            raise Errors.CoordinatorNotAvailableError
        if asked == 3:
            await owner.commit_transaction()
        return True

    monkeypatch.setattr(module, "ending", answer)
    async with recovering(pipe) as recovery:
        lanes = await asyncio.wait_for(recovery.load([number]), 30)
        assert recovery.fenced == 0
    assert asked >= 3
    assert lanes[number].owner == f"{pipe.prefix}-other"
    await owner.begin_transaction()  # it was not fenced
    await owner.stop()


async def test_what_the_coordinator_says_of_a_transaction(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await pipe.left_open(f"{pipe.prefix}-owner")
    async with recovering(pipe) as recovery:
        reader = recovery._everything
        assert not await ending(reader, f"{pipe.prefix}-owner")  # Ongoing
        assert not await ending(reader, f"{pipe.prefix}-nobody")
        await owner.commit_transaction()
        assert await _settles(reader, f"{pipe.prefix}-owner")
        send = reader._client.send

        async def preparing(node_id: int, request: Any, **options: Any) -> Any:
            answer = await send(node_id, request, **options)
            if hasattr(answer, "transaction_states"):
                [(code, name, _, *rest)] = answer.transaction_states
                answer.transaction_states = [(code, name, "PrepareCommit", *rest)]
            return answer

        monkeypatch.setattr(reader._client, "send", preparing)
        assert await ending(reader, f"{pipe.prefix}-owner")
    await owner.stop()


async def _settles(reader: Any, transactional_id: str) -> bool:
    """Whether a transaction that was committed has all of its markers soon."""
    for _ in range(50):
        if not await ending(reader, transactional_id):
            return True
        await asyncio.sleep(0.1)
    return False
