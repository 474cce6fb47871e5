"""`signals export` on real servers: what it writes, `replay` turns into the published events."""

from __future__ import annotations

import json
import time

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.demo.scenario import steps
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from testkit.fork_server import run
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker


async def test_exported_signals_replay_to_the_published_events(pipe: Pipe) -> None:
    lines = b"".join(step.line for step in steps())
    wanted = run("replay", "-", stdin=lines).stdout.splitlines()
    with pipe.worker():
        assert run("send", "-", "--avro", env=pipe.env, stdin=lines).returncode == 0
        await pipe.until_events(sum(b"playback_timeout" not in one for one in wanted))
    done = run("signals", "export", env=pipe.env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(done.stdout.splitlines()) == sorted(signal_json(step.signal).rstrip() for step in steps())
    assert run("replay", "-", stdin=done.stdout).stdout.splitlines() == wanted


async def test_rooms_apps_and_times_limit_the_export(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(
            s.ConferenceCreate("c1", "one", 1, "app-1", "n"),
            s.MemberJoined("j2", "two", 2, "s", "+1"),
            s.ConferenceCreate("c2", "two", 3, "app-2", "n"),
            s.ConferenceDestroy("d2", "two", 4),
        )
        await pipe.until_events(5)

    def ids(*options: str) -> list[str]:
        done = run("signals", "export", *options, env=pipe.env)
        assert (done.returncode, done.stderr) == (0, b"")
        return [json.loads(one)["signal_id"] for one in done.stdout.splitlines()]

    assert ids() == ["c1", "j2", "c2", "d2"]
    assert ids("--app", "app-1") == ["c1"]
    assert ids("--app", "app-2") == ["j2", "c2", "d2"]
    assert ids("--app", "app-2", "--room", "one") == []
    assert ids("--room", "two") == ["j2", "c2", "d2"]
    assert ids("--since", "0s") == ids("--until", "1h") == []


async def test_records_that_are_no_signals_are_reported(pipe: Pipe) -> None:
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(pipe.topic("api.signals"), b"{}", b"room")
    await pipe.send(s.ConferenceDestroy("d", "room", time.time_ns() // 1000))
    done = run("signals", "export", env=pipe.env)
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 1)
    place = f"{pipe.topic('api.signals')}/{pipe.partition('room')}/0"
    assert done.stderr.decode().startswith(f"{place}: no signal: Object missing required field")
