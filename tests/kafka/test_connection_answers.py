"""What requests end with, whatever a broker sends: the same as with aiokafka's own connection."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.protocol.group import HeartbeatRequest

from pipeline.kafka.connection import Connection
from pipeline.kafka.protocol import DescribeTransactions

AIOKAFKAS: Any = Connection.__mro__[1]
API_VERSIONS, TRANSACTIONS = 18, 65
APIS = ((3, 0, 0), (12, 0, 1), (TRANSACTIONS, 0, 0))
Answer = Callable[[int], bytes]
"""The bytes that a broker sends for the request of this number."""


def framed(number: int, body: bytes) -> bytes:
    return struct.pack(">ii", 4 + len(body), number) + body


HEARTBEAT = struct.pack(">ih", 0, 0)
NO_TRANSACTIONS = struct.pack(">i", 0) + b"\x01\0"
ANSWERS: dict[str, Answer] = {
    "good": lambda number: framed(number, HEARTBEAT),
    "none": lambda number: b"",
    "another number": lambda number: framed(number + 7, HEARTBEAT),
    "too short": lambda number: framed(number, b"\0"),
    "half a number": lambda number: struct.pack(">i", 2) + b"\0\2",
    "an empty frame": lambda number: struct.pack(">i", 0),
    "a negative length": lambda number: struct.pack(">i", -5),
    "twice": lambda number: framed(number, HEARTBEAT) * 2,
    "with more bytes": lambda number: framed(number, HEARTBEAT + b"xx"),
}


@asynccontextmanager
async def broker(answer: Answer) -> AsyncIterator[int]:
    """Serve on a port: the versions of APIS, and these answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                key, _, number = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                versions = struct.pack(">hi", 0, len(APIS)) + b"".join(struct.pack(">hhh", *one) for one in APIS)
                writer.write(framed(number, versions) if key == API_VERSIONS else answer(number))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await asyncio.sleep(0.01)  # the handlers see the end
        server.close()


async def outcome(kind: Any, answer: Answer, request: Any, *, count: int = 1, cancelled: bool = False) -> Any:
    """Return the results of requests, why the connection was closed, and how many requests it still waits for."""
    closed: list[str] = []
    async with broker(answer) as port:
        made = kind("127.0.0.1", port, request_timeout_ms=300, on_close=lambda _, reason: closed.append(str(reason)))
        await made.connect()
        tasks = [asyncio.ensure_future(made.send(request)) for _ in range(count)]
        await asyncio.sleep(0.02)
        if cancelled:
            tasks[0].cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        await asyncio.sleep(0.05)
        before = list(closed), len(made._requests)
        await made.close()
    return [type(one) if isinstance(one, BaseException) else one for one in results], *before


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("count", [1, 3])
async def test_heartbeats_end_as_with_aiokafka(name: str, count: int) -> None:
    request = HeartbeatRequest("group", 1, "member")
    found, expected = [await outcome(kind, ANSWERS[name], request, count=count) for kind in (Connection, AIOKAFKAS)]
    assert found == expected
    if name == "good":
        assert found[1:] == ([], 0)
        assert [one.error_code for one in found[0]] == [0] * count
    if name == "none":
        assert found[0] == [TimeoutError] * count
    if name == "another number" and count == 1:
        assert found[0] == [errors.CorrelationIdError]


async def test_a_cancelled_request_leaves_the_others() -> None:
    request = HeartbeatRequest("group", 1, "member")
    for kind in (Connection, AIOKAFKAS):
        results, closed, _ = await outcome(kind, ANSWERS["none"], request, count=3, cancelled=True)
        assert results == [asyncio.CancelledError, TimeoutError, TimeoutError]
        assert closed == []


@pytest.mark.parametrize("tags", [b"\0", b"\1\5\2xy"], ids=["no tags", "tags"])
async def test_flexible_headers_are_read(tags: bytes) -> None:
    found, expected = [
        await outcome(kind, lambda number: framed(number, tags + NO_TRANSACTIONS), DescribeTransactions(["t"], {}))
        for kind in (Connection, AIOKAFKAS)
    ]
    assert found == expected
    assert found[0][0].transaction_states == []
