"""Trace headers of signals through a worker, on a real broker."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.trace_context import Headers
from testkit.pipe import Pipe
from tests.model.test_trace_context import BOTH

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


async def produce(pipe: Pipe, headers: Headers, *signals: s.AnySignal) -> None:
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for one in signals:
            topic = pipe.topic(f"{one.TOPIC}.signals")
            await producer.send_and_wait(topic, signal_json(one), one.room_id.encode(), headers=list(headers))
            await asyncio.sleep(0.005)


def carried(record: object) -> Headers:
    """Return the trace headers of a record."""
    return tuple(h for h in record.headers if h[0] in ("traceparent", "tracestate"))  # type: ignore[attr-defined]


async def test_events_and_dead_letters_carry_the_context(pipe: Pipe) -> None:
    create, play = (
        s.ConferenceCreate("c", "room", T, "app", "name"),
        s.ConferencePlay("p", "room", T, ("http://x/a.wav",), "play-1"),
    )
    joined = s.MemberJoined("j", "room", T, "alice", "+1", True)
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="0.5") as worker:
        await produce(pipe, BOTH, create, joined)
        await produce(pipe, (("traceparent", b"junk"),), play)
        await pipe.until_events(5)
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            await producer.send_and_wait(pipe.topic("api.signals"), b"junk", b"room", headers=list(BOTH))
        while not (letters := await pipe.records("signals.dead")):
            await asyncio.sleep(0.1)
        assert worker.stop() == 0
    found = [
        (dict(one.headers)["ce_type"].decode().removeprefix("conference."), carried(one))
        for one in await pipe.records()
    ]
    assert found == [
        ("created", BOTH),
        ("member.joined", BOTH),
        ("member.muted", BOTH),
        ("play.started", ()),
        ("play.failed", ()),
    ]
    assert carried(letters[0]) == BOTH, "a dead letter carries all headers unchanged"


async def test_a_setting_turns_the_context_off(pipe: Pipe) -> None:
    with pipe.worker(PIPELINE_TRACE_CONTEXT="false"):
        await produce(pipe, BOTH, s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
    [record] = await pipe.records()
    assert carried(record) == ()
