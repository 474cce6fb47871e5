"""The worker's HTTP port: three paths, and bounds on what whoever reaches it may cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest

from pipeline.metrics import Metrics
from pipeline.worker import http as module
from pipeline.worker.http import MAX_CONNECTIONS, Web

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Health:
    """A worker that is well."""

    refreshed = 0

    def stalled(self) -> float:
        return 0.0

    def not_ready(self) -> str | None:
        return None

    def refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture
async def port() -> AsyncIterator[int]:
    web = Web(Health(), Metrics(), "127.0.0.1", 0)
    try:
        yield await web.start()
    finally:
        await web.stop()


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Streams]]:
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def answer(port: int, request: bytes) -> bytes:
    """All that comes back until the server closes, or has said all."""
    async with connections(port, 1) as [(reader, writer)]:
        writer.write(request)
        found = b""
        try:
            async with asyncio.timeout(5):
                while part := await reader.read(1 << 16):
                    found += part
        except ConnectionError:  # it did not read all that we sent
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
async def test_there_is_nothing_else(port: int, path: str) -> None:
    assert status(await answer(port, get(path))) == 404


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_it_can_only_be_read(port: int, path: str) -> None:
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
async def test_a_request_that_is_none_is_refused_and_its_connection_closed(
    port: int, request_: bytes
) -> None:
    assert status(await answer(port, request_ + b"\r\n\r\n")) == 400


async def test_a_head_without_end_is_not_collected(port: int) -> None:
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
    assert sent < 1 << 22, "it was not cut off"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_is_not_read(port: int, method: str) -> None:
    """Nor waited for, nor decompressed."""
    began = time.monotonic()
    async with connections(port, 1) as [(reader, writer)]:
        writer.write(
            get("/livez", "Content-Length: 1000000000000", "Content-Encoding: gzip", method=method)
            + b"x" * 100
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


async def test_who_holds_connections_does_not_keep_others_out(port: int) -> None:
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


async def test_a_connection_may_be_used_again(port: int) -> None:
    url = f"http://127.0.0.1:{port}/livez"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(3 * MAX_CONNECTIONS):
            async with session.get(url) as reply:
                assert (reply.status, (await reply.json())["alive"]) == (200, True)


async def test_metrics_take_a_tenth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def render(_: object) -> bytes:
        time.sleep(0.02)  # it is what takes the loop's time
        rendered.append(time.monotonic())
        return b"# %d\n" % len(rendered)

    monkeypatch.setattr(module, "generate_latest", render)
    health = Health()
    web = Web(health, Metrics(), "127.0.0.1", 0)
    port = await web.start()
    try:
        replies = [await answer(port, get("/metrics")) for _ in range(20)]
        assert {status(reply) for reply in replies} == {200}
        while len(rendered) < 3:
            await answer(port, get("/metrics"))
        gaps = [after - before for before, after in pairwise(rendered)]
        assert min(gaps) >= 0.2
        assert health.refreshed == len(rendered)
    finally:
        await web.stop()


async def test_it_stops_at_once_with_connections_open() -> None:
    web = Web(Health(), Metrics(), "127.0.0.1", 0)
    port = await web.start()
    async with connections(port, 5) as held:
        held[0][1].write(b"GET /livez HTTP/1.1\r\n")
        assert status(await answer(port, get("/livez"))) == 200
        began = time.monotonic()
        await web.stop()
        assert time.monotonic() - began < 4
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
