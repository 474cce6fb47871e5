"""The worker's HTTP port: three paths, and bounds on the cost of every request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest

from pipeline import management as module
from pipeline.errors import ConfigError
from pipeline.management import MAX_CONNECTIONS, HttpServer
from pipeline.metrics import Metrics

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Health:
    """A worker's answers to the probes; a healthy one at first."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.reason: str | None = None
        self.refreshed = 0

    def stalled(self) -> float:
        return self.seconds

    def not_ready(self) -> str | None:
        return self.reason

    def refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = HttpServer(Health(), Metrics().registry, "127.0.0.1", 0)
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Streams]]:
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def answer(port: int, request: bytes) -> bytes:
    """Return what the server sends until it closes the connection."""
    async with connections(port, 1) as [(reader, writer)]:
        writer.write(request)
        found = b""
        try:
            async with asyncio.timeout(5):
                while part := await reader.read(1 << 16):
                    found += part
        except ConnectionError:  # it did not read the whole request
            pass
        return found


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics/",
        "/metricsx",
        "/livez/../metrics",
        "/%6detrics/x",
        "//metrics",
        "/favicon.ico",
        "/debug",
    ],
)
async def test_unknown_paths_are_not_found(port: int, path: str) -> None:
    assert status(await answer(port, get(path))) == 404


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_the_paths_accept_only_get_and_head(port: int, path: str) -> None:
    assert status(await answer(port, get(path))) == 200
    head = await answer(port, get(path, method="HEAD"))
    assert (status(head), head.partition(b"\r\n\r\n")[2]) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        reply = await answer(port, get(path, method=method))
        assert status(reply) == 405
        assert b"Allow: GET,HEAD" in reply


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        get("/livez", "X: " + "x" * 5000),
        get("/livez", *[f"X{n}: x" for n in range(300)]),
        b"\x16\x03\x01\x02\0\1\0",
        b"\0" * 5000,
        get("/livez", "Content-Length: -1"),
        get("/livez", "Transfer-Encoding: chunked", "Content-Length: 5"),
    ],
    ids=["line", "header", "headers", "TLS", "zeros", "length", "two lengths"],
)
async def test_a_malformed_request_is_a_400(port: int, request_: bytes) -> None:
    assert status(await answer(port, request_ + b"\r\n\r\n")) == 400


async def test_an_endless_head_is_cut_off(port: int) -> None:
    sent = 0
    async with connections(port, 1) as [(_, writer)]:
        writer.write(b"GET /livez HTTP/1.1\r\n")
        try:
            while sent < 1 << 22:
                writer.write(b"X: " + b"x" * 1000 + b"\r\n")
                await writer.drain()
                sent += 1005
                await asyncio.sleep(0)
        except ConnectionError:
            pass
    assert sent < 1 << 22, "the head was read to the end"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_is_never_read(port: int, method: str) -> None:
    """Nor awaited, nor decompressed."""
    began = time.monotonic()
    async with connections(port, 1) as [(reader, writer)]:
        writer.write(
            get("/livez", "Content-Length: 1000000000000", "Content-Encoding: gzip", method=method) + b"x" * 100
        )
        reply = await reader.read(1 << 16)
        assert status(reply) == (200 if method == "GET" else 405)
        try:
            while await reader.read(1 << 16):
                pass
        except ConnectionError:
            pass
    assert time.monotonic() - began < 5


async def test_a_slow_request_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 0.3)
    for sent in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nX: "):
        began = time.monotonic()
        assert await answer(port, sent) == b""
        assert time.monotonic() - began < 4
    assert status(await answer(port, get("/livez"))) == 200


async def test_new_connections_replace_the_oldest(port: int) -> None:
    async with connections(port, 3 * MAX_CONNECTIONS) as held:
        assert status(await answer(port, get("/livez"))) == 200
        await asyncio.sleep(0.1)
        closed = [reader.at_eof() or reader.exception() is not None for reader, _ in held]
        assert closed.count(False) <= MAX_CONNECTIONS
        assert closed[0]
        assert not closed[-1]
        reader, writer = held[-1]
        writer.write(get("/readyz"))
        assert json.loads((await reader.read()).partition(b"\r\n\r\n")[2]) == {"ready": True, "reason": None}


async def test_a_connection_serves_many_requests(port: int) -> None:
    url = f"http://127.0.0.1:{port}/livez"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(3 * MAX_CONNECTIONS):
            async with session.get(url) as reply:
                assert (reply.status, (await reply.json())["alive"]) == (200, True)


async def test_metrics_take_at_most_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def render(_: object) -> bytes:
        time.sleep(0.02)  # rendering blocks the loop
        rendered.append(time.monotonic())
        return b"# %d\n" % len(rendered)

    monkeypatch.setattr(module, "generate_latest", render)
    health = Health()
    server = HttpServer(health, Metrics().registry, "127.0.0.1", 0)
    port = await server.start()
    try:
        replies = [await answer(port, get("/metrics")) for _ in range(20)]
        assert {status(reply) for reply in replies} == {200}
        while len(rendered) < 3:
            await answer(port, get("/metrics"))
        gaps = [after - before for before, after in pairwise(rendered)]
        assert min(gaps) >= 0.2
        assert health.refreshed == len(rendered)
    finally:
        await server.stop()


async def test_it_stops_at_once_with_open_connections() -> None:
    server = HttpServer(Health(), Metrics().registry, "127.0.0.1", 0)
    port = await server.start()
    async with connections(port, 5) as held:
        held[0][1].write(b"GET /livez HTTP/1.1\r\n")
        assert status(await answer(port, get("/livez"))) == 200
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 4
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def read(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    reply = await answer(port, get(path))
    return status(reply), reply.partition(b"\r\n\r\n")[2].decode()


async def test_probes_distinguish_a_start_from_a_stall() -> None:
    health = Health()
    health.reason = "waiting for Kafka"
    server = HttpServer(health, Metrics().registry, "127.0.0.1", 0)
    port = await server.start()
    try:
        assert await read(port, "/readyz") == (503, '{"ready": false, "reason": "waiting for Kafka"}')
        assert (await read(port, "/livez"))[0] == 200
        health.reason = None
        assert (await read(port, "/readyz"))[0] == 200
        health.seconds = 61.0
        code, body = await read(port, "/livez")
        assert (code, json.loads(body)) == (503, {"alive": False, "stalled_seconds": 61.0})
        code, body = await read(port, "/metrics")
        assert code == 200
        assert 'pipeline_rejected_total{reason="room_unknown"} 0.0' in body
        assert health.refreshed == 1
        with pytest.raises(ConfigError, match="PIPELINE_HTTP_PORT"):
            await HttpServer(health, Metrics().registry, "127.0.0.1", port).start()
    finally:
        await server.stop()
