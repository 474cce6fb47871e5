"""A console over a real broker and worker, without a browser: pages, streams, hosts, logins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from yarl import URL

from pipeline.console.guard import POLICY
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.records import Engine
from pipeline.model.wire import ENCODERS
from pipeline.topics import ENGINES
from testkit.pipe import Pipe
from tests.support import scene
from tests.support.gateway import PATIENT

pytestmark = pytest.mark.broker
TOKEN = "correct horse battery"
PAGES = ("/", f"/room?id={scene.room_id(0)}", "/pipeline")


class Browser:
    """Sends requests as a browser would, and follows streams."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url, self._headers = url, headers

    async def __aenter__(self) -> Browser:
        jar = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(headers=self._headers, cookie_jar=jar)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, path: str, method: str = "GET", **options: Any) -> tuple[int, str, Any]:
        url = URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:
            return answer.status, await answer.text(), answer.headers

    async def messages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        async with self.session.get(URL(f"{self.url}{path}", encoded=True)) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    async def until(self, path: str, found: Callable[[str], bool]) -> str:
        """Follow a stream until the parts that it has sent so far fit; return them."""
        text = ""
        async with asyncio.timeout(60):
            async for message in self.messages(path):
                text += json.dumps(message, ensure_ascii=False)
                if found(text):
                    return text
        raise AssertionError(text)


async def send_raw(pipe: Pipe, *values: bytes) -> None:
    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        for value in values:
            await producer.send_and_wait(pipe.topic("api.signals"), value, scene.room_id(0).encode())


async def announce(pipe: Pipe) -> None:
    """Write the announcement of a bridge, one that ended, and one that can't be read."""
    async with Registry(pipe.settings) as registry:
        head = framing.head((await registry.schema_ids(pipe.prefix, [ENGINES]))[Engine.RECORD])
    value = ENCODERS[Engine](Engine("janus", "1.2.3", ("create",), 4, -1, scene.now()), head)
    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        for node, announced in ((b"n1", value), (b"n2", value), (b"n2", None), (b"n3", b"nonsense")):
            await producer.send_and_wait(pipe.topic("engines"), announced, node)


async def test_pages_show_the_rooms_and_streams_what_changes(pipe: Pipe) -> None:
    room = scene.room_id(0)
    with pipe.worker(**PATIENT), pipe.console() as console:
        async with Browser(console.api) as browser:
            _, empty, _ = await browser.get("/")
            assert "No rooms: none has been created" in empty
            listed = asyncio.create_task(browser.until("/stream/rooms", lambda text: "Webinar" in text))
            shown = asyncio.create_task(
                browser.until(
                    f"/stream/room?id={room}", lambda text: "volume_out_of_range" in text and "welcome-2" in text
                )
            )
            flow = asyncio.create_task(
                browser.until(
                    "/stream/pipeline",
                    lambda text: "127.0.0.1" in text and "conference.nope" in text and "janus 1.2.3" in text,
                )
            )
            await pipe.send(*scene.scene())
            await announce(pipe)
            await send_raw(pipe, b'{"type":"conference.nope"}', b"\0\0\0\0\x63x", b"<script>alert(3)</script>")
            text = await listed + await shown + await flow
            assert scene.MARKUP not in text
            assert "\u202e" not in text
            assert "A volume outside -50 to 7." in text
            assert "conference-pipeline dead show" in text
            for path in (*PAGES, "/?q=team", "/?status=live&order=newest", "/?page=99"):
                status, page, headers = await browser.get(path)
                assert status == 200
                assert headers["Content-Security-Policy"] == POLICY
                assert headers["Cache-Control"] == "no-store"
                assert "<script>alert" not in page
                assert "onerror=alert" not in page.replace("img src=x onerror=alert", "")
            _, found, _ = await browser.get(f"/?q={quote('TEAM Stand')}")
            assert "1–1 of 1 that match" in found
            session = scene.joined(0, 0).session_uuid
            assert (
                f'The session is in <a href="/room?id={quote(room, safe="")}">'
                in (await browser.get(f"/?q={session}"))[1]
            )
            assert "No such room now" in (await browser.get("/room?id=acW68-room-f47ac10b"))[1]
            assert "Did you mean" in (await browser.get("/room?id=acW68-room-f47ac10b"))[1]
            assert (await browser.get("/room"))[0] == 404
            assert (await browser.get("/stream/room"))[0] == 404
            for path in (
                "/static/..%2fapp.py",
                "/static/%2e%2e/process.py",
                "/static/console.py",
                "/nowhere",
                "/stream/x",
            ):
                assert (await browser.get(path))[0] == 404
            assert (await browser.get("/static/console.js"))[0] == 200
            assert (await browser.get("/login"))[0] == 303  # there is none
            assert (await browser.get("/readyz"))[1] == "ready\n"


async def test_foreign_hosts_sites_and_strangers_are_refused(pipe: Pipe) -> None:
    env = {"CONSOLE_TOKEN": TOKEN, "CONSOLE_ALLOWED_HOSTS": "console.example.com", "CONSOLE_MAX_STREAMS": "2"}
    with pipe.console(**env) as console:
        async with Browser(console.api) as browser:
            for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1@evil.example", "[::ffff:1]"):
                assert (await browser.get("/", headers={"Host": host}))[0] in (400, 421)
            assert (await browser.get("/livez", headers={"Host": "10.0.0.7:8010"}))[0] == 200
            for path in PAGES:
                status, text, headers = await browser.get(path, headers={"Host": "console.example.com"})
                assert (status, headers["Location"], text) == (303, "/login", "")
            assert (await browser.get("/stream/rooms"))[0] == 401
            assert (await browser.get(f"/?token={TOKEN.replace(' ', '+')}"))[0] == 303
            foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
            assert (await browser.get("/login", headers=foreign))[0] == 403
            assert (await browser.get("/login", "DELETE"))[0] == 405
            login = {"token": TOKEN}
            assert (await browser.get("/login", "POST", data=login, headers={"Origin": "http://evil.example"}))[
                0
            ] == 403
            status, text, _ = await browser.get("/login", "POST", data={"token": "wrong horse battery"})
            assert (status, "That is not the token." in text) == (403, True)
            assert (await browser.get("/login", "POST", data=login))[0] == 429
            await asyncio.sleep(1.2)
            assert (await browser.get("/login", "POST", data=b"token=" + b"x" * 5000))[0] == 403
            await asyncio.sleep(1.2)
            status, _, headers = await browser.get("/login", "POST", data=login)
            assert (status, headers["Location"]) == (303, "/")
            cookie = headers["Set-Cookie"].lower()
            assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
            assert "horse" not in cookie
            assert (await browser.get("/"))[0] == 200
            streams = [browser.session.get(f"{console.api}/stream/rooms") for _ in range(3)]
            one, two = await streams[0], await streams[1]
            await asyncio.sleep(0.5)
            assert (await streams[2]).status == 503
            one.close(), two.close()
            assert (await browser.get("/logout", "POST"))[0] == 303
            assert (await browser.get("/"))[0] == 303
        assert console.stop() == 0
        assert not any("horse" in line for line in console.lines)
        assert any("login refused" in line for line in console.lines)
