"""`doctor` about dead letters, wrong partitioners, and schemas that others have registered."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.admin.doctor.letters import Letter, judge
from pipeline.kafka.schema_registry import Registry
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.wire import SCHEMAS
from testkit.pipe import Pipe
from tests.support.doctor import examined
from tests.support.topics import T

DAY = 86_400.0


@pytest.mark.broker
async def test_dead_letters_and_wrong_partitions_are_reported(pipe: Pipe) -> None:
    await pipe.run_setup()
    topic, number = pipe.topic("api.signals"), (pipe.partition("room") + 1) % pipe.settings.partitions
    create = s.ConferenceCreate("c", "room", T, "app", "name")
    with pipe.worker() as worker:
        assert [line.found for line in (await examined(pipe))["letters"]] == ["no dead letter in 24 h"]
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            await producer.send_and_wait(topic, signal_json(create), b"room", partition=number)
            await producer.send_and_wait(topic, b"\x1b[31mno signal\xff", b"room")
        async with asyncio.timeout(20):
            while worker.metric(f'pipeline_dead_letters_total{{topic="{topic}"}}') != 2:
                await asyncio.sleep(0.1)
        wrong, letter = (await examined(pipe))["letters"]
    assert (wrong.state, letter.state) == ("wrong", "warning")
    assert wrong.found.startswith("at least 1 signal in 24 h came on a wrong partition; the latest, 20")
    assert f"Z, {topic}/{number}/0: room 'room' belongs on partition" in wrong.found
    assert "ConferencePipelineWrongPartition" in wrong.remedy
    assert letter.found.startswith("at least 1 dead letter in 24 h; the latest, 20")
    assert "\x1b" not in letter.found


def test_only_the_last_day_is_a_warning() -> None:
    old, new, wrong = (
        Letter(1.0, "t/0/1", "old"),
        Letter(DAY, "t/0/2", "new"),
        Letter(DAY, "t/0/3", "x belongs on partition 1"),
    )
    assert [one.state for one in judge([old, new, wrong], 3, DAY + 2)] == ["wrong", "warning"]
    [line] = judge([old], 7, DAY + 2)
    assert (line.state, line.found) == ("ok", "no dead letter in 24 h; at most 7 older ones are kept")


@pytest.mark.broker
async def test_foreign_subjects_and_versions_are_reported(pipe: Pipe) -> None:
    await pipe.run_setup()
    record = "conference.MemberLeft"
    foreign, left = pipe.topic("api.signals-value"), pipe.topic(f"events-{record}")
    more = [*json.loads(SCHEMAS[record])["fields"], {"name": "x", "type": "int"}]
    theirs = {"schema": json.dumps(json.loads(SCHEMAS[record]) | {"fields": more})}
    async with Registry(pipe.settings) as registry:
        await registry._request("POST", f"/subjects/{foreign}/versions", {"schema": '{"type": "string", "x": 1}'})
        await registry._request("PUT", f"/config/{left}", {"compatibility": "NONE"})
        await registry._request("POST", f"/subjects/{left}/versions", theirs)
        await registry._request("PUT", f"/config/{left}", {"compatibility": "FULL_TRANSITIVE"})
    subject, version = [line for line in (await examined(pipe))["schemas"] if line.state == "warning"]
    assert subject.found == f"{foreign} is not of this version: a producer may register schemas of its own"
    assert version.found == (
        f"version 2 of {left} has another schema than this version of the program: consumers with that version can't "
        "read what this program writes: `x` is missing and has no default"
    )
