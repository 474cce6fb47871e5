"""`verify` on real servers: a true history has no difference, a changed one has."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.demo.scenario import steps
from pipeline.model import signals as s
from pipeline.model.times import format_time
from testkit.fork_server import run
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
URLS = ("http://x/a.wav",)


def verify(pipe: Pipe, *options: str, **env: str) -> tuple[int, Any]:
    done = run("verify", "--json", *options, env={**pipe.env, **env})
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


async def history(pipe: Pipe) -> list[dict[str, Any]]:
    """Let a worker with a watchdog of 1 s process the recorded conference, a timeout and a dead letter."""
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="1"):
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            await producer.send_and_wait(pipe.topic("api.signals"), b"{", b"timed")
        await pipe.send(
            s.ConferenceCreate("c", "timed", 1, "app", "n"),
            s.ConferencePlay("p", "timed", 2, URLS, "o-1"),
            *(step.signal for step in steps()),
        )
        limit = time.monotonic() + 60
        while not any(
            one["event"] == "conference.play.failed" and one["room_id"] == "timed" for one in await pipe.events()
        ):
            assert time.monotonic() < limit
            await asyncio.sleep(0.2)
        await pipe.send(s.ConferenceDestroy("d", "timed", 3))
        while not any(one["meta"]["cause"] == "d" for one in await pipe.events()):
            assert time.monotonic() < limit
            await asyncio.sleep(0.2)
    return await pipe.events()


async def test_a_true_history_has_no_difference(pipe: Pipe) -> None:
    events = await history(pipe)
    code, found = verify(pipe, PIPELINE_WATCHDOG_SECONDS="1")
    assert (code, found["wrong"], found["skipped"], found["waiting"]) == (0, [], 0, 0)
    assert found["events"] == len(events)
    await pipe.send(s.ConferenceCreate("late", "late", 4, "app", "n"))
    assert verify(pipe, PIPELINE_WATCHDOG_SECONDS="1")[1]["waiting"] == 1


async def test_other_rules_and_repeated_events_are_found(pipe: Pipe) -> None:
    await history(pipe)
    code, found = verify(pipe, PIPELINE_WATCHDOG_SECONDS="2")
    assert code == 1
    timed = [one for one in found["wrong"] if one["room_id"] == "timed"]
    assert len(timed) == 1
    record = next(one for one in await pipe.records() if one.key == b"timed")
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(
            record.topic, record.value, record.key, partition=record.partition, headers=list(record.headers)
        )
    done = run("verify", env={**pipe.env, "PIPELINE_WATCHDOG_SECONDS": "1"})
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "1 rooms differ; the first:\nroom      timed\n" in text
    assert "its timeline up to there:\n" in text
    assert "create        → created" in text


async def test_rooms_born_before_the_range_are_skipped(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("a", "old", 1, "app", "n"), s.ConferenceCreate("b", "gone", 1, "app", "n"))
        await pipe.send(s.ConferenceDestroy("c", "gone", 1))
        await pipe.until_events(3)
        await asyncio.sleep(0.05)
        since = format_time(time.time_ns() // 1000)
        await asyncio.sleep(0.05)
        await pipe.send(
            s.ConferenceVolume("d", "old", 2, 7, "o"),
            s.ConferenceCreate("b", "gone", 2, "app", "n"),
            s.ConferenceCreate("e", "new", 2, "app", "n"),
        )
        await pipe.until_events(5)
    code, found = verify(pipe, "--since", since)
    assert (code, found["rooms"], found["skipped"], found["wrong"]) == (0, 1, 2, [])
    code, found = verify(pipe, "--until", since)
    assert (code, found["rooms"], found["skipped"], found["wrong"]) == (0, 3, 0, [])
