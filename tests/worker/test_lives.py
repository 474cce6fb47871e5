"""The lives of a room on a real broker: what one leaves for the next, through a restart of the worker."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import signals as s
from pipeline.model.wire import DECODERS
from testkit.pipe import Pipe
from tests.support.state import remembered_ids

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


async def until(pipe: Pipe, topic: str, number: int) -> list[Any]:
    """Return the records of a topic once there are `number` of them."""
    limit = time.monotonic() + 30
    while len(found := await pipe.records(topic)) < number:
        assert time.monotonic() < limit, f"{len(found)} of {number} records on {topic}"
        await asyncio.sleep(0.1)
    return found


async def test_a_gone_room_survives_a_restart(pipe: Pipe) -> None:
    create, destroy = s.ConferenceCreate("c", "room", T, "app", "name"), s.ConferenceDestroy("d", "room", T)
    joined, left = s.MemberJoined("j", "room", T, "alice", "+1"), s.MemberLeft("l", "room", T, "alice")
    with pipe.worker() as worker:
        await pipe.send(create, joined, destroy)
        await pipe.until_events(4)
        assert worker.stop() == 0
    with pipe.worker() as worker:
        await pipe.send(create, left, destroy, s.ConferenceStop("x", "room", T, "o"))
        await until(pipe, "signals.rejected", 1)
        assert worker.metric('pipeline_no_ops_total{reason="room_gone"}') == 1
        await pipe.send(
            s.ConferenceCreate("c2", "room", T, "app", "name"), destroy, s.ConferenceDestroy("d2", "room", T)
        )
        events = await pipe.until_events(6)
        assert worker.stop() == 0
    assert [(event["meta"]["sequence"], event["meta"]["cause"]) for event in events[4:]] == [(1, "c2"), (2, "d2")]
    no_ops = await until(pipe, "signals.noops", 3)
    assert [one.key for one in no_ops] == [b"room"] * 3
    values = [DECODERS["conference.NoOp"](one.value, 5) for one in no_ops]
    assert [(one.signal_id, one.reason) for one in values] == [("c", "repeated"), ("d", "repeated"), ("d", "repeated")]
    for one, value in zip(no_ops, values, strict=True):
        place = f"{pipe.topic('api.signals')}/{one.partition}/{value.offset}".encode()
        assert one.headers == (("ce_signal", place),)
        assert (value.topic, value.partition) == (pipe.topic("api.signals"), one.partition)
    rows = [r for r in await pipe.records("rooms") if json.loads(r.key)[0] in ("gone", "room")]
    lives = [(json.loads(r.key)[0], r.value is not None) for r in rows]
    assert lives[-2:] == [("room", False), ("gone", True)]
    last = DECODERS["conference.Gone"](rows[-1].value, 5)
    assert remembered_ids(last.recent) == ("c", "d", "c2", "d2")


async def test_rows_of_unknown_kinds_do_not_stop_a_worker(pipe: Pipe) -> None:
    """Contract §2: a later version may add kinds, and versions share a table."""
    create = s.ConferenceCreate("c", "room", T, "app", "name")
    with pipe.worker() as worker:
        await pipe.send(create)
        await pipe.until_events(1)
        assert worker.stop() == 0
    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        for key, value in (
            (b'["next","room"]', b"\0\xff\xff\xff\xffwhat"),
            (b'["next",1,{}]', b"x"),
            (b'["next"]', None),
        ):
            await producer.send_and_wait(pipe.topic("rooms"), value, key, partition=pipe.partition("room"))
    with pipe.worker() as worker:
        await pipe.send(s.ConferenceDestroy("d", "room", T))
        events = await pipe.until_events(2)
        assert worker.stop() == 0
    assert events[1]["meta"]["sequence"] == 2
