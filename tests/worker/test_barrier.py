"""The barrier's look-ups, without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.records import Room
from pipeline.worker.barrier import Barrier
from pipeline.worker.broker_clock import BrokerClock
from tests.support.worker import a_task


def playing() -> Partition:
    """A partition with one room, whose deadline is at 1 s."""
    room = Room("room", "app", playback_status="playing", operation_id="play", deadline=1_000_000)
    partition = Partition(Rules())
    partition.restore_room("room", room)
    partition.restored()
    return partition


async def test_look_ups_continue_after_kafka_was_away() -> None:
    answers: list[Any] = [Errors.KafkaConnectionError("away"), {"api": 5, "media": 7}]

    class Ends:
        async def ends(self, asked: dict[TopicPartition, Any]) -> dict[TopicPartition, int]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {tp: answer[tp.topic] for tp in asked}

    clock, woken, task = BrokerClock(), asyncio.Event(), a_task(0, playing())
    clock.observe(1_300)
    barrier = Barrier(Ends(), clock, {0: task}, woken.set, pytest.fail)  # type: ignore[arg-type]
    running = asyncio.create_task(barrier.run())
    await asyncio.wait_for(woken.wait(), 5)
    running.cancel()
    assert answers == []
    assert [source.probe and source.probe[1] for source in task.merge.inputs] == [5, 7]
    assert not task.merge.reached(1_000_000), "the logs were not read to their ends yet"
    for source in task.merge.inputs:
        source.fetched((), 7, 7)
    assert task.merge.reached(1_000_000)


async def test_an_idle_worker_requests_the_broker_time() -> None:
    requested: asyncio.Queue[int] = asyncio.Queue()
    tasks = {3: a_task(3, playing())}
    barrier = Barrier(None, BrokerClock(), tasks, lambda: None, requested.put_nowait)  # type: ignore[arg-type]
    running = asyncio.create_task(barrier.run())
    assert await asyncio.wait_for(requested.get(), 5) == 3
    running.cancel()
