"""`timeline` on real servers: every signal has its outcome, in the order in which they took effect."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.cli.timeline import last_lines
from pipeline.model import signals as s
from testkit.fork_server import run
from testkit.pipe import Pipe
from tests.cli.test_terminal import HOSTILE, is_safe, on_terminal
from tests.support.commands import PROGRAM

pytestmark = pytest.mark.broker
URLS = ("http://x/a.wav",)


def rows(pipe: Pipe, *arguments: str) -> list[Any]:
    done = run("timeline", *arguments, env=pipe.env)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(one) for one in done.stdout.splitlines()]


def story(found: list[Any]) -> list[tuple[str | None, str, list[str]]]:
    """Return (type, outcome or reason, events) of each entry."""
    return [
        (one["type"], one["reason"] or one["outcome"], [e["event"].removeprefix("conference.") for e in one["events"]])
        for one in found
    ]


async def life(pipe: Pipe, room: str = "room") -> None:
    """Let a worker with a watchdog of 1 s process all kinds of outcomes."""
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="1"):
        await pipe.send(
            s.ConferenceCreate("c", room, 1, "app", "n"),
            s.ConferencePause("p", room, 2, "o"),
            s.MemberJoined("j", room, 3, "s", "+1", True),
            s.MemberMuted("m", room, 4, "s"),
            s.ConferenceMute("u", room, 5, "s"),
            s.ConferencePlay("y", room, 6, URLS, "o"),
        )
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            await producer.send_and_wait(pipe.topic("api.signals"), b"{", room.encode())
            await producer.send_and_wait(pipe.topic("api.signals"), b"null", b"other", partition=pipe.partition(room))
        await pipe.until_events(5)
        await pipe.send(s.ConferenceDestroy("d", room, 7))
        await pipe.until_events(7)


STORY = [
    ("conference.create", "events", ["created"]),
    ("conference.pause", "playback_inactive", []),
    ("member.joined", "events", ["member.joined", "member.muted"]),
    ("member.muted", "none", []),
    ("conference.mute", "already_muted", []),
    ("conference.play", "events", ["play.started"]),
    (None, "dead", []),
    (None, "events", ["play.failed"]),
    ("conference.destroy", "events", ["member.left", "destroyed"]),
]


async def test_each_signal_has_its_outcome_in_order(pipe: Pipe) -> None:
    await life(pipe)
    found = rows(pipe, "room")
    dead = found[6]
    assert (dead["outcome"], dead["kind"]) == ("dead", "signal")
    assert dead["reason"].startswith("no JSON object")
    assert story([*found[:6], {**dead, "reason": ""}, *found[7:]]) == STORY
    assert found[0]["place"] == f"{pipe.topic('api.signals')}/{pipe.partition('room')}/0"
    assert found[7]["kind"] == "timeout"
    assert all(one["delay_ms"] >= 0 for one in found if one["outcome"] not in ("none", "unknown"))
    assert [one["type"] for one in rows(pipe, "room", "--last", "2")] == [None, "conference.destroy"]
    assert json.loads(run("timeline", "room", "-o", "json", env=pipe.env).stdout) == found


async def test_a_timeline_begins_at_the_birth_of_a_live_room(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", "room", 1, "a", "n"), s.ConferenceDestroy("d", "room", 2))
        await pipe.until_events(2)
        ended = run("timeline", "room", "-o", "text", env=pipe.env).stdout.decode().splitlines()
        await asyncio.sleep(0.01)
        await pipe.send(s.ConferenceCreate("e", "room", 3, "a", "n"))
        await pipe.until_events(3)
    lives = run("timeline", "room", "-o", "text", env=pipe.env).stdout.decode().splitlines()
    assert ended[0] == "from the oldest record kept"
    assert (len(ended), len(lives)) == (4, 3)
    assert lives[0].startswith("from the room's birth, 20")
    assert [one["signal"]["signal_id"] for one in rows(pipe, "room", "--since", "1h")] == ["c", "d", "e"]


async def test_a_signal_that_no_worker_processed_is_unknown(pipe: Pipe) -> None:
    await pipe.send(s.ConferenceCreate("c", "room", 1, "a", "n"))
    assert story(rows(pipe, "room")) == [("conference.create", "unknown", [])]
    done = run("timeline", "nobody", env=pipe.env)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"nothing is kept of room 'nobody'\n")


async def test_a_terminal_gets_safe_lines(pipe: Pipe) -> None:
    room = f"r{HOSTILE}"
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", room, 1, "app", HOSTILE), s.ConferencePause("p", room, 2, HOSTILE))
        await pipe.until_events(1)
        limit = time.monotonic() + 20
        while not await pipe.records("signals.rejected"):
            assert time.monotonic() < limit
    for form in ("text", "jsonl"):
        assert is_safe(on_terminal(*PROGRAM, "timeline", room.replace("\x00", ""), "-o", form, env=pipe.env))
    lines = await last_lines(pipe.settings, room, 1)
    assert len(lines) == 1
    assert "rejected: playback_inactive" in lines[0]
