"""The watchdog on a real broker, with 2 s instead of 10: in time, and never a false failure (promise 5)."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
URL = "https://cdn.example.com/audio/announcement.wav"
T = 1_795_354_386_106_600
SHORT = {"PIPELINE_WATCHDOG_SECONDS": "2"}


def plays(room: str) -> tuple[s.AnySignal, ...]:
    return s.ConferenceCreate("c", room, T, "app", "name"), s.ConferencePlay("p", room, T, (URL,), f"play-{room}")


async def failures(pipe: Pipe) -> dict[str, float]:
    """Return the seconds from a playback's dispatch to its failure, by room and by the broker's clock."""
    dispatched = {
        r.key.decode(): r.timestamp
        for r in await pipe.records("api.signals")
        if b'"conference.play"' in r.value or b"conference.play\x22" in r.value
    }
    return {
        r.key.decode(): (r.timestamp - dispatched[r.key.decode()]) / 1000
        for r in await pipe.records()
        if dict(r.headers)["ce_type"] == b"conference.play.failed"
    }


async def test_only_due_playbacks_time_out_and_in_time(pipe: Pipe) -> None:
    rooms = [f"room-{number}" for number in range(8)]
    with pipe.worker(**SHORT):
        for room in rooms:
            await pipe.send(*plays(room))
        await asyncio.sleep(0.5)
        await pipe.send(s.PlayFinished("m", "room-0", T, URL))
        await pipe.send(s.ConferenceStop("e", "room-1", T, "stop"))
        await pipe.send(s.ConferencePause("e", "room-2", T, "pause"))
        await pipe.until_events(2 * len(rooms) + 3 + 5)
        await asyncio.sleep(1)
    late = await failures(pipe)
    assert set(late) == set(rooms[3:])
    assert all(2.0 <= seconds <= 2.0 + 0.25 + 0.5 for seconds in late.values()), late


async def test_a_pause_keeps_the_remaining_time(pipe: Pipe) -> None:
    with pipe.worker(**SHORT):
        await pipe.send(*plays("room"))
        await asyncio.sleep(1.2)
        await pipe.send(s.ConferencePause("e-1", "room", T, "pause"))
        await asyncio.sleep(2.5)
        assert await failures(pipe) == {}, "a paused playback has no deadline"
        resumed = time.time()
        await pipe.send(s.ConferencePause("e-2", "room", T, "resume"))
        events = await pipe.until_events(5)
        assert 0.5 < time.time() - resumed < 2.0, "about 0.8 s were left"
    assert [event["event"].rpartition(".")[2] for event in events[1:]] == [
        "started",
        "paused",
        "resumed",
        "failed",
    ]
    failed = events[-1]
    assert failed["error"] == "playback_timeout"
    assert (failed["meta"]["cause"], failed["meta"]["synthetic"]) == ("play-room", True)


async def test_progress_keeps_a_playback_alive(pipe: Pipe) -> None:
    with pipe.worker(**SHORT, PIPELINE_WATCHDOG_MODE="progress"):
        await pipe.send(*plays("room"))
        for number in range(4):
            await asyncio.sleep(1)
            await pipe.send(s.PlayProgress(f"m-{number}", "room", T, "play-room"))
        assert await failures(pipe) == {}
        await pipe.until_events(3)
    assert 5.0 < (await failures(pipe))["room"] < 7.5


async def test_a_restart_fails_no_finished_playback(pipe: Pipe) -> None:
    """The deadline passes while no worker runs; the end of the playback was appended in time."""
    with pipe.worker(**SHORT) as worker:
        await pipe.send(*plays("ends-well"), *plays("never-ends"))
        await pipe.until_events(4)
        worker.kill()
    await pipe.send(s.PlayFinished("m", "ends-well", T, URL))
    await asyncio.sleep(3)
    with pipe.worker(**SHORT):
        await pipe.until_events(6)
        await asyncio.sleep(1)
    events = await pipe.events()
    last = {event["room_id"]: event["event"] for event in events}
    assert last == {"ends-well": "conference.play.finished", "never-ends": "conference.play.failed"}


async def test_a_backlog_gives_the_events_of_live_traffic(pipe: Pipe) -> None:
    """No worker runs: one playback ends in time, one ends too late; a mute comes after its join."""
    await pipe.send(*plays("in-time"), *plays("too-late"))
    await pipe.send(s.MemberJoined("m-0", "in-time", T, "alice", "+1"), s.ConferenceMute("e", "in-time", T, "alice"))
    await pipe.send(s.PlayFinished("m-1", "in-time", T, URL))
    await asyncio.sleep(2.5)
    await pipe.send(s.PlayFinished("m-2", "too-late", T, URL))
    with pipe.worker(**SHORT):
        events = await pipe.until_events(9)
    by_room = {room: [e for e in events if e["room_id"] == room] for room in ("in-time", "too-late")}
    kinds = [event["event"].removeprefix("conference.") for event in by_room["in-time"]]
    assert kinds == ["created", "play.started", "member.joined", "member.muted", "play.finished"]
    late = [(event["event"].removeprefix("conference."), event.get("operation_id")) for event in by_room["too-late"]]
    assert late == [
        ("created", None),
        ("play.started", "play-too-late"),
        ("play.failed", "play-too-late"),
        ("play.finished", ""),
    ]


async def test_a_producers_open_transaction_delays_timeouts(pipe: Pipe) -> None:
    """The invisible signals were appended in time, so the watchdog must not fire before they are read."""
    with pipe.worker(**SHORT) as worker:
        await pipe.send(*plays("room"))
        await pipe.until_events(2)
        producer = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-engine")
        async with producer:
            await producer.begin_transaction()
            finished = s.PlayFinished("m", "room", T, URL)
            await producer.send_and_wait(pipe.topic("media.signals"), signal_json(finished), b"room")
            await asyncio.sleep(3.5)
            assert await failures(pipe) == {}
            assert worker.metric("pipeline_open_foreign_transactions") == 1
            other = s.ConferenceVolume("v", "room", T, 1, "volume")
            assert other.signal_id
            await producer.commit_transaction()
        events = await pipe.until_events(3)
    assert events[-1]["event"] == "conference.play.finished"
    assert events[-1]["meta"]["ends_playback"] is True
