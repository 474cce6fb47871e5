"""Topics that are deleted, created again or changed, while a worker runs and while it is stopped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from pipeline.admin.doctor import examine
from pipeline.devstack import Stack
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.records import Position, TopicPosition
from pipeline.topics import API, EVENTS
from pipeline.worker.startup import unwritable
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers
from tests.support.eager import eager_worker
from tests.support.topics import (
    T,
    alter,
    delete,
    ended,
    positions,
    recreate,
    recreate_at_once,
    until_log,
    volumes,
    write_position,
)

pytestmark = pytest.mark.broker
YEAR_2100_US = 4_102_444_800_000_000
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")
OUTPUTS = ("events", "rooms", "signals.rejected", "signals.noops", "signals.dead")


# --- another topic under the same name -----------------------------------------------------------------------


async def test_a_signal_topic_created_again_stops_the_worker_until_accepted(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE, *volumes(0, 19))
        await pipe.until_events(20)
        assert worker.stop() == 0
    await recreate(pipe, "api.signals")
    await pipe.send(*volumes(100, 30))

    with pipe.worker(ready=False) as worker:
        code, message = await ended(worker)
    assert code == 4
    assert f"topic {pipe.topic('api.signals')} was deleted and created again (id " in message
    assert f"20 on partition {pipe.partition('room')}" in message
    assert message.endswith("to continue without them: worker --accept-loss")

    with pipe.worker("--accept-loss") as worker:
        events = await pipe.until_events(50)
        assert worker.stop() == 0
    assert [event["meta"]["cause"] for event in events][20:] == [f"v-{n}" for n in range(100, 130)]
    with pipe.worker():  # the new id was recorded
        await pipe.send(*volumes(200, 1))
        await pipe.until_events(51)


async def test_a_topic_created_again_at_once_stops_a_running_worker(pipe: Pipe) -> None:
    """Its name never seems to be missing, and the position is inside its log."""
    with pipe.worker() as worker:
        await pipe.send(CREATE, *volumes(0, 5))
        await pipe.until_events(6)
        before = (await positions(pipe))[pipe.partition("room")]
        await recreate_at_once(pipe, "api.signals")
        await pipe.send(*volumes(100, 20))
        code, message = await ended(worker)
    assert code == 4
    topic = pipe.topic("api.signals")
    assert message.startswith(f"topic {topic} was deleted and created again (id {before.positions[0].topic_id}, now ")
    with pipe.worker(ready=False) as worker:
        assert (await ended(worker))[0] == 4


async def test_a_position_without_ids_gets_them_without_a_signal(pipe: Pipe) -> None:
    """As an earlier worker, or one of a broker without topic ids, has written it."""
    known = tuple(TopicPosition(pipe.topic(f"{kind}.signals"), 1, 0, 0) for kind in ("api", "media"))
    await write_position(pipe, 1, Position("an-earlier-one", known))
    with pipe.worker():
        async with asyncio.timeout(30):
            while len(found := await positions(pipe)) < 4 or not found[1].group_id:
                await asyncio.sleep(0.1)
    async with admin_client(pipe.settings) as admin:
        described = (await describe_topics(admin, [one.topic for one in known])).topics
    ids = [described[one.topic].topic_id for one in known]
    assert all(re.fullmatch(r"[\w-]{22}", topic_id) for topic_id in ids)
    for position in found.values():
        assert position.group_id == pipe.settings.group_id
        assert [one.topic_id for one in position.positions] == ids


async def test_an_output_topic_created_again_is_reported_and_written(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        await recreate_at_once(pipe, "events")
        assert (await until_log(worker, "what was in it is gone"))["topic"] == pipe.topic("events")
        await pipe.send(*volumes(0, 3))
        events = await pipe.until_events(3)
        assert worker.returncode is None
    assert [event["meta"]["sequence"] for event in events] == [2, 3, 4]


# --- topics that are gone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["api.signals", "media.signals", *OUTPUTS])
async def test_a_topic_deleted_while_a_worker_runs_ends_it(pipe: Pipe, name: str) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        await delete(pipe, name)
        code, message = await ended(worker)
    assert (code, message) == (
        2,
        f"topic {pipe.topic(name)} does not exist any more: stop all workers, and see docs/howto/runbook.md, "
        '"A topic was deleted"',
    )


async def test_a_worker_is_not_ready_while_a_topic_seems_missing(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await delete(pipe, "media.signals")
        await until_log(worker, "check all brokers")
        code, body = worker.get("/readyz")
        assert (code, "media.signals does not exist" in body) == (503, True)
        assert (await ended(worker))[0] == 2


# --- partitions ----------------------------------------------------------------------------------------------


async def test_an_additional_partition_ends_the_worker(pipe: Pipe) -> None:
    topic = pipe.topic("api.signals")
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        async with admin_client(pipe.settings) as admin:
            await admin.create_partitions({topic: NewPartitions(5)})
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            for signal in volumes(0, 3):
                await producer.send_and_wait(topic, signal_json(signal), b"room", partition=4)
        code, message = await ended(worker)
    expected = (
        f"topic {topic} has 5 partitions, expected 4: signals would be on other partitions than their rooms, and "
        f"become dead letters, and no worker reads the 3 records on partition 4 of {topic}; "
        'see docs/howto/runbook.md, "Another number of partitions"'
    )
    assert (code, message) == (2, expected)
    with pipe.worker(ready=False) as worker:
        assert await ended(worker) == (2, expected)


async def test_fewer_partitions_end_the_worker(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await recreate_at_once(pipe, "media.signals", partitions=2)
        code, message = await ended(worker)
    assert code == 2
    assert f"topic {pipe.topic('media.signals')} has 2 partitions, expected 4: " in message


# --- settings and times --------------------------------------------------------------------------------------


async def test_changed_settings_are_reported_until_they_are_right_again(pipe: Pipe) -> None:
    topic = pipe.topic("api.signals")
    with eager_worker(pipe) as worker:
        await alter(pipe, "api.signals", {**API.config, "message.timestamp.type": "CreateTime"})
        await alter(pipe, "events", {**EVENTS.config, "max.message.bytes": "1000000"})
        await until_log(worker, "has max.message.bytes=1000000, expected at least 4194304")
        await until_log(worker, f"topic {topic} has message.timestamp.type=CreateTime, expected LogAppendTime")
        async with asyncio.timeout(20):
            while worker.metric("pipeline_topic_deviations") != 2:
                await asyncio.sleep(0.1)
            await alter(pipe, "api.signals", API.config)
            while worker.metric("pipeline_topic_deviations") != 1:
                await asyncio.sleep(0.1)
        right = await until_log(worker, "a topic's setting is as expected again")
        assert str(right["before"]).startswith(f"topic {topic} has message.timestamp.type=CreateTime")
        assert worker.stop() == 0
    texts = [line["msg"] for line in worker.log if "expected" in line["msg"]]
    assert len(texts) == len(set(texts)) == 3, "each is reported once"


async def test_a_time_far_ahead_of_the_clock_is_reported(pipe: Pipe) -> None:
    """As a broker with a wrong clock has left it."""
    topics = [pipe.topic(f"{kind}.signals") for kind in ("api", "media")]
    await write_position(pipe, 2, Position("w", tuple(TopicPosition(t, 2, 0, T) for t in topics)))
    await write_position(pipe, 3, Position("w", tuple(TopicPosition(t, 3, 0, YEAR_2100_US) for t in topics)))
    with eager_worker(pipe) as worker:
        line = await until_log(worker, "append time is far ahead of the broker's clock")
        assert (line["topic"], line["partition"]) == (topics[0], 3)
        ahead = worker.metric("pipeline_time_ahead_seconds")
        assert ahead == pytest.approx(YEAR_2100_US / 1e6 - time.time(), abs=60)
        room = next(f"room-{n}" for n in range(99) if pipe.partition(f"room-{n}") == 3)
        await pipe.send(s.ConferenceCreate("c", room, T, "app", "name"))
        await pipe.until_events(1)
        assert worker.stop() == 0
    assert sum("far ahead" in line["msg"] for line in worker.log) == 2, "once per input"
    assert (await positions(pipe))[3].positions[0].time == YEAR_2100_US, "time never runs back"


async def test_signals_without_an_append_time_are_counted(pipe: Pipe) -> None:
    """A record stamped 2100 while the topic had CreateTime, and one stamped 1970."""
    times = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    with eager_worker(pipe) as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        await alter(pipe, "api.signals", API.config | times)
        sent = 0
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            for stamp in (YEAR_2100_US // 1000, 0):
                kept = False  # the leader may learn of the new configuration after the answer
                while not kept:
                    value = signal_json(volumes(sent, 1)[0])
                    done = await producer.send_and_wait(pipe.topic("api.signals"), value, b"room", timestamp_ms=stamp)
                    sent, kept = sent + 1, done.timestamp_type == 0
        await alter(pipe, "api.signals", API.config)
        await pipe.send(*volumes(sent, 1))
        await pipe.until_events(1 + sent + 1)
        line = await until_log(worker, "without an append time got the time of the signal before them")
        assert (line["topic"], line["partition"]) == (pipe.topic("api.signals"), pipe.partition("room"))
        async with asyncio.timeout(20):
            while worker.metric("pipeline_undated_signals_total") != 2:
                await asyncio.sleep(0.1)
        assert worker.metric("pipeline_time_ahead_seconds") == 0
    assert (await positions(pipe))[pipe.partition("room")].positions[0].time < YEAR_2100_US // 2


async def test_too_few_in_sync_replicas_are_reported_while_they_last(pipe: Pipe) -> None:
    text = f"a partition of {pipe.topic('events')} has 1 in-sync replicas, min.insync.replicas is 2"
    with eager_worker(pipe) as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        assert await unwritable(pipe.settings) is None
        await alter(pipe, "events", EVENTS.config | {"min.insync.replicas": "2"})
        line = await until_log(worker, "Kafka accepts no output")
        assert line["msg"] == f"Kafka accepts no output: {text}: start the brokers that have its replicas"
        code, body = worker.get("/readyz")
        assert (code, text in body) == (503, True)
        assert text in str(await unwritable(pipe.settings)), "also the reason of an end"
        found = [line for line in await examine(pipe.settings) if line.check == "topics" and line.state == "wrong"]
        assert f"{text}: nothing can be written" in [line.found for line in found]
        await pipe.send(*volumes(0, 1))
        await alter(pipe, "events", EVENTS.config)
        await until_log(worker, "Kafka accepts output again")
        assert worker.get("/readyz")[0] == 200
        await pipe.until_events(2)


# --- several brokers -----------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
async def test_a_rolling_restart_of_the_brokers_ends_no_worker(tmp_path: Path) -> None:
    stack = Stack(f"{PREFIX}{os.getpid()}-rolling", home=tmp_path, nodes=3, heap_mb=256)
    try:
        status = await asyncio.to_thread(stack.up)
        assert status.bootstrap_servers
        assert status.schema_registry_url
        pipe = Pipe(Servers(status.bootstrap_servers, status.schema_registry_url, "", stack))
        await pipe.set_up()
        with eager_worker(pipe) as worker:
            await pipe.send(CREATE)
            for node in range(1, 4):
                stack.kill(name := f"kafka-{node}", signal.SIGTERM)
                async with asyncio.timeout(60):
                    while any(one.name == name and one.state == "running" for one in stack.status().processes):
                        await asyncio.sleep(0.2)
                await asyncio.to_thread(stack.up)
                await pipe.send(*volumes(node, 1))
            await pipe.until_events(4, 60)
            assert worker.returncode is None, worker.lines
            assert not [line for line in worker.log if line["level"] == "error"]
            assert worker.stop() == 0
    finally:
        await asyncio.to_thread(stack.down)
