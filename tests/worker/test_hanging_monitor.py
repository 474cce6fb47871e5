"""Whom the monitor of hanging transactions fences, without a broker."""

from __future__ import annotations

from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.worker.hanging_transactions import HangingTransactionMonitor
from tests.support.worker import a_task


async def test_a_slow_unit_gets_no_worker_fenced() -> None:
    """Only a transaction that stays open after a commit of this worker in its partition belongs to another one."""
    tp = TopicPartition("p.events", 0)
    fenced: list[str] = []
    included: list[set[TopicPartition]] = []
    ended: set[TopicPartition] = set()

    class Offsets:
        async def open_transactions(self, _: Any) -> dict[TopicPartition, int]:
            return {tp: 5}

    class Ender:
        async def fence(self, owner: str) -> None:
            fenced.append(owner)

    offsets: Any = Offsets()
    ender: Any = Ender()
    tasks = {0: a_task(0, owner="before")}
    monitor = HangingTransactionMonitor("own", offsets, ender, tasks, included.append, lambda: ended)
    for _ in range(4):
        await monitor._check()
    assert (fenced, included) == ([], [set(), {tp}, {tp}, {tp}])
    ended = {tp}
    await monitor._check()
    assert (fenced, included[-1]) == (["before"], set())
