"""Why the lag of a consumer of events never reads 0 (docs/howto/consume.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as Aiokafka
from confluent_kafka import Consumer, TopicPartition

from pipeline.model import signals as s
from testkit.pipe import Pipe
from tests.support.topics import T

pytestmark = pytest.mark.broker


def read_all(pipe: Pipe) -> tuple[int, int, int]:
    """Read an event with librdkafka and commit; return its lag by the commit, by the position, and the end."""
    options: dict[str, Any] = {
        "bootstrap.servers": pipe.settings.bootstrap_servers,
        "group.id": f"{pipe.prefix}-reader",
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(options)
    consumer.subscribe([pipe.topic("events")])
    message = None
    while message is None:
        message = consumer.poll(1)
    assert message.error() is None
    assert consumer.poll(2) is None
    consumer.commit(message, asynchronous=False)
    tp = TopicPartition(pipe.topic("events"), pipe.partition("room"))
    _, end = consumer.get_watermark_offsets(tp)
    [committed], [position] = consumer.committed([tp]), consumer.position([tp])
    consumer.close()
    return end - committed.offset, end - position.offset, end


async def test_a_marker_stays_ahead_of_the_committed_offset(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
        by_commit, by_position, end = await asyncio.to_thread(read_all, pipe)
    assert (by_commit, end) == (1, 2), "one event, one marker"
    assert by_position == 0, "the position is behind the marker"
    tp = Aiokafka(pipe.topic("events"), pipe.partition("room"))
    options = {**pipe.settings.kafka(), "isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(**options) as reader:
        reader.assign([tp])
        await reader.getone()
        await reader.getmany(timeout_ms=1500)
        assert await reader.position(tp) == end
