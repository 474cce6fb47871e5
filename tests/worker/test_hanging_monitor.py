"""Whom the monitor of hanging transactions fences, without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.worker.hanging_transactions import HangingTransactionMonitor
from tests.support.worker import a_task


async def test_a_slow_unit_gets_no_worker_fenced() -> None:
    """Only a transaction that stays open after a commit of this worker in its partition belongs to another one."""
    tp = TopicPartition("p.events", 0)
    ended_in: list[tuple[dict[TopicPartition, int], dict[int, str]]] = []
    included: list[set[TopicPartition]] = []
    ended: set[TopicPartition] = set()

    class Offsets:
        async def open_transactions(self, _: Any) -> dict[TopicPartition, int]:
            return {tp: 5}

    class Ender:
        async def end_in_outputs(self, transactions: Mapping[TopicPartition, int], writers: Mapping[int, str]) -> None:
            ended_in.append((dict(transactions), dict(writers)))

    offsets: Any = Offsets()
    ender: Any = Ender()
    tasks = {0: a_task(0, owner="before")}
    monitor = HangingTransactionMonitor(offsets, ender, tasks, included.append, lambda: ended)
    for _ in range(4):
        await monitor._check()
    assert (ended_in, included) == ([], [set(), {tp}, {tp}, {tp}])
    ended = {tp}
    await monitor._check()
    assert (ended_in, included[-1]) == ([({tp: 5}, {0: "before"})], set())
