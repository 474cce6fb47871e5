"""Plain requests are read as h11 reads them, answered in order, and everything else is left to h11."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest

from pipeline.web.plain_http import PUSH, plain_request
from pipeline.web.server import WebServer

MOST = 16_384
PLAIN = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /a%2Fb?c=d&e HTTP/1.1\r\nhost:h\r\nX-Empty:\r\nX-Tab: \ta b\t \r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
    b"DELETE /a HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\n\r\n\0",
]
NOT_PLAIN = [
    b"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"get / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * MOST + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", PLAIN)
def test_a_plain_request_is_read_as_h11_reads_it(data: bytes) -> None:
    found = plain_request(data, MOST)
    assert found is not None
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    assert (found.method.encode(), found.target) == (request.method, request.target)
    assert (found.headers, found.body) == (list(request.headers), body)


@pytest.mark.parametrize("data", NOT_PLAIN)
def test_what_can_be_read_two_ways_is_left_to_h11(data: bytes) -> None:
    assert plain_request(data, MOST) is None


App = Callable[..., Awaitable[None]]


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with WebServer(app, "127.0.0.1", 0, max_connections=100, variables="none") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path, whether it came past h11, and the body."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await asyncio.sleep(0.01)
    data = b"%b %d %b" % (scope["raw_path"], PUSH in scope.get("extensions", {}), body)
    headers = [(b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


async def test_pipelined_requests_are_answered_in_order() -> None:
    plain, chunked = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n"
    async with serving(echo) as (reader, writer):
        writer.write(plain % 1)
        await asyncio.sleep(0.002)
        writer.write(plain % 2 + plain % 3)  # while the first is being answered
        await writer.drain()
        assert [(await answer(reader))[:2] for _ in range(3)] == [b"/1", b"/2", b"/3"]
        writer.write(b"POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
        assert await answer(reader) == b"/4 0 abcde"
        writer.write(plain % 5)
        assert await answer(reader) == b"/5 1 "
        writer.write(b"POST /6 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.02)
        writer.write(b"cd")
        assert await answer(reader) == b"/6 0 abcd"


async def test_pushed_parts_keep_their_place_and_end_with_the_answer() -> None:
    pushed: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        push = scope["extensions"][PUSH]
        pushed.append(push(b"too early"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        pushed.append(push(b"two "))
        await send({"type": "http.response.body", "body": b"three"})
        pushed.append(push(b"too late"))

    async with serving(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        text = await reader.readuntil(b"0\r\n\r\n")
    assert text == b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"
    assert pushed == [False, True, False]


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0"), (b"x", b"a\r\nset-cookie: b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        text = await reader.read(1 << 16)
    assert b"set-cookie" not in text
