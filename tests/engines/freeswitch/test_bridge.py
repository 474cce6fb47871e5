"""The bridge of FreeSWITCH with real workers and a fake engine: what happens is published, what is decided performed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from pipeline.engines.bridge import Bridge
from pipeline.engines.freeswitch.engine import FreeSwitch
from pipeline.engines.rules.ids import Node
from pipeline.model import signals as s
from pipeline.view import RoomsView
from testkit.fake_freeswitch import PASSWORD, FakeFreeSwitch
from testkit.pipe import Pipe

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]
ROOM = "n1-room-1"
URL = "https://cdn.example.com/a.wav"
MEDIA = [("https://cdn.example.com/", "/media")]
SECONDS = 200.0


async def until(check: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def bridged(
    pipe: Pipe, fake: FakeFreeSwitch, *, kill: bool = False, notice: Callable[[str], object] = print
) -> AsyncIterator[Bridge]:
    """Run a bridge; with `kill` it ends without sending the rest and without a tombstone."""
    engine = FreeSwitch(Node("n1"), fake.address, PASSWORD, MEDIA)
    async with Bridge(pipe.settings, Node("n1"), engine, notice) as bridge:
        stop = asyncio.Event()
        task = asyncio.create_task(bridge.run(stop))
        try:
            await until(lambda: task.done() or bridge.not_ready() is None, "ready")
            assert not task.done(), task
            yield bridge
        finally:
            task.cancel() if kill else stop.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def api(kind: type, number: int, *values: object, room: str = ROOM) -> s.AnySignal:
    made: s.AnySignal = kind(f"s-{number}", room, s.Micros(time.time_ns() // 1000), *values)
    return made


async def test_a_conference_from_create_to_destroy(pipe: Pipe) -> None:
    async with FakeFreeSwitch(splits=True) as fake:
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
            async with bridged(pipe, fake):
                await pipe.send(api(s.ConferenceCreate, 1, "app", "name"))
                fake.join(ROOM, "u-1")
                fake.join("lobby", "u-2")
                await pipe.until_events(3, SECONDS)
                await pipe.send(api(s.ConferenceJoin, 2, "n1-u-2"))
                await until(lambda: len(fake.rooms[ROOM].members) == 2, "the transfer")
                await pipe.until_events(5, SECONDS)
                await pipe.send(api(s.ConferenceMute, 3, "n1-u-1"), api(s.ConferencePlay, 4, (URL,), "op-1"))
                await until(lambda: fake.rooms[ROOM].files, "the play")
                fake.finish(ROOM)
                await pipe.until_events(8, SECONDS)
                await pipe.send(api(s.ConferencePlay, 5, (URL,), "op-2"), api(s.ConferencePause, 6, "r-1"))
                await until(lambda: fake.rooms[ROOM].paused, "the pause")
                await pipe.send(api(s.ConferenceStop, 7, "r-2"), api(s.ConferenceLeave, 8, "n1-u-2"))
                await until(lambda: "u-2" not in fake.rooms[ROOM].members, "the kick")
                await pipe.until_events(12, SECONDS)
                await pipe.send(api(s.ConferenceDestroy, 9))
                await until(lambda: not fake.rooms, "the destroy")
                found = await pipe.until_events(14, SECONDS)
                await asyncio.sleep(1.0)
                assert len(await pipe.events()) == len(found)
    own = [one["event"].removeprefix("conference.") for one in found if one["room_id"] == ROOM]
    assert own == [
        "created", "member.joined", "member.joined", "member.muted", "play.started", "play.finished", "play.started",
        "play.paused", "play.stopped", "member.left", "member.left", "destroyed",
    ]  # fmt: skip
    assert [one["meta"]["playback_id"] for one in found if one["meta"]["ends_playback"]] == ["op-1", "op-2"]


async def test_a_play_that_was_begun_is_not_sent_again(pipe: Pipe) -> None:
    async with FakeFreeSwitch() as fake:
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
            async with bridged(pipe, fake, kill=True) as bridge:
                fake.join(ROOM, "u-1")
                await pipe.until_events(1, SECONDS)
                commit = bridge._decisions.commit

                async def die(tp: object, offset: int, metadata: str = "") -> None:
                    await commit(tp, offset, metadata)  # type: ignore[arg-type]
                    await asyncio.Event().wait()

                bridge._decisions.commit = die  # type: ignore[method-assign]
                await pipe.send(api(s.ConferencePlay, 1, (URL,), "op-1"))
                await pipe.until_events(2, SECONDS)
                await asyncio.sleep(1.0)
            async with bridged(pipe, fake):
                found = await pipe.until_events(3, SECONDS)
    assert (found[2]["event"], found[2]["operation_id"]) == ("conference.play.failed", "op-1")
    assert not any(" play {" in line for line in fake.lines)


async def test_two_conferences_of_one_room_are_one(pipe: Pipe) -> None:
    full, lines = "n1-room-lobby", list[str]()
    async with FakeFreeSwitch() as fake, RoomsView(pipe.settings) as view:
        await view.loaded()
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
            async with bridged(pipe, fake, notice=lines.append) as bridge:
                fake.join("other", "u-1")
                await pipe.until_events(1, SECONDS)
                await pipe.send(
                    api(s.ConferenceCreate, 1, "app", "name", room=full), api(s.ConferenceJoin, 2, "n1-u-1", room=full)
                )
                await until(lambda: full in fake.rooms, "the transfer")
                fake.join("lobby", "u-2")  # the dialplan's name
                await until(lambda: agree(view, fake), "both are members")
                await pipe.send(*(api(s.ConferenceMute, 10 + number, f"n1-u-{number}", room=full) for number in (1, 2)))
                await until(lambda: muted(fake) == {"u-1", "u-2"} and agree(view, fake), "both are muted")
                await audited(bridge)
                assert agree(view, fake)
                warnings = [line for line in lines if "warning" in line]
                assert len(warnings) == 1
                assert "n1-room-lobby and lobby are one room" in warnings[0]
                fake.leave("u-1")
                await until(lambda: agree(view, fake) and view.members(full), "the first has ended")
                await audited(bridge)
                assert agree(view, fake)
                assert [one.session_uuid for one in view.members(full)] == ["n1-u-2"]
                assert not any(line.startswith("audit: left") for line in lines)
                fake.join(full, "u-3")
                await until(lambda: agree(view, fake), "there are two again")
                await pipe.send(api(s.ConferenceDestroy, 20, room=full))
                await until(lambda: not fake.rooms and agree(view, fake), "the destroy")
                await audited(bridge)
                assert view.room(full) is None
                found = bridge.metrics.registry.get_sample_value("bridge_mismatches_total", {"kind": "two_rooms"})
                assert found >= 1


async def audited(bridge: Bridge) -> None:
    """Wait for an audit that begins now: the next one that ends may have begun before."""
    audits = bridge.metrics.audits._value
    for _ in range(2):
        done = audits.get()
        bridge.doubt("the test")
        while audits.get() == done:
            await asyncio.sleep(0.05)


def muted(fake: FakeFreeSwitch) -> set[str]:
    return {call for room in fake.rooms.values() for call, one in room.members.items() if not one["speak"]}


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_random_faults_the_view_equals_the_engine(pipe: Pipe, seed: int) -> None:
    source = random.Random(seed)
    async with FakeFreeSwitch(seed=seed, splits=True) as fake, RoomsView(pipe.settings) as view:
        await view.loaded()
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
            for _ in range(2):
                async with bridged(pipe, fake, kill=True):
                    for number in range(60):
                        act(source, fake, number)
                        await asyncio.sleep(source.random() * 0.05)
                for number in range(10):  # while no bridge runs
                    act(source, fake, number)
            fake.loses = False
            async with bridged(pipe, fake) as bridge:
                await until(lambda: agree(view, fake), f"view {shown(view)}, engine {model(fake)}")
                await audited(bridge)
                assert agree(view, fake)


def act(source: random.Random, fake: FakeFreeSwitch, number: int) -> None:
    call = f"u-{source.randrange(12)}"
    fault = source.randrange(40)
    if fault == 0:
        fake.drop()
    elif fault == 1:
        fake.restart()
    elif fault < 6:
        fake.loses = not fake.loses
    elif call in fake.calls and fault < 22:
        fake.leave(call)
    elif call in fake.calls and fault < 28:
        member = fake.rooms[fake.calls[call]].members[call]
        fake._of_member(fake.calls[call], "mute" if member["speak"] else "unmute", [f"uuid={call}"])
    else:
        name = source.choice(("n1-room-0", "n1-room-1", "n1-room-2", "2"))  # the last two are one room
        fake.join(name, call, muted=number % 5 == 0)


def model(fake: FakeFreeSwitch) -> set[tuple[str, str, bool]]:
    return {
        (Node("n1").room_id(room) or "", f"n1-{call}", not one["speak"])
        for room, found in fake.rooms.items()
        for call, one in found.members.items()
    }


def shown(view: RoomsView) -> set[tuple[str, str, bool]]:
    return {
        (room_id, one.session_uuid, one.muted) for room_id in view.room_ids(node="n1") for one in view.members(room_id)
    }


def agree(view: RoomsView, fake: FakeFreeSwitch) -> bool:
    return not view.stale and shown(view) == model(fake)
