"""The procedure "Replace a signal topic" of docs/howto/runbook.md, after a topic got another partition."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions

from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.group_offsets import committed_offsets
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.wire import DECODERS
from testkit.pipe import Pipe
from tests.support.topics import T, ended, recreate

pytestmark = pytest.mark.broker
ROOMS = [f"room-{n}" for n in range(12)]
Saved = tuple[int, bytes, bytes]
"""Time, key and value of a signal that had no effect."""


def volumes(name: str) -> list[s.AnySignal]:
    return [s.ConferenceVolume(f"{name}-{room}", room, T, 1, name) for room in ROOMS]


async def send_to_all_partitions(pipe: Pipe, signals: list[s.AnySignal]) -> None:
    """Send as a producer does: murmur2 over all partitions that the topic has."""
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for one in signals:
            await producer.send_and_wait(pipe.topic("api.signals"), signal_json(one), one.room_id.encode())


async def without_effect(pipe: Pipe) -> list[Saved]:
    """Return the signals behind the group's offsets, those on the additional partition, dead letters, rejections."""
    topic = pipe.topic("api.signals")
    partitions = [TopicPartition(topic, n) for n in range(pipe.settings.partitions + 1)]
    async with admin_client(pipe.settings) as admin:
        offsets = await committed_offsets(admin, pipe.settings.group_id, partitions)
    saved: list[Saved] = []
    async with AIOKafkaConsumer(**pipe.settings.kafka(), auto_offset_reset="earliest") as reader:
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        for tp in partitions:
            reader.seek(tp, offsets[tp].offset if tp in offsets else 0)
        for tp in partitions:
            while await reader.position(tp) < ends[tp]:
                records = (await reader.getmany(tp, timeout_ms=200)).get(tp, ())
                saved += [(one.timestamp, one.key, one.value) for one in records]
    saved += [(one.timestamp, one.key, one.value) for one in await pipe.records("signals.dead")]
    for one in await pipe.records("signals.rejected"):
        rejected = DECODERS["conference.Rejected"](one.value, framing.HEAD)
        saved.append((one.timestamp, one.key, rejected.signal))
    return sorted(saved)


async def test_a_signal_topic_is_replaced_without_a_loss(pipe: Pipe) -> None:
    topic = pipe.topic("api.signals")
    with pipe.worker() as worker:
        await pipe.send(*(s.ConferenceCreate("c", room, T, "app", "name") for room in ROOMS), *volumes("a"))
        await pipe.until_events(2 * len(ROOMS))
        async with admin_client(pipe.settings) as admin:
            await admin.create_partitions({topic: NewPartitions(pipe.settings.partitions + 1)})
            while (await describe_topics(admin, [topic])).topics[topic].partitions == pipe.settings.partitions:
                await asyncio.sleep(0.05)
        await send_to_all_partitions(pipe, volumes("b"))
        assert (await ended(worker))[0] == 2
    await send_to_all_partitions(pipe, volumes("c"))
    saved = await without_effect(pipe)
    assert len(saved) > len(ROOMS)
    await recreate(pipe, "api.signals")
    with pipe.worker(ready=False) as worker:
        assert (await ended(worker))[0] == 4
    with pipe.worker("--accept-loss"):
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            for _, key, value in saved:
                await producer.send_and_wait(topic, value, key)
        await pipe.until_events(4 * len(ROOMS))
        await asyncio.sleep(1)
        events = await pipe.events()
    for room in ROOMS:
        mine = [event for event in events if event["room_id"] == room]
        assert [event["meta"]["sequence"] for event in mine] == [1, 2, 3, 4]
        assert [event["meta"]["cause"] for event in mine] == ["c", *(f"{name}-{room}" for name in "abc")]
