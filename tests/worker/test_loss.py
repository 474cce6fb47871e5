"""No signal is lost silently (promise 6): signals that were deleted. Brokers that fail are in tests/chaos."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.model import signals as s
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


def volumes(room: str, first: int, number: int) -> list[s.AnySignal]:
    return [s.ConferenceVolume(f"v-{n}", room, T, n % 7, "volume") for n in range(first, first + number)]


async def test_deleted_signals_stop_the_worker_until_accepted(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
        assert worker.stop() == 0
    await pipe.send(*volumes("room", 0, 5))
    topic, number = pipe.topic("api.signals"), pipe.partition("room")
    admin = AIOKafkaAdminClient(**pipe.settings.kafka())
    await admin.start()
    await admin.delete_records({TopicPartition(topic, number): RecordsToDelete(4)})
    await admin.close()

    with pipe.worker(ready=False) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 4
    message = worker.log[-1]["msg"]
    assert f"3 signals of {topic} partition {number} were deleted unread (offsets 1 to 3)" in message
    assert "--accept-loss" in message

    with pipe.worker("--accept-loss") as worker:
        events = await pipe.until_events(3)
    assert [event["meta"]["cause"] for event in events] == ["c", "v-3", "v-4"]
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3]
