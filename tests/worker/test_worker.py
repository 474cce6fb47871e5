"""One worker on a real broker: signals, events, table, positions, probes, and what ends it."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import time
from typing import Any

import msgspec
import pytest

from pipeline.metrics import package_version
from pipeline.model import signal_ids
from pipeline.model import signals as s
from pipeline.model.records import Gone, Member, Position, Room
from pipeline.model.schema_resolution import decoder
from pipeline.model.wire import DECODERS
from testkit.pipe import Pipe
from tests.support.state import remembered_ids

pytestmark = pytest.mark.broker
URL = "https://cdn.example.com/audio/announcement.wav"
T = 1_795_354_386_106_600


def history(room: str) -> list[s.AnySignal]:
    """Return the signals of a room's life in which most things happen once."""
    return [
        s.ConferenceCreate("c-1", room, T, "my-app", "Team Standup"),
        s.ConferenceJoin("c-2", room, T, "alice"),
        s.MemberJoined("m-1", room, T, "alice", "+15551234567", True),
        s.MemberJoined("m-2", room, T, "bob", "+15557654321"),
        s.ConferenceUnmute("c-3", room, T, "alice"),
        s.ConferencePlay("c-4", room, T, (URL,), "play-1"),
        s.ConferencePause("c-5", room, T, "pause-1"),
        s.ConferencePause("c-5", room, T, "pause-1"),
        s.ConferencePause("c-6", room, T, "pause-2"),
        s.ConferenceVolume("c-7", room, T, 9, "volume-1"),
        s.ConferenceVolume("c-8", room, T, 2, "volume-2"),
        s.PlayFinished("m-3", room, T, URL),
        s.ConferenceLeave("c-9", room, T, "bob"),
        s.MemberLeft("m-4", room, T, "bob"),
        s.ConferenceDestroy("c-10", room, T),
    ]


EXPECTED = [
    "created member.joined member.muted member.joined member.unmuted play.started play.paused play.resumed",
    "play.volume_changed play.finished member.left member.left destroyed",
]
NAMES = [f"conference.{name}" for line in EXPECTED for name in line.split()]


def row(record: Any) -> Any:
    """Decode a row of the table topic; None for a tombstone."""
    if record.value is None:
        return None
    kind = {"room": Room, "member": Member, "gone": Gone, "position": Position}[json.loads(record.key)[0]]
    return DECODERS[kind.RECORD](record.value, 5)


async def test_signals_become_events_in_order(pipe: Pipe) -> None:
    rooms = [f"acW68-room-{number}" for number in range(6)]
    with pipe.worker() as worker:
        await pipe.send(*(one for steps in zip(*map(history, rooms), strict=True) for one in steps))
        events = await pipe.until_events(len(NAMES) * len(rooms))
        assert worker.stop() == 0
    for room in rooms:
        mine = [event for event in events if event["room_id"] == room]
        assert [event["event"] for event in mine] == NAMES
        assert [event["meta"]["sequence"] for event in mine] == list(range(1, len(NAMES) + 1))
        assert [event["reason"] for event in mine if event["event"] == "conference.member.left"] == ["removed"] * 2
    for record in await pipe.records():
        headers = dict(record.headers)
        topic, partition, _ = headers["ce_signal"].decode().split("/")
        assert int(partition) == record.partition == pipe.partition(record.key.decode())
        assert topic in (pipe.topic("api.signals"), pipe.topic("media.signals"))


