"""FreeSWITCH's connection with a fake that obeys and misbehaves; without Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipeline.engines.engine import EngineAwayError
from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.engines.freeswitch.engine import FreeSwitch
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineMember
from pipeline.errors import ConfigError
from testkit.fake_freeswitch import PASSWORD, FakeFreeSwitch
from tests.support.freeswitch import captured
from tests.support.sink import ListSink

pytestmark = pytest.mark.timeout(300)
ROOM = "n1-room-1"
MEDIA = [("https://cdn.example.com/", "/media")]
URL = "https://cdn.example.com/a.wav"
SECONDS = 120.0


async def until(check: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def connected(
    fake: FakeFreeSwitch, node: str = "n1", password: str = PASSWORD, silent_seconds: float = 60.0
) -> AsyncIterator[tuple[FreeSwitch, ListSink]]:
    sink = ListSink()
    engine = FreeSwitch(Node(node), fake.address, password, MEDIA, silent_seconds=silent_seconds)
    task = asyncio.create_task(engine.run(sink))
    try:
        await until(lambda: engine.away_since is None or task.done())
        yield engine, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_happens_is_reported_however_frames_are_split() -> None:
    async with FakeFreeSwitch(splits=True) as fake, connected(fake) as (engine, sink):
        fake.join(ROOM, "u-1", "+1555é")
        fake.join("lobby", "u-2", muted=True)
        assert await engine.perform(c.Mute(ROOM, "n1-u-1")) is None
        assert await engine.perform(c.Play(ROOM, "op 1", (URL,))) is None
        fake.finish(ROOM)
        fake.leave("u-1")
        await until(lambda: len(sink.signals) == 6)
        assert sink.said() == [
            ("member.joined", "n1-u-1"),
            ("member.joined", "n1-u-2"),
            ("member.muted", "n1-u-1"),
            ("play.progress", "op 1", URL),
            ("play.finished", "op 1", URL),
            ("member.left", "n1-u-1", "hangup"),
        ]
        assert {one.room_id for one in sink.signals} == {ROOM, "n1-room-lobby"}
        assert engine.version.startswith("FreeSWITCH Version 1.11.3")


async def test_a_lost_connection_of_the_commands_is_made_again() -> None:
    async with FakeFreeSwitch() as fake, connected(fake, silent_seconds=600.0) as (engine, sink):
        fake.join(ROOM, "u-1")
        fake.drop_commands()
        await until(lambda: engine.away_since is not None)
        await until(lambda: engine.away_since is None)
        assert await engine.perform(c.Mute(ROOM, "n1-u-1")) is None
        assert sink.doubts[-1] == "connected to FreeSWITCH"


async def test_every_command_obeys_the_table() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, sink):
        fake.join(ROOM, "u-1")
        fake.join("lobby", "u-2")
        assert await engine.perform(c.Create(ROOM)) is None
        assert await engine.perform(c.Volume(ROOM, 3)) is None
        play = c.Play(ROOM, "op-1", (URL, "https://cdn.example.com/b.wav"))
        assert not await engine.knows(play)
        assert await engine.perform(play) is None
        assert list(fake.rooms[ROOM].files) == [
            "{operation_id=op-1,vol=3}/media/a.wav", "{operation_id=op-1,vol=3}/media/b.wav",
        ]  # fmt: skip
        assert await engine.knows(play)
        assert await engine.playing([ROOM, "n1-room-lobby", "n1-room-none"]) == {ROOM}
        for _ in range(2):  # a repeat must not toggle
            assert await engine.perform(c.Pause(ROOM)) is None
            assert fake.rooms[ROOM].paused
        assert await engine.perform(c.Resume(ROOM)) is None
        assert not fake.rooms[ROOM].paused
        assert await engine.perform(c.Stop(ROOM)) is None
        assert not fake.rooms[ROOM].files
        assert await engine.perform(c.Join(ROOM, "n1-u-2")) is None
        assert set(fake.rooms[ROOM].members) == {"u-1", "u-2"}
        assert await engine.perform(c.Leave(ROOM, "n1-u-2")) is None
        assert await engine.perform(c.Mute(ROOM, "n1-u-1", on=False)) is None
        assert await engine.perform(c.Destroy(ROOM)) is None
        assert not fake.rooms
        assert await engine.perform(c.Destroy(ROOM)) is None
        assert await engine.perform(c.Stop(ROOM)) is None
        await until(lambda: ("member.left", "n1-u-2", "removed") in sink.said())


async def test_refusals_say_who_reports_them() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, sink):
        nowhere = await engine.perform(c.Play(ROOM, "op", (URL,)))
        assert nowhere == c.Refused(f"-ERR Conference {ROOM} not found")
        fake.join(ROOM, "u-1")
        missing = await engine.perform(c.Play(ROOM, "op", ("https://cdn.example.com/none.wav",)))
        assert missing is not None
        assert missing.reported
        await until(lambda: any(kind == "play.failed" for kind, *_ in sink.said()))
        for command in (
            c.Mute(ROOM, "n1-none"), c.Mute(ROOM, "n2-u-1"), c.Join(ROOM, "n1-none"), c.Leave(ROOM, "n1-x y"),
            c.Play(ROOM, "op", ("https://cdn.example.com/../x",)), c.Pause(ROOM), c.Stop("n1-room-a b"),
        ):  # fmt: skip
            refused = await engine.perform(command)
            assert refused is not None, command
            assert not refused.reported
        assert not any("\n" in line for line in fake.lines)


async def test_the_snapshot_has_members_and_files() -> None:
    async with FakeFreeSwitch(splits=True) as fake, connected(fake) as (engine, _):
        fake.join(ROOM, "u-1", muted=True)
        fake.join("lobby", "u-2")
        await engine.perform(c.Play("n1-room-lobby", "op", (URL,)))
        found = await engine.snapshot()
    assert found.life == fake.core
    assert found.rooms[ROOM].members == {"n1-u-1": EngineMember("+15550100201", True)}
    assert {room_id: room.plays for room_id, room in found.rooms.items()} == {ROOM: False, "n1-room-lobby": True}


async def test_a_lost_event_is_noticed_by_the_size() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (_, sink):
        fake.join(ROOM, "u-1")
        await until(lambda: sink.signals)
        before = len(sink.doubts)
        fake.loses = True
        fake.join(ROOM, "u-2")
        fake.loses = False
        fake.join(ROOM, "u-3")
        await until(lambda: len(sink.doubts) > before)
        assert "Conference-Size is 3" in sink.doubts[-1]


async def test_a_killed_engine_is_reconnected_to_and_its_members_leave() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, sink):
        fake.join(ROOM, "u-1")
        await until(lambda: sink.signals)
        doubts = len(sink.doubts)
        fake.restart()
        await until(lambda: len(sink.doubts) >= doubts + 2 and engine.away_since is None)
        fake.join(ROOM, "u-2")
        await until(lambda: len(sink.signals) == 3)
        assert sorted(sink.said()[1:]) == [("member.joined", "n1-u-2"), ("member.left", "n1-u-1", "orphan")]
        assert engine.counts["reconnects"] >= 1


async def test_a_silent_connection_counts_as_dead() -> None:
    async with FakeFreeSwitch() as fake, connected(fake, silent_seconds=1.0) as (engine, sink):
        await until(lambda: any("silent for 1 s" in line for line in sink.doubts))
        await until(lambda: engine.away_since is None)


async def test_an_engine_that_is_away_says_so() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, _):
        fake._server.close()
        fake.drop()
        await until(lambda: engine.away_since is not None)
        with pytest.raises(EngineAwayError):
            await engine.snapshot()
        with pytest.raises(EngineAwayError):
            await engine.perform(c.Stop(ROOM))


async def test_a_full_queue_disconnects_until_there_is_room() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, sink):
        sink.full = True
        fake.join(ROOM, "u-1")
        await until(lambda: engine.away_since is not None)
        sink.full = False
        await until(lambda: engine.away_since is None)
        assert "the queue to Kafka is full" in sink.doubts


async def test_a_wrong_password_names_the_setting() -> None:
    async with FakeFreeSwitch() as fake:
        engine = FreeSwitch(Node("n1"), fake.address, "wrong")
        with pytest.raises(ConfigError, match="rejected the password: set ENGINE_PASSWORD"):
            await engine.run(ListSink())


@pytest.mark.parametrize("name", ["freeswitch-rules.jsonl", "freeswitch-commands.jsonl", "freeswitch-restart.jsonl"])
async def test_a_recording_gives_what_the_adapter_gives(name: str) -> None:
    events: list[dict[str, Any]] = [one for one in captured(name) if "Event-Name" in one]
    adapter = Adapter([("/media", "https://cdn.example.com/")], node="acW68")
    wanted = [signal for one in events for signal in adapter.feed(one, 0).signals] + adapter.end().signals
    async with FakeFreeSwitch(splits=True) as fake, connected(fake, "acW68") as (_, sink):
        for one in events:
            fake.send(json.loads(json.dumps(one)))
        await until(lambda: len(sink.signals) >= len(wanted))
    by_room = sorted(wanted, key=lambda one: one.room_id)
    assert [one.signal_id for one in sorted(sink.signals, key=lambda one: one.room_id)] == [
        one.signal_id for one in by_room
    ]
