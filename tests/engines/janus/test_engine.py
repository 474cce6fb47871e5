"""Janus' connections with a fake that obeys and misbehaves; without Kafka and without Janus."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest

from pipeline.engines.engine import EngineAwayError
from pipeline.engines.janus import api as api_module
from pipeline.engines.janus import engine as engine_module
from pipeline.engines.janus import listener as listener_module
from pipeline.engines.janus.engine import Access, Janus
from pipeline.engines.janus.rooms import MADE
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineMember
from pipeline.errors import ConfigError
from tests.support.fake_janus import ADMIN_KEY, TOKEN, FakeJanus
from tests.support.janus import event
from tests.support.janus_engine import CDN, ROOM, URLS, connected, until
from tests.support.sink import ListSink

pytestmark = pytest.mark.timeout(300)


async def test_what_happens_is_reported() -> None:
    async with FakeJanus(secret="s") as fake, connected(fake, secret="s") as own:
        assert await own.engine.perform(c.Create(ROOM)) is None
        await fake.join(ROOM, "a", "+1555")
        assert await own.engine.perform(c.Mute(ROOM, "n1-a")) is None
        assert await own.engine.perform(c.Play(ROOM, "op", URLS[:1])) is None
        await fake.finish(ROOM, "op#0")
        assert await own.engine.perform(c.Leave(ROOM, "n1-a")) is None
        await until(lambda: len(own.sink.signals) == 5)
        assert own.sink.said() == [
            ("member.joined", "n1-a"),
            ("member.muted", "n1-a"),
            ("play.progress", "op", URLS[0]),
            ("play.finished", "op", URLS[0]),
            ("member.left", "n1-a", "removed"),
        ]
        assert own.engine.version == "Janus 1.1.2"


async def test_requests_carry_what_janus_asks_for() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        made = fake.requests[-1]
        secret = made.pop("secret")
        assert made == {
            "request": "create", "room": ROOM, "admin_key": ADMIN_KEY, "description": MADE, "is_private": True,
            "permanent": False, "allow_rtp_participants": False,
        }  # fmt: skip
        assert len(secret) == 64
        await own.engine.perform(c.Play(ROOM, "op", URLS[:1]))
        played = fake.requests[-1]
        assert (played["filename"], played["file_id"], played["secret"]) == ("/media/a.opus", "op#0", secret)


async def test_commands_that_janus_lacks_or_refuses_are_refused() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.missing.add("/media/c.opus")
        assert await own.engine.perform(c.Create(ROOM)) is None
        assert await own.engine.perform(c.Create(ROOM)) is None
        for command, reason in {
            c.Mute(ROOM, "n1-a"): "error 492: No such user",
            c.Leave(ROOM, "n2-a"): "the session 'n2-a' is not one of node n1",
            c.Play("n1-room-none", "op", URLS[:1]): "error 485: No such room",
            c.Play(ROOM, "op", URLS[2:]): "error 499: Error opening file",
            c.Play(ROOM, "op", ("https://x/a.opus",)): "no --media-map for the url 'https://x/a.opus'",
            c.Play(ROOM, "op", (f"{CDN}../a.opus",)): "leaves its folder",
            c.Play(ROOM, "op", (f"{CDN}a\0.opus",)): "has a zero byte",
            c.Pause(ROOM): "Janus can't do this",
        }.items():
            refused = await own.engine.perform(command)
            assert refused is not None, command
            assert reason in refused.reason
            assert not refused.reported
        assert await own.engine.perform(c.Stop("n1-room-none", "op")) is None
        assert await own.engine.perform(c.Destroy(ROOM)) is None
        assert await own.engine.perform(c.Destroy(ROOM)) is None


async def test_the_snapshot_has_rooms_members_and_files() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await fake.join(ROOM, "a", "+1", muted=True)
        await fake.join("lobby", "b")
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        found = await own.engine.snapshot()
    assert found.life.isdigit()
    assert {room_id: (room.made, room.playing) for room_id, room in found.rooms.items()} == {
        ROOM: (True, "op"), "n1-room-lobby": (False, None),
    }  # fmt: skip
    assert found.rooms[ROOM].members == {"n1-a": EngineMember("+1", True)}
    assert found.rooms["n1-room-lobby"].members == {"n1-b": EngineMember("", False)}


async def test_a_room_is_found_by_its_short_name() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.join("lobby", "a")
        assert await own.engine.perform(c.Mute("n1-room-lobby", "n1-a")) is None
        assert fake.rooms["lobby"].members["a"]["muted"]


async def test_a_restart_empties_the_rooms_and_is_reconnected_to() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await fake.join(ROOM, "a")
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        await until(lambda: len(own.sink.signals) == 2)
        await fake.restart()
        await until(lambda: len(own.sink.signals) == 4 and own.sink.doubts[-1] == "connected to Janus")
        assert own.sink.said()[2:] == [("play.failed", "op"), ("member.left", "n1-a", "orphan")]
        assert own.engine.away_since is None
        assert "Janus was restarted" in own.sink.doubts


async def test_a_full_queue_disconnects_until_it_is_half_empty() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        own.sink.full = True
        await fake.join(ROOM, "a")
        await until(lambda: own.engine.no_events)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await fake.connect_events(own.port)
        own.sink.full = False
        while own.engine.no_events:
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                await fake.connect_events(own.port)
            await asyncio.sleep(0.05)
        await fake.join(ROOM, "b")
        await until(lambda: own.sink.signals)


async def test_a_newer_connection_of_events_replaces_the_older() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        older = fake._events
        await fake.connect_events(own.port)
        assert older is not None
        assert (await older.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await fake.join(ROOM, "a")
        await until(lambda: own.sink.signals)


async def test_connections_of_others_are_refused() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        for token in ("", "wrong", "token/x", "é"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
                await fake.connect_events(own.port, token)
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{own.port}/{TOKEN}") as answer:
            assert answer.status == 400
        assert not own.engine.no_events


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[",
        "\ud7ff",
        b"\xff\xfe",
        "[1,2]",
        '{"type":64,"timestamp":-1}',
        "[" * 100_000,
        '{"type":64,"event":7}',
    ],
)
async def test_bad_events_are_counted_and_lead_to_an_audit(text: str | bytes) -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.send(text)
        await fake.join(ROOM, "a")
        await until(lambda: own.sink.signals)
        assert own.engine.counts["bad"] >= 1
        assert any(one.startswith("an event can't be read: ") for one in own.sink.doubts)


async def test_an_event_that_is_too_long_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_MESSAGE", 1000)
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.send("x" * 2000)
        await until(lambda: own.engine.counts["too_long"] == 1)
        assert "a message of Janus was too long" in own.sink.doubts
        await fake.connect_events(own.port)
        await fake.join(ROOM, "a")
        await until(lambda: own.sink.signals)


async def test_missing_events_lead_to_audits_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "NO_EVENTS_SECONDS", 0.05)
    async with FakeJanus() as fake, connected(fake, events=False) as own:
        reason = (
            f"Janus' event handler is not connected to ws://127.0.0.1:{own.port}: check janus.eventhandler.wsevh.jcfg"
        )
        await until(lambda: own.sink.doubts.count("") > 3)
        assert own.sink.doubts.count(reason) == 1
        assert own.engine.no_events == reason


async def test_a_silent_janus_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(api_module, "REPLY_SECONDS", 0.3)
    async with FakeJanus() as fake, connected(fake) as own:
        fake.mute = True
        await until(lambda: own.engine.away_since is not None)
        with pytest.raises(EngineAwayError):
            await own.engine.snapshot()
        fake.mute = False
        await until(lambda: own.engine.away_since is None)


HOSTILE = [
    "", "x", "[]", "7", "{}", '{"janus":7}', '{"janus":"success","transaction":7}', "[" * 100_000, '{"a":"\ud7ff"}',
    '{"janus":"timeout","session_id":1}', '{"janus":"error","transaction":"4","error":7}',
    '{"janus":"success","transaction":"4","plugindata":{"data":7}}', '{"janus":"success","transaction":"4","data":{"id":"x"}}',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
async def test_bad_replies_are_survived(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "REPLY_SECONDS", 0.3)
    async with FakeJanus() as fake, connected(fake) as own:
        fake.answer = text
        with pytest.raises(EngineAwayError):
            await own.engine.snapshot()
        fake.answer = None
        await until(lambda: own.engine.away_since is None)
        assert not own.task.done()


@pytest.mark.parametrize(
    "data",
    [
        {"list": 7}, {"list": [7, {}, {"room": 7}, {"room": "x" * 300}]}, {"list": [{"room": "a", "num_participants": "x"}]},
        {"participants": [7, {}, {"id": []}, {"id": "x" * 300}, {"id": "a", "display": 7}]}, {"error_code": "x"},
    ],
)  # fmt: skip
async def test_a_snapshot_of_nonsense_is_survived(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.join("lobby", "a")

        async def message(body: dict[str, Any]) -> dict[str, Any]:
            return fake._list() | data if body["request"] == "list" else data

        monkeypatch.setattr(fake, "_message", message)
        with contextlib.suppress(EngineAwayError):
            await own.engine.snapshot()
        assert not own.task.done()


@pytest.mark.parametrize(
    ("fake", "options", "error"),
    [
        (FakeJanus(secret="s"), {"secret": "x"}, "set ENGINE_API_SECRET, or ENGINE_API_SECRET_FILE"),
        (FakeJanus(), {"admin_key": "x"}, "rejected the admin key: set ENGINE_PASSWORD, or ENGINE_PASSWORD_FILE"),
        (FakeJanus(string_ids=False), {}, "set string_ids = true in janus.plugin.audiobridge.jcfg"),
    ],
)
async def test_a_wrong_configuration_says_what_to_set(fake: FakeJanus, options: dict[str, Any], error: str) -> None:
    async with fake, connected(fake, events=False, **options) as own:
        found = await own.error()
        assert isinstance(found, ConfigError)
        assert error in str(found)


async def test_a_taken_port_of_the_events_is_an_error() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        access = Access(fake.url, ("127.0.0.1", own.port), ADMIN_KEY)
        with pytest.raises(ConfigError, match=r"--events-listen: 127.0.0.1:\d+ can't be listened on"):
            await Janus(Node("n1"), access).run(ListSink())


async def test_a_group_of_events_keeps_its_order() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.send(json.dumps([event("joined", n, id=f"m{n}") for n in range(100)]))
        await until(lambda: len(own.sink.signals) == 100)
        assert [one[1] for one in own.sink.said()] == [f"n1-m{n}" for n in range(100)]