async def test_every_signal_is_counted(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        steps = history("room")
        await pipe.send(*steps, s.ConferencePause("late", "room", T, "x"))
        await pipe.until_events(len(NAMES))
        while len(await pipe.records("signals.rejected")) < 2:
            await asyncio.sleep(0.1)
        with_events = sum(worker.metric(f'pipeline_signals_total{{type="{kind.TYPE}"}}') for kind in s.SIGNALS)
        assert with_events == len(steps) + 1
        reasons = ("repeated", "join", "leave")
        assert [worker.metric(f'pipeline_no_ops_total{{reason="{r}"}}') for r in reasons] == [1, 1, 1]
        assert worker.metric('pipeline_rejected_total{reason="room_unknown"}') == 1
        assert worker.metric('pipeline_rejected_total{reason="volume_out_of_range"}') == 1
        assert worker.metric('pipeline_events_total{type="conference.play.paused"}') == 1
        assert worker.metric("pipeline_latency_seconds_count") > 0
        assert worker.metric("pipeline_rooms") == 0
        assert worker.metric("pipeline_partitions") == pipe.settings.partitions
        python, version = platform.python_version(), package_version()
        assert worker.metric(f'pipeline_build_info{{python="{python}",version="{version}"}}') == 1
    no_ops = [DECODERS["conference.NoOp"](r.value, 5) for r in await pipe.records("signals.noops")]
    assert [(n.signal_id, n.reason) for n in no_ops] == [("c-2", "join"), ("c-5", "repeated"), ("c-9", "leave")]
    rejected = [DECODERS["conference.Rejected"](r.value, 5) for r in await pipe.records("signals.rejected")]
    assert sorted((r.signal_id, r.reason) for r in rejected) == [
        ("c-7", "volume_out_of_range"),
        ("late", "room_unknown"),
    ]


async def test_pause_toggles_across_restarts(pipe: Pipe) -> None:
    create = s.ConferenceCreate("c", "room", T, "app", "name")
    await pipe.send(create, s.ConferencePlay("p", "room", T, (URL,), "play-1"))
    seen = 2
    for number in range(3):
        # Sent before the worker starts: on a slow machine the start alone may take the 10 s of the watchdog.
        await pipe.send(s.ConferencePause(f"pause-{number}", "room", T, f"op-{number}"))
        seen += 1
        with pipe.worker() as worker:
            await pipe.until_events(seen)
            assert worker.stop() == 0
    events = await pipe.events()
    toggles = [event["event"].rpartition(".")[2] for event in events[2:]]
    assert toggles == ["paused", "resumed", "paused"]
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3, 4, 5]


