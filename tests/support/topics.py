"""Delete, create and change a pipeline's topics, and write position records, as operators and other workers do."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.admin.setup import setup
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.records import Position
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.wire import DECODERS, ENCODERS
from pipeline.topics import TOPICS
from testkit.pipe import Pipe, WorkerProcess

T = 1_795_354_386_106_600


def volumes(first: int, number: int, room: str = "room") -> list[s.AnySignal]:
    return [s.ConferenceVolume(f"v-{n}", room, T, n % 7, "volume") for n in range(first, first + number)]


async def delete(pipe: Pipe, *names: str) -> None:
    """Delete topics, and wait until the broker no longer knows them."""
    full = [pipe.topic(name) for name in names]
    async with admin_client(pipe.settings) as admin:
        await admin.delete_topics(full)
        while not all(topic.missing for topic in (await describe_topics(admin, full)).topics.values()):
            await asyncio.sleep(0.05)


async def recreate(pipe: Pipe, *names: str) -> None:
    await delete(pipe, *names)
    assert await setup(pipe.settings, lambda _: None) == []


async def recreate_at_once(pipe: Pipe, name: str, partitions: int = 0) -> None:
    """Delete a topic and create it again, with `partitions` (0: as many as before), before a worker misses it."""
    [topic] = [topic for topic in TOPICS if topic.name == name]
    new = NewTopic(pipe.topic(name), partitions or pipe.settings.partitions, 1, topic_configs=topic.config)
    async with admin_client(pipe.settings) as admin, asyncio.timeout(60):
        await admin.delete_topics([new.name])
        while (await admin.create_topics([new])).topic_errors[0][1]:
            pass


async def alter(pipe: Pipe, name: str, config: dict[str, str]) -> None:
    async with admin_client(pipe.settings) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name), config)])


async def positions(pipe: Pipe) -> dict[int, Position]:
    """Return the latest position of each partition that has one."""
    rows = [row for row in await pipe.records("rooms") if row.key == POSITION_KEY]
    return {row.partition: DECODERS[Position.RECORD](row.value, framing.HEAD) for row in rows}


async def write_position(pipe: Pipe, number: int, position: Position) -> None:
    async with Registry(pipe.settings) as registry:
        ids = await registry.schema_ids(pipe.prefix)
    value = ENCODERS[Position](position, framing.head(ids[Position.RECORD]))
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(pipe.topic("rooms"), value, POSITION_KEY, partition=number)


async def ended(worker: WorkerProcess, seconds: float = 60) -> tuple[int, str]:
    """Wait for a worker to end. Return its exit code and the last line of its log."""
    code = await asyncio.to_thread(worker.wait, seconds)
    return code, worker.log[-1]["msg"]


async def until_log(worker: WorkerProcess, text: str) -> dict[str, object]:
    return await asyncio.to_thread(worker.until_log, text, 60)
