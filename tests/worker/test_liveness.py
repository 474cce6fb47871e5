"""The checks that end a worker whose rebalance, polls or reads have stalled."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.errors import FatalError
from pipeline.worker import liveness
from tests.support.worker import NothingOpen


async def test_stopped_polls_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "CHECK_SECONDS", 0.01)
    polls = itertools.count()
    polling = asyncio.create_task(liveness.check_polls(lambda: float(next(polls)), lambda: True, str))
    idle = asyncio.create_task(liveness.check_polls(lambda: 0.0, lambda: False, str))
    with pytest.raises(
        FatalError,
        match=r"polled nothing for 0 s, though it has partitions \(flow active False\): restart the worker",
    ):
        await asyncio.wait_for(liveness.check_polls(lambda: 0.0, lambda: True, lambda: "flow active False"), 20)
    assert not polling.done()
    assert not idle.done()
    for task in (polling, idle):
        task.cancel()


async def test_an_endless_rebalance_ends_the_worker_unless_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "REBALANCE_SECONDS", 0.1)
    away = asyncio.Event()
    away.set()

    async def ping() -> None:
        if away.is_set():
            raise Errors.KafkaConnectionError("away")

    busy = asyncio.create_task(liveness.check_rebalances(lambda: True, NothingOpen().open_transactions))
    stalled = asyncio.create_task(liveness.check_rebalances(lambda: False, ping))
    await asyncio.sleep(0.4)
    assert not busy.done()
    assert not stalled.done()
    away.clear()
    with pytest.raises(
        FatalError, match="no rebalance has completed for 0 s although Kafka answers: restart the worker"
    ):
        await asyncio.wait_for(stalled, 2)
    busy.cancel()


async def test_an_unread_input_ends_the_worker_unless_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "READ_CHECK_SECONDS", 0.01)
    stuck, moving, read_up = (TopicPartition("t", number) for number in range(3))
    away, steps = [True], itertools.count()

    async def stable(asked: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if away[0]:
            raise Errors.KafkaConnectionError("away")
        return dict.fromkeys(asked, 1 << 40) | {read_up: 7}

    healthy = asyncio.create_task(liveness.check_reads(lambda: {moving: next(steps), read_up: 7}, stable, str))
    unread = asyncio.create_task(liveness.check_reads(lambda: {stuck: 5, read_up: 7}, stable, lambda: "state"))
    await asyncio.sleep(0.3)
    assert not unread.done()
    away[0] = False
    with pytest.raises(
        FatalError,
        match=r"nothing was read of t partition 0 for 0 s, though there is more \(state\): restart the worker",
    ):
        await asyncio.wait_for(unread, 20)
    await asyncio.sleep(0.1)
    assert not healthy.done()
    healthy.cancel()
