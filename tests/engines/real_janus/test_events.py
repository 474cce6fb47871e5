"""Both event handlers of a real Janus: what the HTTP handler posts, and a bridge that no handler reaches."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from pipeline.engines.bridge import Bridge
from pipeline.engines.janus import post_listener
from pipeline.management import HttpServer
from pipeline.model import signals as s
from testkit.janus import TOKEN, Member
from testkit.pipe import Pipe
from tests.support.real_janus import CDN, ROOM, SECONDS, Handler, api, bridged, engine_of, line, real_janus, until
from tests.support.sink import ListSink

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (TOKEN, ""),
        ("", f'backend_user = "janus"\n    backend_pwd = "{TOKEN}"\n    compress = true'),
    ],
)
async def test_a_conference_by_the_http_handler(pipe: Pipe, tmp_path: Path, path: str, options: str) -> None:
    with (
        real_janus(tmp_path, handler="http", path=path, handler_options=options) as janus,
        pipe.worker(PIPELINE_WATCHDOG_MODE="progress", PIPELINE_WATCHDOG_SECONDS="6"),
    ):
        janus.media("a.opus", 1.0)
        async with bridged(pipe, janus, handler="http") as bridge:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "Standup"))
            await pipe.until_events(1, SECONDS)
            await until(lambda: bridge.metrics.commands.labels("create", "done")._value.get() == 1, "the room")
            async with Member(janus, ROOM, "alice", "+15550100101"):
                await pipe.until_events(2, SECONDS)
                await pipe.send(api(s.ConferencePlay, 2, (f"{CDN}a.opus", f"{CDN}a.opus"), "list"))
                await pipe.until_events(5, SECONDS)
            await pipe.until_events(6, SECONDS)
            await pipe.send(api(s.ConferenceDestroy, 3))
            found = [line(one) for one in await pipe.until_events(7, SECONDS)]
    assert found == [
        "created",
        "member.joined n1-alice +15550100101",
        "play.started list a.opus a.opus",
        "play.finished list a.opus",
        "play.finished list a.opus",
        "member.left n1-alice hangup",
        "destroyed",
    ]
    assert await pipe.records("signals.dead") == []


async def test_a_post_without_a_reply_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_listener, "HOLD_SECONDS", 0.3)
    with real_janus(tmp_path, handler="http") as janus:
        sink, engine = ListSink(), engine_of(janus, handler="http")
        running = asyncio.create_task(engine.run(sink))
        try:
            await until(
                lambda: running.done() or not (engine.away_since or engine.no_events), "the engine sends events"
            )
            await engine._rooms.create(ROOM)
            sink.full = True
            async with Member(janus, ROOM, "alice"):
                await until(engine._listener._turn.locked, "a post waits")  # type: ignore[attr-defined]
                async with Member(janus, ROOM, "bob"):
                    await asyncio.sleep(1.0)
                    sink.full = False
                    await until(lambda: sink.signals, "the second post")
            await until(lambda: len(sink.signals) >= 3, "both lefts")
            await asyncio.sleep(1.0)  # what is sent again
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert sink.said() == [
        ("member.joined", "n1-bob"),
        ("member.left", "n1-bob", "hangup"),
        ("member.left", "n1-alice", "hangup"),
    ]
    assert sink.doubts.count("events were lost while the queue was full") == 1


@pytest.mark.parametrize("handler", ["ws", "http"])
async def test_a_bridge_that_no_event_handler_reaches_is_not_ready(
    pipe: Pipe, tmp_path: Path, handler: Handler
) -> None:
    lines: list[str] = []
    with real_janus(tmp_path, handler=handler) as janus:
        async with bridged(pipe, janus, events=False, handler=handler, notice=lines.append) as bridge:
            reason = bridge.not_ready()
            assert reason is not None
            assert reason.startswith(f"Janus' event handler is not connected to {handler}://127.0.0.1:")
            name = {"ws": "wsevh", "http": "sampleevh"}[handler]
            assert reason.endswith(f": check janus.eventhandler.{name}.jcfg")
            assert await readyz(bridge) == (503, {"ready": False, "reason": reason})
            audits = bridge.metrics.doubts
            before = audits._value.get()
            await until(lambda: audits._value.get() >= before + 2, "two audits more")
            assert sum(reason in one for one in lines) == 1
    with real_janus(tmp_path / "right", handler=handler) as janus:
        async with bridged(pipe, janus, handler=handler) as bridge:
            assert await readyz(bridge) == (200, {"ready": True, "reason": None})


async def readyz(bridge: Bridge) -> tuple[int, dict[str, object]]:
    server = HttpServer(bridge, bridge.metrics.registry, "127.0.0.1", 0)
    port = await server.start()
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status, json.loads(await answer.text())
    finally:
        await server.stop()
