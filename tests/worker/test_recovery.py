"""Loading tasks when brokers are slow or change, and whom a blocked load fences."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from aiokafka import errors as Errors

from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.transaction_state import is_ending
from pipeline.metrics import Metrics
from pipeline.model import signals as s
from pipeline.worker import hanging_transactions, table_log
from pipeline.worker.hanging_transactions import TransactionEnder
from pipeline.worker.recovery import Recovery
from pipeline.worker.table_log import TableLog
from pipeline.worker.table_rows import TableRows
from pipeline.worker.topic_watch import TopicWatch
from pipeline.worker.transactions import Transactions
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
CREATE = s.ConferenceCreate("c", "room", 1_795_354_386_106_600, "app", "name")


class Loader(NamedTuple):
    """A Recovery and what it works with."""

    recovery: Recovery
    offsets: LogOffsets
    ender: TransactionEnder


@contextlib.asynccontextmanager
async def loading(pipe: Pipe) -> AsyncIterator[Loader]:
    async with Registry(pipe.settings) as registry:
        offsets, rows = LogOffsets(pipe.settings), TableRows(registry)
        transactions = Transactions(pipe.settings, offsets)
        ender = TransactionEnder(pipe.settings, offsets, rows, transactions)
        watch = TopicWatch(pipe.settings, offsets, Metrics())
        recovery = Recovery(pipe.settings, offsets, TableLog(offsets, rows, ender), watch)
        try:
            await offsets.start()
            yield Loader(recovery, offsets, ender)
        finally:
            await offsets.stop()


async def a_room(pipe: Pipe) -> int:
    """Let a worker create a room. Return its partition number."""
    with pipe.worker():
        await pipe.send(CREATE)
        await pipe.until_events(1)
    return pipe.partition("room")


async def test_a_table_loads_while_the_leader_changes(pipe: Pipe) -> None:
    """aiokafka asks a broker that no longer leads where a log begins, until its metadata are old: a worker that started
    while a leader changed stood still for 131 s."""

    async def no_answer(*_: object) -> bool:
        await asyncio.sleep(0.1)
        return False

    number = await a_room(pipe)
    async with loading(pipe) as (recovery, offsets, _ender):
        offsets.committed._fetcher._update_fetch_positions = no_answer
        tasks = await asyncio.wait_for(recovery.load([number]), 30)
    assert list(tasks[number].partition.rooms) == ["room"]


async def test_a_slow_broker_gets_no_worker_fenced(pipe: Pipe) -> None:
    """The last owner of the log may be alive: workers fenced each other for this, for a minute."""
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        async with loading(pipe) as (recovery, offsets, ender):
            getmany, slow_until = offsets.committed.getmany, time.monotonic() + 2

            async def slowly(*partitions: Any, timeout_ms: int) -> Any:
                if time.monotonic() > slow_until:
                    return await getmany(*partitions, timeout_ms=timeout_ms)
                await asyncio.sleep(timeout_ms / 1000)
                return {}

            offsets.committed.getmany = slowly
            tasks = await recovery.load([pipe.partition("room")])
            assert recovery.seconds > 2
            assert ender.fenced == 0
        assert [list(task.partition.rooms) for task in tasks.values()] == [["room"]]
        await pipe.send(s.ConferenceVolume("v", "room", CREATE.occurred_at, 1, "volume"))
        await pipe.until_events(2)
        assert worker.stop() == 0


async def test_an_open_transaction_after_a_gap_is_ended(pipe: Pipe) -> None:
    """Compaction may have removed the records before it, so that the position never reaches its beginning."""
    number = await a_room(pipe)
    dead = await pipe.left_open(f"{pipe.prefix}-dead")
    async with loading(pipe) as (recovery, offsets, ender):
        table = recovery.table(number)
        begins = (await offsets.stable([table]))[table]
        position = offsets.committed.position

        async def before_the_gap(tp: Any) -> int:
            known = await position(tp)
            return int(known - 1 if known == begins else known)

        offsets.committed.position = before_the_gap
        tasks = await asyncio.wait_for(recovery.load([number]), 30)
        assert recovery.seconds > table_log.GAP_SECONDS
        assert ender.fenced == 1
    assert list(tasks[number].partition.rooms) == ["room"]
    await dead.stop()


async def test_a_decided_commit_is_awaited(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker may be alive: it committed, then gave the partition up. A slow broker takes time for markers."""
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

    monkeypatch.setattr(hanging_transactions, "is_ending", answer)
    async with loading(pipe) as (recovery, _offsets, ender):
        tasks = await asyncio.wait_for(recovery.load([number]), 30)
        assert ender.fenced == 0
    assert asked >= 3
    assert tasks[number].owner == f"{pipe.prefix}-other"
    await owner.begin_transaction()  # it was not fenced
    await owner.stop()


async def test_the_coordinator_reports_a_decided_transaction(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await pipe.left_open(f"{pipe.prefix}-owner")
    async with loading(pipe) as (_recovery, offsets, _ender):
        reader = offsets.uncommitted
        assert not await is_ending(reader, f"{pipe.prefix}-owner")  # Ongoing
        assert not await is_ending(reader, f"{pipe.prefix}-unknown")
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
        assert await is_ending(reader, f"{pipe.prefix}-owner")
    await owner.stop()


async def _settles(reader: Any, transactional_id: str) -> bool:
    """Return whether a committed transaction soon has all of its markers."""
    for _ in range(50):
        if not await is_ending(reader, transactional_id):
            return True
        await asyncio.sleep(0.1)
    return False
