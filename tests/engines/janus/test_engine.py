"""Janus' connections with a fake that obeys and misbehaves; without Kafka and without Janus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.engines.engine import EngineAwayError, Playback
from pipeline.engines.janus import api as api_module
from pipeline.engines.janus import engine as engine_module
from pipeline.engines.janus import listener as listener_module
from pipeline.engines.janus.engine import Access, Janus
from pipeline.engines.janus.rooms import MADE
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineMember
from pipeline.errors import ConfigError
from testkit.janus import free_port
from tests.support.fake_janus import ADMIN_KEY, TOKEN, FakeJanus, FakeRoom
from tests.support.janus import event
from tests.support.sink import ListSink

pytestmark = pytest.mark.timeout(300)
ROOM = "n1-room-1"
CDN = "https://cdn.example.com/"
URLS = (f"{CDN}a.opus", f"{CDN}b.opus", f"{CDN}c.opus")
SECONDS = 120.0


async def until(check: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


class Connected:
    """An engine, what it reported, its task, and the port of its events."""

    def __init__(self, fake: FakeJanus, secret: str, admin_key: str) -> None:
        self.port = free_port()
        access = Access(fake.url, ("127.0.0.1", self.port), admin_key, secret, TOKEN)
        self.engine, self.sink = Janus(Node("n1"), access, [(CDN, "/media/")]), ListSink()
        self.task = asyncio.create_task(self.engine.run(self.sink))

    async def error(self) -> BaseException | None:
        await asyncio.wait([self.task])
        return self.task.exception()


@contextlib.asynccontextmanager
async def connected(
    fake: FakeJanus, *, secret: str = "", admin_key: str = ADMIN_KEY, events: bool = True
) -> AsyncIterator[Connected]:
    found = Connected(fake, secret, admin_key)
    try:
        await until(lambda: found.engine.away_since is None or found.task.done())
        if events:
            await fake.connect_events(found.port)
            await until(lambda: found.engine.has_events)
        yield found
    finally:
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)


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


async def test_the_files_of_a_playback_play_one_after_the_other() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        for number in range(3):
            await until(lambda number=number: list(fake.rooms[ROOM].files) == [f"op#{number}"])
            await fake.finish(ROOM, f"op#{number}")
        await until(lambda: len(own.sink.signals) == 6)
        assert [one[0] for one in own.sink.said()] == ["play.progress", "play.finished"] * 3
        assert [one[2] for one in own.sink.said()] == [url for url in URLS for _ in range(2)]
        await asyncio.sleep(0.1)
        assert fake.rooms[ROOM].files == {}


async def test_a_file_that_cannot_follow_is_reported() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.missing.add("/media/b.opus")
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        await fake.finish(ROOM, "op#0")
        await until(lambda: len(own.sink.signals) == 3)
        failed: Any = own.sink.signals[2]
        assert (failed.TYPE, failed.operation_id, failed.urls) == ("play.failed", "op", (URLS[1],))


@pytest.mark.parametrize("operation_id", ["op", None])
async def test_a_stop_is_not_reported_and_nothing_follows(operation_id: str | None) -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        await until(lambda: own.sink.signals)
        assert await own.engine.perform(c.Stop(ROOM, operation_id)) is None
        await own.engine.perform(c.Play(ROOM, "op-2", URLS))
        await until(lambda: len(own.sink.signals) == 2)
        assert [one[:2] for one in own.sink.said()] == [("play.progress", "op"), ("play.progress", "op-2")]
        assert list(fake.rooms[ROOM].files) == ["op-2#0"]


async def test_a_stop_of_an_older_playback_leaves_the_newer() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op-2", URLS))
        assert await own.engine.perform(c.Stop(ROOM, "op-1")) is None
        assert list(fake.rooms[ROOM].files) == ["op-2#0"]
        await fake.finish(ROOM, "op-2#0")
        await until(lambda: list(fake.rooms[ROOM].files) == ["op-2#1"])


async def test_files_of_others_are_seen_and_stopped() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        fake.rooms[ROOM].files["stray"] = "/x"
        await fake.happen("announcement-started", ROOM, file_id="stray")
        await until(lambda: own.sink.signals)
        assert (await own.engine.snapshot()).rooms[ROOM].playing == "stray"
        assert await own.engine.perform(c.Stop(ROOM)) is None
        await asyncio.sleep(0.1)
        assert (fake.rooms[ROOM].files, len(own.sink.signals)) == ({}, 1)


async def test_a_restarted_bridge_learns_what_plays_from_the_view() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        room = fake.rooms[ROOM] = FakeRoom()
        room.files["op#1"] = "/media/b.opus"
        play = c.Play(ROOM, "op", URLS)
        assert await own.engine.playing([ROOM]) == set()
        own.sink.live[ROOM] = Playback("op", URLS, 1)
        assert await own.engine.playing([ROOM]) == {ROOM}
        assert (await own.engine.snapshot()).rooms[ROOM].playing == "op"
        assert await own.engine.knows(play)
        await fake.finish(ROOM, "op#1")
        await until(lambda: list(room.files) == ["op#2"])
        assert own.sink.said()[0] == ("play.finished", "op", URLS[1])


async def test_a_playlist_goes_on_after_an_event_of_before_the_start() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        room = fake.rooms[ROOM] = FakeRoom()
        own.sink.live[ROOM] = Playback("op", URLS, 0)
        await fake.happen("announcement-stopped", ROOM, file_id="op#0")
        await until(lambda: list(room.files) == ["op#1"])
        assert not await own.engine.knows(c.Play(ROOM, "other", URLS))


async def test_a_playback_that_was_begun_before_can_be_stopped() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.rooms[ROOM] = FakeRoom()
        fake.rooms[ROOM].files["op#127"] = "/x"
        assert await own.engine.perform(c.Stop(ROOM, "op")) is None
        assert fake.rooms[ROOM].files == {}


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
        await until(lambda: not own.engine.has_events)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await fake.connect_events(own.port)
        own.sink.full = False
        while not own.engine.has_events:
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
        assert own.engine.has_events


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
        assert "an event can't be read" in own.sink.doubts


async def test_an_event_that_is_too_long_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_MESSAGE", 1000)
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.send("x" * 2000)
        await until(lambda: own.engine.counts["too_long"] == 1)
        assert "a message of Janus was too long" in own.sink.doubts
        await fake.connect_events(own.port)
        await fake.join(ROOM, "a")
        await until(lambda: own.sink.signals)


async def test_missing_events_lead_to_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "NO_EVENTS_SECONDS", 0.05)
    async with FakeJanus() as fake, connected(fake, events=False) as own:
        await until(lambda: "Janus' event handler is not connected" in own.sink.doubts[-1])


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


def test_a_path_leaves_its_folder_by_no_link(tmp_path: Path) -> None:
    from pipeline.engines.media_files import FileMap, UnfitError

    (folder := tmp_path / "media").mkdir()
    (folder / "out").symlink_to(tmp_path)
    files = FileMap([(CDN, str(folder))])
    assert files.path(f"{CDN}a b.opus") == f"{folder}/a b.opus"
    assert files.path("https://elsewhere/a.opus") is None
    with pytest.raises(UnfitError):
        files.path(f"{CDN}out/a.opus")
