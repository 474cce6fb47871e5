"""`events` on real servers: ranges, filters, forms of output."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.codec import signal_json
from pipeline.model.events import Created, Meta
from pipeline.model.signals import AnySignal, ConferenceCreate, ConferenceDestroy, MemberJoined, MemberLeft
from pipeline.model.times import format_time
from pipeline.model.wire import ENCODERS, SCHEMAS
from testkit.fork_server import run
from testkit.pipe import ROOT, Pipe
from tests.cli.test_terminal import HOSTILE, is_safe, on_terminal
from tests.support.commands import PROGRAM, no_servers

pytestmark = pytest.mark.broker


async def published(pipe: Pipe, *signals: AnySignal, number: int) -> None:
    """Let a worker publish `number` events."""
    with pipe.worker():
        await pipe.send(*signals)
        await pipe.until_events(number)


def event_names(out: bytes) -> list[str]:
    return [json.loads(one)["event"].removeprefix("conference.") for one in out.splitlines()]


async def test_events_stop_at_the_end_in_append_order(pipe: Pipe) -> None:
    rooms = [f"room-{n}" for n in range(6)]
    await published(pipe, *(ConferenceCreate(f"c-{room}", room, 1, "app", "n") for room in rooms), number=6)
    done = run("events", "--output", "full", env=pipe.env)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = [json.loads(one) for one in done.stdout.splitlines()]
    assert sorted(one["event"]["room_id"] for one in shown) == rooms
    assert (times := [one["appended_at"] for one in shown]) == sorted(times)


async def test_times_limit_the_events(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(ConferenceCreate("c", "room", 1, "app", "n"))
        await pipe.until_events(1)
        await asyncio.sleep(0.3)
        middle = format_time(time.time_ns() // 1000)
        await asyncio.sleep(0.3)
        await pipe.send(ConferenceDestroy("d", "room", 2))
        await pipe.until_events(2)
    for option, found in (("--since", "destroyed"), ("--until", "created")):
        assert event_names(run("events", option, middle, env=pipe.env).stdout) == [found]
    assert event_names(run("events", "--since", "1h", env=pipe.env).stdout) == ["created", "destroyed"]
    assert run("events", "--since", "2999-01-01T00:00:00Z", env=pipe.env).stdout == b""


async def test_types_are_patterns_and_apps_are_matched(pipe: Pipe) -> None:
    signals = (
        ConferenceCreate("c", "room", 1, "app", "n"),
        MemberJoined("j", "room", 2, "s", "+1"),
        MemberLeft("l", "room", 3, "s", "hangup"),
        ConferenceCreate("o", "other", 4, "another", "n"),
    )
    await published(pipe, *signals, number=4)
    assert event_names(run("events", "--type", "member.*", env=pipe.env).stdout) == ["member.joined", "member.left"]
    assert event_names(run("events", "--app", "another", env=pipe.env).stdout) == ["created"]


async def test_full_output_has_place_time_and_headers(pipe: Pipe) -> None:
    await published(pipe, ConferenceCreate("c", "room", 1, "app", "n"), number=1)
    [record] = await pipe.records()
    [line] = run("events", "--output", "full", env=pipe.env).stdout.splitlines()
    shown = json.loads(line)
    assert list(shown) == ["topic", "partition", "offset", "appended_at", "headers", "event"]
    assert (shown["topic"], shown["partition"], shown["offset"]) == (record.topic, record.partition, record.offset)
    assert shown["appended_at"] == format_time(record.timestamp * 1000)
    assert shown["headers"] == {name: value.decode() for name, value in record.headers}
    assert shown["event"] == (await pipe.events())[0]


async def test_a_terminal_gets_one_safe_line_per_event(pipe: Pipe) -> None:
    signals = (
        ConferenceCreate("c", f"r{HOSTILE}", 1, "app", HOSTILE),
        MemberJoined("j", "room", 2, "s", "+1"),
        ConferenceDestroy("d", f"r{HOSTILE}", 3),
    )
    await published(pipe, *signals, number=3)
    shown = on_terminal(*PROGRAM, "events", env=pipe.env)
    assert is_safe(shown)
    date, *lines = shown.splitlines()
    assert date.endswith("times are UTC\x1b[0m")
    assert len(lines) == 3
    assert sum("session_uuid=s  caller_id=+1" in line for line in lines) == 1  # rooms have no common order
    assert is_safe(on_terminal(*PROGRAM, "events", "--output", "full", env=pipe.env))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--since", "yesterday"], "--since: expected 30s, 10m, 2h or 1d before now, or RFC 3339"),
        (["--follow", "--until", "1h"], "--until has no effect with --follow"),
        (["--since", "1h", "--from-beginning"], "--from-beginning has no effect with --since"),
    ],
)
def test_a_wrong_range_is_one_line(tmp_path: Path, options: list[str], error: str) -> None:
    done = run("events", *options, env={**no_servers(tmp_path), "COLUMNS": "300"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert error in done.stderr.decode()


async def test_events_equal_replay_and_can_be_filtered(pipe: Pipe, tmp_path: Path) -> None:
    rooms = [f"room-{n}" for n in range(8)]
    signals: list[AnySignal] = []
    for n, room in enumerate(rooms):
        signals += [
            ConferenceCreate(f"c{n}", room, 10, "app", "näme"),
            MemberJoined(f"j{n}", room, 11, "s", "+1"),
            ConferenceDestroy(f"d{n}", room, 12),
        ]
    (tmp_path / "s").write_bytes(b"".join(map(signal_json, signals)))
    wanted = run("replay", str(tmp_path / "s")).stdout.splitlines()
    with pipe.worker():
        await pipe.send(*signals)
        await pipe.until_events(32)
    done = run("events", "--max", "32", env=pipe.env)
    assert done.returncode == 0, done.stderr
    got = done.stdout.splitlines()
    assert sorted(got) == sorted(wanted)
    for room in rooms:
        assert [one for one in got if f'"{room}"'.encode() in one] == [
            one for one in wanted if f'"{room}"'.encode() in one
        ]
    chosen = run(
        *("events", "--room", "room-3", "--max", "2"),
        *("--type", "member.left", "--type", "conference.member.joined"),
        env=pipe.env,
    )
    assert [json.loads(one)["event"] for one in chosen.stdout.splitlines()] == [
        "conference.member.joined",
        "conference.member.left",
    ]
    late = run("events", "--follow", "--max", "1", "--timeout", "2", env=pipe.env)
    assert (late.returncode, late.stdout) == (3, b"")
    assert late.stderr == b"fewer than 1 events in 2 s\n"
    assert run("events", "--follow", "--timeout", "1", env=pipe.env).returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_events_follows_until_a_signal_ends_it(pipe: Pipe, number: signal.Signals, code: int) -> None:
    with (
        pipe.worker(),
        subprocess.Popen(  # noqa: ASYNC220
            [*PROGRAM, "events", "--follow", "--from-beginning"],
            cwd=ROOT,
            env=pipe.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as following,
    ):
        try:
            await pipe.send(ConferenceCreate("c", "room", 10, "app", "name"))
            assert following.stdout
            assert json.loads(following.stdout.readline())["event"] == "conference.created"
            following.send_signal(number)
            rest = following.communicate(timeout=10)
            assert (following.returncode, *rest) == (code, b"", b"")
        finally:
            following.kill()


async def test_events_reads_newer_schemas_and_reports_other_records(pipe: Pipe) -> None:
    newer = json.loads(SCHEMAS["conference.Created"])
    newer["fields"].append({"name": "colour", "type": "string", "default": ""})
    event = Created("app", "room", "name", Meta("e", 1, 5, "app", "c", None, False, False))
    async with Registry(pipe.settings) as registry:
        subject = f"{pipe.topic('events')}-conference.Created"
        response = await registry._request("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(newer)})
    assert response.status == 200, response
    value = framing.head(int(json.loads(response.body)["id"])) + ENCODERS[Created](event, b"") + b"\x06red"
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(pipe.topic("events"), b"{}", b"room")
        await producer.send_and_wait(pipe.topic("events"), value, b"room")
    done = run("events", env=pipe.env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "name"
    assert b"not in the registry's wire format: expected magic byte 0, found 0x7b; skipped" in done.stderr