async def test_the_table_topic_shows_the_live_rooms(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(
            *history("gone"),
            s.ConferenceCreate("c-1", "stays", T, "my-app", "Name"),
            s.MemberJoined("m-1", "stays", T, 'odd "id", ünï', "+1"),
            s.ConferencePlay("c-2", "stays", T, (URL,), "play-1"),
            s.ConferencePause("c-3", "stays", T, "pause-1"),
        )
        await pipe.until_events(len(NAMES) + 4)
        assert worker.stop() == 0
    table = {record.key: row(record) for record in await pipe.records("rooms")}
    gone = table.pop(b'["gone","gone"]')
    assert remembered_ids(gone.recent) == tuple(f"c-{n}" for n in range(1, 11))
    live = {key: value for key, value in table.items() if value is not None and b"position" not in key}
    assert set(live) == {b'["room","stays"]', '["member","stays","odd \\"id\\", ünï"]'.encode()}
    room = live[b'["room","stays"]']
    assert (room.playback_status, room.operation_id, room.sequence) == ("paused", "play-1", 4)
    assert remembered_ids(room.recent) == ("c-1", "c-2", "c-3")
    assert room.deadline is None
    assert 0 < room.remaining <= 10_000_000
    assert table[b'["room","gone"]'] is None
    assert table[b'["member","gone","alice"]'] is None


async def test_positions_are_in_the_table_and_the_group(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(*history("room"))
        await pipe.until_events(len(NAMES))
        assert worker.stop() == 0
    number = pipe.partition("room")
    rows = [r for r in await pipe.records("rooms") if r.key == b'["position"]' and r.partition == number]
    position = row(rows[-1])
    offsets = {p.topic: p.offset for p in position.positions}
    api = sum(one.TOPIC == "api" for one in history("room"))
    assert offsets == {
        pipe.topic("api.signals"): api,
        pipe.topic("media.signals"): len(history("room")) - api,
    }
    assert position.transactional_id.startswith(pipe.settings.group_id)
    assert await _committed(pipe, number) == offsets


async def _committed(pipe: Pipe, number: int) -> dict[str, int]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    inputs = [TopicPartition(pipe.topic(f"{kind}.signals"), number) for kind in ("api", "media")]
    async with AIOKafkaConsumer(**pipe.settings.kafka(), group_id=pipe.settings.group_id) as consumer:
        return {tp.topic: await consumer.committed(tp) for tp in inputs}


async def test_a_row_with_an_additional_field_is_read(pipe: Pipe) -> None:
    """A newer worker's rows are understood by this one: rolling back must work."""
    from pipeline.model.wire import SCHEMAS

    schema = msgspec.json.decode(SCHEMAS["conference.Room"])
    schema["fields"].append({"name": "more", "type": "string", "default": "", "doc": "New."})
    read = decoder(7, msgspec.json.encode(schema).decode(), {"conference.Room": Room})
    from pipeline.model.wire import ENCODERS

    room = Room("room", "app", "name", 3, recent=signal_ids.of(("a", "b")))
    assert read(ENCODERS[Room](room, b"\0\0\0\0\7") + b"\6new") == room


async def test_a_worker_answers_probes_and_stops_cleanly(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        assert worker.get("/livez")[0] == 200
        assert json.loads(worker.get("/readyz")[1]) == {"ready": True, "reason": None}
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 5
    assert worker.log[-1]["msg"] == "stopped"
    assert all({"ts", "level", "msg"} <= set(line) for line in worker.log)
    logged = [line["msg"] for line in worker.log if "fine for development" not in line["msg"]]
    assert logged == ["starting", "partitions assigned", "stopping", "stopped"], "quiet by default"
    assert worker.log[-2]["signal"] == "SIGTERM"


NOT_POLLING = """
import asyncio, sys
from pipeline import settings
from pipeline.worker import faust_consumer, process, liveness

liveness.CHECK_SECONDS = 0.2
perform_seek = faust_consumer.Consumer.perform_seek

async def and_stop_polls(self):
    await perform_seek(self)
    asyncio.get_running_loop().call_later(1, self.stop_flow)

faust_consumer.Consumer.perform_seek = and_stop_polls
process.main(settings.load())
"""


NOT_FETCHING = """
from aiokafka.consumer.fetcher import Fetcher
from pipeline import settings
from pipeline.worker import process

async def unexpected(*_):
    raise LookupError("a node that is gone")

Fetcher._proc_fetch_request = unexpected
process.main(settings.load())
"""
NO_COORDINATOR = """
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from pipeline import settings
from pipeline.worker import process

async def away(*_):
    raise errors.KafkaError("CoordinatorNotAvailable")  # as aiokafka raises while a broker starts

GroupCoordinator._do_fetch_commit_offsets = away
process.main(settings.load())
"""
NOT_READING = """
from pipeline import settings
from pipeline.worker import intake, liveness, process

liveness.READ_CHECK_SECONDS = 0.4
intake.Intake._queue = lambda self, generation, fetch: None
process.main(settings.load())
"""


async def output_of(pipe: Pipe, program: str) -> bytes:
    """Run a program that runs a worker. Return its output, when it has ended with exit code 1."""
    command = [sys.executable, "-c", program]
    process = await asyncio.create_subprocess_exec(*command, env=pipe.env, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    return output


async def test_a_dead_fetch_task_ends_the_worker(pipe: Pipe) -> None:
    output = await output_of(pipe, NOT_FETCHING)
    assert b"aiokafka's fetch task has ended (LookupError('a node that is gone')): restart" in output


async def test_a_lost_membership_ends_the_worker(pipe: Pipe) -> None:
    """aiokafka keeps the error until it is read, and Faust does not read it."""
    assert b"CoordinatorNotAvailable" in await output_of(pipe, NO_COORDINATOR)


async def test_unread_signals_end_the_worker(pipe: Pipe) -> None:
    await pipe.send(*history("room-1"))
    output = await output_of(pipe, NOT_READING)
    assert f"nothing was read of {pipe.topic('api.signals')} partition".encode() in output
    assert b"there is more (engine in generation 1, generation 1, drainers 1, flow active True" in output


async def test_stopped_polls_end_the_worker(pipe: Pipe) -> None:
    output = await output_of(pipe, NOT_POLLING)
    assert b"polled nothing" in output
    assert b"drainers 1, flow active False, partitions 12, of them to be polled 8, in place True" in output
