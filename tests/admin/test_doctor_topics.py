"""`doctor` on topics that were deleted, created again or changed, and on a second group."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from pipeline.kafka.admin import admin_client
from pipeline.model import signals as s
from pipeline.model.records import Position, TopicPosition
from pipeline.topics import MEDIA
from testkit.pipe import Pipe
from tests.support.doctor import examined
from tests.support.topics import T, alter, positions, recreate, write_position

pytestmark = pytest.mark.broker
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")


async def test_topics_that_were_lost_are_reported(pipe: Pipe) -> None:
    """A signal topic that was created again, and a table that lost its rows."""
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        before = (await positions(pipe))[pipe.partition("room")]
        assert worker.stop() == 0
    await recreate(pipe, "media.signals")
    found = [line for line in (await examined(pipe))["lag"] if line.state == "wrong"]
    media = pipe.topic("media.signals")
    assert len(found) == pipe.settings.partitions
    assert found[0].found.startswith(
        f"topic {media} was deleted and created again (id {before.positions[1].topic_id}, "
    )
    await recreate(pipe, "rooms")
    [line] = [line for line in (await examined(pipe))["lag"] if line.state == "wrong"]
    assert line.found.startswith(
        f"{pipe.topic('rooms')} has lost rows of partition {pipe.partition('room')}: the group"
    )
    assert line.remedy == 'stop all workers, and see docs/howto/runbook.md, "The table is lost"'


async def test_another_group_at_work_is_wrong(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(CREATE)
        await pipe.until_events(1)
        found = (await examined(pipe, PIPELINE_GROUP_ID="g-2"))["lag"]
        [line] = [line for line in found if line.state == "wrong"]
    assert line.found.endswith(f"is in group {pipe.settings.group_id!r}, not in 'g-2', and that group has 1 member")
    found = (await examined(pipe, PIPELINE_GROUP_ID="g-2"))["lag"]
    assert [line.state for line in found if "last writer" in line.found] == ["warning"]


async def test_records_on_an_additional_partition_are_named(pipe: Pipe) -> None:
    topic = pipe.topic("media.signals")
    async with admin_client(pipe.settings) as client:
        await client.create_partitions({topic: NewPartitions(5)})
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        while 4 not in await producer.partitions_for(topic):  # the broker may learn of it after the answer
            await producer.client.force_metadata_update()
        await producer.send_and_wait(topic, b"x", b"room", partition=4)
    [line] = [line for line in (await examined(pipe))["topics"] if line.state == "wrong"]
    assert line.found.endswith(f"and no worker reads the 1 records on partition 4 of {topic}")
    assert line.remedy == 'see docs/howto/runbook.md, "Another number of partitions"'


async def test_times_far_ahead_are_reported(pipe: Pipe) -> None:
    year_2100, topic = 4_102_444_800, pipe.topic("media.signals")
    times = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    await alter(pipe, "media.signals", MEDIA.config | times)
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(topic, b"x", b"room", partition=1, timestamp_ms=year_2100 * 1000)
        await producer.send_and_wait(topic, b"x", b"room", partition=2, timestamp_ms=2**62)
    known = TopicPosition(pipe.topic("api.signals"), 3, 0, year_2100 * 1_000_000)
    await write_position(pipe, 3, Position("w", (known,), pipe.settings.group_id))
    found = await examined(pipe)
    assert "message.timestamp.type=CreateTime" in found["topics"][0].found
    applied, first, second, *_ = found["clock"]
    assert applied.found == (
        f"the workers' time on {pipe.topic('api.signals')} partition 3 is 2100-01-01T00:00:00Z, ahead of the brokers' "
        "clock: until then no watchdog of that partition fires"
    )
    assert (applied.state, first.state, second.state) == ("wrong", "warning", "warning")
    assert f"offset 0 of {topic} partition 1 is stamped 2100-01-01T00:00:00Z, ahead" in first.found
    assert f"offset 0 of {topic} partition 2 is stamped 9999-12-31T23:59:59Z, ahead" in second.found
