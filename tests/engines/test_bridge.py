"""The shared part of the bridges on a real Kafka with real workers, with an engine in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from pipeline.engines.bridge import Bridge
from pipeline.engines.rules.commands import Destroy, Join, Leave, Mute, Play, Refused, Stop
from pipeline.engines.rules.ids import Node
from pipeline.errors import FencedError
from pipeline.model import signals as s
from testkit.pipe import Pipe
from tests.support.model_engine import ModelEngine

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]
ROOM = "n1-room-1"
SECONDS = 240.0


async def until(check: Callable[[], object], what: str = "") -> None:
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def bridged(pipe: Pipe, engine: ModelEngine, **options: float) -> AsyncIterator[Bridge]:
    lines: list[str] = []
    async with Bridge(pipe.settings, Node("n1"), engine, lines.append, **options) as bridge:
        stop = asyncio.Event()
        task = asyncio.create_task(bridge.run(stop))
        try:
            await until(lambda: task.done() or bridge.not_ready() in (None, "the engine can't be reached"), str(lines))
            assert not task.done(), task
            yield bridge
        finally:
            stop.set()
            await task


def counted(bridge: Bridge, name: str, **labels: str) -> float | None:
    return bridge.metrics.registry.get_sample_value(name, labels)


def api(kind: type, number: int, *values: object, room: str = ROOM) -> s.AnySignal:
    made: s.AnySignal = kind(f"s-{number}", room, s.Micros(time.time_ns() // 1000), *values)
    return made


async def timeline(pipe: Pipe, number: int) -> list[str]:
    return [one["event"].removeprefix("conference.") for one in await pipe.until_events(number, SECONDS)]


async def test_what_is_decided_is_performed_and_what_happens_is_published(pipe: Pipe) -> None:
    engine = ModelEngine()
    urls = ("http://a/b",)
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        async with bridged(pipe, engine):
            await pipe.send(
                api(s.ConferenceCreate, 1, "app", "name"),
                api(s.ConferenceJoin, 2, "n1-u"),
                api(s.ConferenceCreate, 3, "app", "name", room="other-room-1"),
            )
            await until(lambda: ROOM in engine.rooms, "the join")
            await timeline(pipe, 3)
            await pipe.send(
                api(s.ConferenceMute, 4, "n1-u"), api(s.ConferencePlay, 5, urls, "op"), api(s.ConferenceStop, 6, "r")
            )
            await until(lambda: any(isinstance(one, Stop) for one in engine.done), "the stop")
            await pipe.send(api(s.ConferenceLeave, 7, "n1-u"))
            await until(lambda: not engine.rooms[ROOM], "the leave")
            await timeline(pipe, 7)
            await pipe.send(api(s.ConferenceDestroy, 8))
            await until(lambda: any(isinstance(one, Destroy) for one in engine.done), "the destroy")
            found = await timeline(pipe, 8)
    own = [one for one in engine.done if type(one).__name__ != "Create"]
    assert own == [
        Join(ROOM, "n1-u"), Mute(ROOM, "n1-u"), Play(ROOM, "op", urls), Stop(ROOM, "op"), Leave(ROOM, "n1-u"),
        Destroy(ROOM),
    ]  # fmt: skip
    assert sorted(found) == sorted(
        ["created", "created", "member.joined", "member.muted", "play.started", "play.stopped", "member.left",
         "destroyed"]
    )  # fmt: skip
    assert len(await pipe.records("signals.rejected")) == 0


async def test_an_audit_repairs_what_was_not_reported(pipe: Pipe) -> None:
    engine = ModelEngine()
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        async with bridged(pipe, engine) as bridge:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"), api(s.ConferencePlay, 2, ("http://a/b",), "op"))
            engine.join(ROOM, "n1-a")
            await until(lambda: engine.plays, "the play")
            await timeline(pipe, 3)
            engine.silent = True
            engine.leave(ROOM, "n1-a")
            engine.join(ROOM, "n1-b")
            engine.finish(ROOM)
            bridge.doubt("a count differs")
            found = await pipe.until_events(6, SECONDS)
            await until(lambda: counted(bridge, "bridge_mismatches_total", kind="play_failed") == 1, "the counts")
            bridge.refresh()
            kinds = ("left", "joined", "play_failed")
            assert [counted(bridge, "bridge_audit_repairs_total", kind=kind) for kind in kinds] == [1, 1, 1]
            assert counted(bridge, "bridge_commands_total", command="play", result="done") == 1
            assert counted(bridge, "bridge_engine_connections_total") == 1
            assert counted(bridge, "bridge_waiting_signals") == counted(bridge, "bridge_lost_nodes") == 0
    assert {(one["event"], one.get("session_uuid"), one.get("reason")) for one in found[3:]} >= {
        ("conference.member.left", "n1-a", "orphan"),
        ("conference.member.joined", "n1-b", None),
        ("conference.play.failed", None, None),
    }


async def test_a_refused_play_fails_once(pipe: Pipe) -> None:
    engine = ModelEngine()
    engine.refuse[Play] = Refused("-ERR not found")
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        async with bridged(pipe, engine):
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"), api(s.ConferencePlay, 2, ("http://a/b",), "op"))
            found = await pipe.until_events(3, SECONDS)
    assert [(one["event"], one.get("operation_id")) for one in found][2] == ("conference.play.failed", "op")


async def test_a_play_whose_record_takes_too_long_is_not_sent(pipe: Pipe) -> None:
    engine = ModelEngine()
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        async with bridged(pipe, engine) as bridge:
            commit = bridge._decisions.commit

            async def slow(tp: object, offset: int, metadata: str = "") -> None:
                await commit(tp, offset, metadata)  # type: ignore[arg-type]
                if metadata:
                    await asyncio.sleep(5.5)

            bridge._decisions.commit = slow  # type: ignore[method-assign]
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"), api(s.ConferencePlay, 2, ("http://a/b",), "op"))
            found = await pipe.until_events(3, SECONDS)
    assert [(one["event"], one.get("operation_id")) for one in found][2] == ("conference.play.failed", "op")
    assert not any(isinstance(one, Play) for one in engine.done)


async def test_everyone_leaves_an_engine_that_stays_away(pipe: Pipe) -> None:
    engine = ModelEngine()
    with pipe.worker():
        async with bridged(pipe, engine, away_seconds=0.5):
            engine.join(ROOM, "n1-a")
            await timeline(pipe, 1)
            engine.go_away()
            found = await pipe.until_events(2, SECONDS)
    assert (found[1]["event"], found[1]["reason"]) == ("conference.member.left", "orphan")


async def test_a_second_bridge_takes_the_node(pipe: Pipe) -> None:
    first, second = ModelEngine(), ModelEngine()
    async with Bridge(pipe.settings, Node("n1"), first) as bridge:
        stop = asyncio.Event()
        task = asyncio.create_task(bridge.run(stop))
        await until(lambda: task.done() or bridge.not_ready() is None, "the first bridge")
        async with bridged(pipe, second):
            with pytest.raises(FencedError, match="another bridge has taken node n1: run one bridge per node"):
                await task
