"""Events by Janus' HTTP event handler: what it posts, bodies that it does not send, and whether it reaches the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from pipeline.engines.janus import engine as engine_module
from pipeline.engines.janus import listener as listener_module
from pipeline.engines.janus import post_listener
from pipeline.engines.rules import commands as c
from tests.support.fake_janus import TOKEN, FakeJanus
from tests.support.janus import event
from tests.support.janus_engine import ROOM, URLS, Connected, connected, until

pytestmark = pytest.mark.timeout(300)


@contextlib.asynccontextmanager
async def posting() -> AsyncIterator[tuple[FakeJanus, Connected]]:
    async with FakeJanus() as fake, connected(fake, handler="http") as own:
        yield fake, own


def joined(member: str) -> str:
    return json.dumps(event("joined", id=member))


async def test_what_happens_is_reported() -> None:
    async with posting() as (fake, own):
        assert await own.engine.perform(c.Create(ROOM)) is None
        await fake.join(ROOM, "a", "+1555")
        assert await own.engine.perform(c.Play(ROOM, "op", URLS[:1])) is None
        await fake.finish(ROOM, "op#0")
        assert await own.engine.perform(c.Leave(ROOM, "n1-a")) is None
        await until(lambda: len(own.sink.signals) == 4)
        assert own.sink.said() == [
            ("member.joined", "n1-a"),
            ("play.progress", "op", URLS[0]),
            ("play.finished", "op", URLS[0]),
            ("member.left", "n1-a", "removed"),
        ]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (joined("a"), {}),
        (f" \r\n[{joined('a')}]", {"Content-Type": "text/plain"}),
        (gzip.compress(f"[{joined('a')}]".encode()), {"Content-Encoding": "gzip"}),
    ],
)
async def test_an_event_a_list_and_a_compressed_list_are_taken(body: str | bytes, headers: dict[str, str]) -> None:
    async with posting() as (fake, own):
        assert await fake.post(body, headers=headers) == (200, "")
        assert own.sink.said() == [("member.joined", "n1-a")]


async def test_a_body_that_is_sent_again_is_taken_once() -> None:
    async with posting() as (fake, own):
        assert await fake.post(joined("a")) == (200, "")
        assert await fake.post(joined("a")) == (200, "received before")
        assert await fake.post(joined("b")) == (200, "")
        assert own.sink.said() == [("member.joined", "n1-a"), ("member.joined", "n1-b")]


NO_EVENT = "not all of it can be read as events of Janus"
HOSTILE: list[tuple[bytes, dict[str, str], str]] = [
    (b"", {}, NO_EVENT),
    (b"x", {}, NO_EVENT),
    (b"[", {}, NO_EVENT),
    (b"\xff\xfe", {}, NO_EVENT),
    (b"[" * 100_000, {}, NO_EVENT),
    (b"[1,2]", {}, NO_EVENT),
    (b'{"type":64,"timestamp":-1}', {}, NO_EVENT),
    (b"x" * 20, {"Content-Encoding": "gzip"}, "no gzip"),
    (b"", {"Content-Encoding": "gzip"}, "incomplete gzip"),
    (gzip.compress(b"[]")[:-9], {"Content-Encoding": "gzip"}, "incomplete gzip"),
    (b"x", {"Content-Encoding": "br"}, "the Content-Encoding 'br' is not supported"),
]


@pytest.mark.parametrize(("body", "headers", "error"), HOSTILE)
async def test_bad_bodies_are_counted_and_cost_nothing_else(body: bytes, headers: dict[str, str], error: str) -> None:
    async with posting() as (fake, own):
        assert await fake.post(body, headers=headers) == (400, error)
        assert own.engine.counts["bad"] >= 1
        assert any(one.startswith("an event can't be read: ") for one in own.sink.doubts)
        assert await fake.post(joined("a")) == (200, "")
        assert own.sink.said() == [("member.joined", "n1-a")]


async def test_a_bad_event_of_a_list_costs_only_itself() -> None:
    async with posting() as (fake, own):
        assert (await fake.post(f'[{joined("a")}, 7, {{"type":64,"event":[]}}, {joined("b")}]'))[0] == 400
        assert own.engine.counts["bad"] == 2
        assert own.sink.said() == [("member.joined", "n1-a"), ("member.joined", "n1-b")]


async def parts(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b" " * 1000


async def test_bodies_that_are_too_long_lead_to_an_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_MESSAGE", 1000)
    bomb = gzip.compress(b" " * 10_000_000)
    async with posting() as (fake, own):
        assert await fake.post(b" " * 1001) == (413, "more than 1000 bytes")
        with contextlib.suppress(aiohttp.ClientError):  # the bridge need not read all of it
            assert (await fake.post(parts(1000)))[0] == 413
        await until(lambda: own.engine.counts["too_long"] == 2)
        assert (await fake.post(bomb, headers={"Content-Encoding": "gzip"}))[0] == 413
        assert (own.engine.counts["too_long"], own.engine.counts["bad"]) == (3, 0)
        assert own.sink.doubts.count("a message of Janus was too long") == 3
        assert await fake.post(joined("a")) == (200, "")
        assert await fake.post(joined("b") + " " * (1000 - len(joined("b")))) == (200, "")


async def test_a_body_that_does_not_come_gives_up_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_listener, "BODY_SECONDS", 0.1)
    async with posting() as (fake, own):
        head = f"POST /{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode()
        for text in (head, head + b"[", head.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked") + b"zz\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
            writer.write(text)
            with contextlib.suppress(ConnectionError):
                assert b" 200 " not in await reader.read()
            writer.close()
        assert await fake.post(joined("a")) == (200, "")
        assert own.sink.said() == [("member.joined", "n1-a")]


@pytest.mark.parametrize(
    ("path", "password", "status"),
    [
        (f"/{TOKEN}", None, 200),
        (f"/{TOKEN}", "wrong", 200),
        ("/", TOKEN, 200),
        ("/", None, 404),
        ("/", "", 404),
        ("/", "wrong", 404),
        ("/", f"{TOKEN}x", 404),
        ("/wrong", TOKEN, 404),
        ("/%ED%A0%80", None, 404),
        (f"//{TOKEN}", None, 404),
    ],
)
async def test_only_the_token_as_path_or_password_is_accepted(path: str, password: str | None, status: int) -> None:
    async with posting() as (fake, own):
        auth = None if password is None else aiohttp.BasicAuth("janus", password)
        url = f"http://127.0.0.1:{own.port}{path}"
        assert (await fake.post(joined("a"), url=url, auth=auth))[0] == status
        assert len(own.sink.signals) == (status == 200)


@pytest.mark.parametrize("text", ["Basic", "Basic !", "Basic dG9rZW4=", "Bearer token", "Basic é"])
async def test_credentials_that_are_none_are_refused(text: str) -> None:
    async with posting() as (fake, own):
        url = f"http://127.0.0.1:{own.port}/"
        assert (await fake.post(joined("a"), url=url, headers={"Authorization": text}))[0] == 404
        assert (await fake.post(joined("a"), url=url, headers={"Authorization": text}))[0] == 404
        refused = (
            "a request to the port of the events has neither the path nor the password that ENGINE_EVENTS_TOKEN names"
        )
        assert own.sink.doubts.count(refused) == 1


async def test_the_other_event_handler_is_refused_with_the_reason() -> None:
    async with posting() as (fake, own):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="405"):
            await fake.connect_events(own.port)
        expected = "is a GET: --events-listen http:// is for janus.eventhandler.sampleevh.jcfg"
        assert own.sink.doubts[-1].endswith(expected)
    async with FakeJanus() as fake, connected(fake) as own:
        fake.post_events(own.port)
        assert (await fake.post(joined("a")))[0] == 405
        expected = "is a POST: --events-listen ws:// is for janus.eventhandler.wsevh.jcfg"
        assert own.sink.doubts[-1].endswith(expected)


async def test_requests_wait_while_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_listener, "HOLD_SECONDS", 0.1)
    async with posting() as (fake, own):
        own.sink.full = True
        first = asyncio.create_task(fake.post(joined("a")))
        await until(own.engine._listener._turn.locked)  # type: ignore[attr-defined]
        with pytest.raises(aiohttp.ClientError):
            await fake.post(joined("b"))
        own.sink.full = False
        assert await first == (200, "")
        assert "events were lost while the queue was full" in own.sink.doubts
        assert await fake.post(joined("b")) == (200, "")
        assert own.sink.said() == [("member.joined", "n1-b")]


async def test_a_silent_janus_is_probed_and_then_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "NO_EVENTS_SECONDS", 0.05)
    monkeypatch.setattr(post_listener, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(post_listener, "SILENT_SECONDS", 0.6)
    async with posting() as (fake, own):
        probes = [one["request"] for one in fake.requests if one.get("room") == "n1-room-probe"]
        assert probes == ["create", "destroy"]
        assert not own.sink.signals
        assert "n1-room-probe" not in fake.rooms
        fake.loses = True
        reason = f"Janus' event handler is not connected to http://127.0.0.1:{own.port}: check janus.eventhandler.sampleevh.jcfg"
        await until(lambda: own.engine.no_events == reason)
        await until(lambda: own.sink.doubts.count("") > 3)
        assert own.sink.doubts.count(reason) == 1
        fake.loses = False
        await until(lambda: not own.engine.no_events)
        assert own.sink.doubts.count("Janus' event handler is connected") == 2
