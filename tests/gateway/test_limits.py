"""Limits: rates and cooldowns, slow clients, pages of lists, and what logs and URLs must not show."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from pipeline.gateway import guard
from pipeline.gateway.apps import key_digest
from pipeline.web import server
from testkit.pipe import Pipe
from tests.gateway.test_guard import serving
from tests.support.gateway import PATIENT, ROOMS, Client, apps_file

URLS = ["https://cdn.example.com/a.wav"]
LONG = {
    "GATEWAY_PLAY_COOLDOWN_SECONDS": "600",
    "GATEWAY_CONTROL_COOLDOWN_SECONDS": "600",
    "GATEWAY_SESSION_COOLDOWN_SECONDS": "600",
    "GATEWAY_WAIT_SECONDS": "10",
}


async def test_the_rate_of_an_app_is_limited_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, app_rate=0.001) as url, Client(url) as client, Client(url, "b") as other:
        assert (await client.call("GET", "/api/v1/nothing")).status == 404
        refused = await client.call("GET", "/api/v1/nothing")
        assert (refused.status, refused.error) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await other.call("GET", "/api/v1/nothing")).status == 404


async def test_the_address_behind_a_trusted_proxy_is_limited(tmp_path: Path) -> None:
    proxies = {"anonymous_rate": 0.001, "trusted_proxies": "127.0.0.0/8"}
    async with serving(tmp_path, **proxies) as url, Client(url, key="wrong") as client:
        first = [await client.call("GET", ROOMS, x_forwarded_for="203.0.113.1") for _ in range(2)]
        second = await client.call("GET", ROOMS, x_forwarded_for="203.0.113.9, 203.0.113.2")
        forged = [await client.call("GET", ROOMS, x_forwarded_for=f"{n}.1.1.1, 203.0.113.3") for n in range(2)]
    assert first[-1].status == forged[-1].status == 429
    assert second.status == 401


async def test_a_slow_head_ends_its_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    async with serving(tmp_path) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nX: ")
        assert await asyncio.wait_for(_rest(reader), 30) == b""
        writer.close()


async def test_a_slow_body_is_answered_with_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    async with serving(tmp_path) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            "POST /api/v1/conferences HTTP/1.1\r\nHost: x\r\nX-App-ID: a\r\nX-API-Key: a-key\r\nContent-Length: 9\r\n"
        )
        writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_a_client_that_reads_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(server, name, 0.2)
    async with serving(tmp_path, anonymous_rate=1e6) as url:
        host, port = url.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, (host, int(port)))
            request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            with pytest.raises(ConnectionError):
                await _send_forever(loop, client, request)


async def _send_forever(loop: asyncio.AbstractEventLoop, client: socket.socket, request: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            await loop.sock_sendall(client, request)
            await asyncio.sleep(0.01)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.broker
async def test_cooldowns_hold_per_room_and_session_but_not_for_repeats(pipe: Pipe, tmp_path: Path) -> None:
    with pipe.worker(**PATIENT), pipe.gateway(apps_file(tmp_path), **LONG, PIPELINE_LOG_LEVEL="debug") as gateway:
        async with Client(gateway.api) as client:
            path, other = f"{ROOMS}/{await client.create('one')}", f"{ROOMS}/{await client.create('two')}"

            async def call(path: str, body: object = None, **headers: str) -> tuple[int, str | None]:
                answer = await client.call("POST", path, body, **headers)
                assert (answer.status == 429) == ("Retry-After" in answer.headers)
                return answer.status, answer.body.get("error")

            play, soon = {"urls": URLS}, (429, "too_soon")
            assert await call(f"{path}/play", play, idempotency_key="p") == (200, None)
            assert await call(f"{path}/play", play) == soon
            assert await call(f"{path}/play", play, idempotency_key="p") == (200, None)  # a repeat
            assert await call(f"{other}/play", play) == (200, None)
            assert await call(f"{path}/pause", idempotency_key="q") == (200, None)
            assert await call(f"{path}/volume", {"volume": 1}) == soon
            assert await call(f"{path}/pause", idempotency_key="q") == (200, None)
            join = "/api/v1/sessions/s1/commands/conference/join"
            body = {"room_id": path.rpartition("/")[2]}
            assert await call(join, body) == (200, None)
            assert await call(join.replace("join", "leave"), body) == soon
            assert await call(join.replace("s1", "s2"), body) == (200, None)
            # Keys are taken from headers only, and shown nowhere.
            bare = Client(gateway.api)
            bare.own, bare.session = {}, client.session
            assert (await bare.call("GET", f"{ROOMS}?X-App-ID=a&X-API-Key=a-key&x_api_key=a-key")).status == 401
        text = "\n".join(gateway.lines)
        assert "a-key" not in text
        assert key_digest("a-key") not in text


@pytest.mark.broker
async def test_pages_are_complete_whatever_stands_in_after(pipe: Pipe, tmp_path: Path) -> None:
    with pipe.worker(**PATIENT), pipe.gateway(apps_file(tmp_path), GATEWAY_WAIT_SECONDS="10") as gateway:
        async with Client(gateway.api) as client, Client(gateway.api, "b") as other:
            rooms = sorted([await client.create(f"r{n}") for n in range(5)])
            await other.create("foreign")
            found: list[str] = []
            after: str | None = ""
            while after is not None:
                page = (await client.call("GET", f"{ROOMS}?limit=2&after={after}")).body
                found += [room["room_id"] for room in page["conferences"]]
                after = page["next"]
            assert found == rooms
            for nonsense in ("%00", "%F0%9F%8E%99", "no-room", "~", rooms[2] + "x", "..%2F..%2F", "%FF"):
                answer = await client.call("GET", f"{ROOMS}?limit=1000&after={nonsense}")
                assert answer.status in (200, 400), answer
                if answer.status == 200:
                    listed = [room["room_id"] for room in answer.body["conferences"]]
                    assert listed == sorted(listed)
                    assert set(listed) <= set(rooms)
