"""Exit codes of a worker in a wrong environment, and its wait for servers that are away."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer

from pipeline.model import signals as s
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


async def test_a_wrong_environment_ends_with_2_and_the_remedy(pipe: Pipe) -> None:
    cases = {
        "set PIPELINE_PARTITIONS=4": {"PIPELINE_PARTITIONS": "3"},
        "run `conference-pipeline setup`": {"PIPELINE_TOPIC_PREFIX": "nothing-here"},
        "is not a schema registry": {"SCHEMA_REGISTRY_URL": pipe.settings.registry_url.partition("/apis")[0]},
    }
    for remedy, env in cases.items():
        with pipe.worker(ready=False, **env) as worker:
            assert await asyncio.to_thread(worker.wait, 30) == 2, worker.lines
            assert remedy in worker.log[-1]["msg"]
            assert not any("Traceback" in line for line in worker.lines)


async def test_a_refusal_of_the_group_ends_with_2_at_once(pipe: Pipe) -> None:
    stranger = AIOKafkaConsumer(pipe.topic("events"), **pipe.settings.kafka(), group_id=f"{pipe.prefix}-shared")
    await stranger.start()
    try:
        cases = {
            "the broker refuses a session timeout of 1 s: set PIPELINE_SESSION_TIMEOUT_SECONDS to a value between": {
                "PIPELINE_SESSION_TIMEOUT_SECONDS": "1"
            },
            f"group '{pipe.prefix}-shared' has members that are no workers of this pipeline: stop them": {
                "PIPELINE_GROUP_ID": f"{pipe.prefix}-shared"
            },
        }
        for text, env in cases.items():
            with pipe.worker(ready=False, **env) as worker:
                began = time.monotonic()
                assert await asyncio.to_thread(worker.wait, 40) == 2, worker.lines
                assert time.monotonic() - began < 30, "not after the minute of a rebalance that never ends"
                assert text in worker.log[-1]["msg"]
    finally:
        await stranger.stop()


async def test_a_worker_waits_for_servers_that_are_away(pipe: Pipe) -> None:
    cases = {
        "waiting for Kafka at 127.0.0.1:1": {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        "waiting for the schema registry at http://127.0.0.1:1": {"SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"},
    }
    for line, env in cases.items():
        with pipe.worker(ready=False, **env) as worker:
            await asyncio.to_thread(worker.until_log, line)
            assert worker.get("/livez")[0] == 200
            assert worker.get("/readyz")[0] == 503
            assert await asyncio.to_thread(worker.stop) == 0


async def test_two_workers_with_one_transactional_id_fence_each_other(pipe: Pipe) -> None:
    same = {"PIPELINE_TRANSACTIONAL_ID": f"{pipe.prefix}-same"}
    rooms = [f"room-{number}" for number in range(12)]
    with pipe.worker(**same) as first, pipe.worker(**same):
        await pipe.send(*(s.ConferenceCreate("c", room, T, "app", "name") for room in rooms))
        assert await asyncio.to_thread(first.wait, 30) == 3
        assert "PIPELINE_TRANSACTIONAL_ID of its own" in first.log[-1]["msg"]
        events = await pipe.until_events(len(rooms))
    assert sorted(event["room_id"] for event in events) == sorted(rooms)
