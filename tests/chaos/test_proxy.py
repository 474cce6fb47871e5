"""The chaos proxy delivers a lost request at the intended point and breaks nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from testkit.chaos.proxy import ADD_PARTITIONS, END_TXN, PRODUCE, Link, LostRequest, Timing

FENCED = 90


class Broker:
    """Answers every request after 20 ms and appends its API key and correlation id to `seen`."""

    def __init__(self, seen: list[tuple[int, int]]) -> None:
        self._seen = seen

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                api_key, _, number = struct.unpack_from(">hhi", await reader.readexactly(size))
                self._seen.append((api_key, number))
                await asyncio.sleep(0.02)
                writer.write(struct.pack(">iiih", 10, number, 0, FENCED))
        writer.close()


class Worker:
    """One connection through a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, api_key: int, number: int) -> None:
        """Send a request and await its response. Raises IncompleteReadError or OSError when the connection breaks."""
        body = struct.pack(">hhi", api_key, 0, number) + b"the rest"
        self._writer.write(struct.pack(">i", len(body)) + body)
        assert struct.unpack(">iiih", await self._reader.readexactly(14)) == (10, number, 0, FENCED)


class Net:
    """Two brokers and one worker's link to each."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.links: list[Link] = []
        self._ports: list[int] = []
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        for _ in range(2):
            server = await asyncio.start_server(Broker(self.seen).serve, "127.0.0.1", 0)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports.append(free.getsockname()[1])
            link = Link(self._ports[-1], server.sockets[0].getsockname()[1], random.Random(1))
            await link.start()
            self.links.append(link)
            self._servers.append(server)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        for link, server in zip(self.links, self._servers, strict=True):
            await link.stop()
            server.close()

    async def lose_next(self, api_key: int, late: Timing) -> LostRequest:
        lost = LostRequest(api_key, late)
        for link in self.links:
            await link.lose(lost)
        return lost

    async def connect(self, number: int) -> Worker:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[number])
        self._writers.append(writer)
        return Worker(reader, writer)

    async def lose(self, api_key: int, number: int) -> None:
        worker = await self.connect(0)
        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await worker.ask(api_key, number)


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    made = Net()
    await made.start()
    yield made
    await made.stop()


async def test_late_end_precedes_the_next_transactions_first_records(net: Net) -> None:
    lost = await net.lose_next(END_TXN, "before")
    await net.lose(END_TXN, 1)
    coordinator, leader = await net.connect(0), await net.connect(1)
    await coordinator.ask(END_TXN, 2)
    await coordinator.ask(ADD_PARTITIONS, 3)
    await leader.ask(PRODUCE, 4)
    assert net.seen == [(END_TXN, 2), (ADD_PARTITIONS, 3), (END_TXN, 1), (PRODUCE, 4)]
    assert lost.delivered.is_set()
    assert lost.error == FENCED
    await coordinator.ask(END_TXN, 5)  # only one request is lost


async def test_late_end_arrives_between_the_records_of_two_brokers(net: Net) -> None:
    lost = await net.lose_next(END_TXN, "between")
    await net.lose(END_TXN, 1)
    coordinator, leaders = await net.connect(0), [await net.connect(0), await net.connect(1)]
    await coordinator.ask(END_TXN, 2)
    await coordinator.ask(ADD_PARTITIONS, 3)
    first = asyncio.create_task(leaders[0].ask(PRODUCE, 4))
    await asyncio.sleep(0.01)
    await leaders[1].ask(PRODUCE, 5)
    assert net.seen == [(END_TXN, 2), (ADD_PARTITIONS, 3), (PRODUCE, 4), (END_TXN, 1), (PRODUCE, 5)]
    assert lost.error == FENCED
    await first


async def test_late_add_partitions_arrives_in_the_next_transaction(net: Net) -> None:
    lost = await net.lose_next(ADD_PARTITIONS, "before")
    await net.lose(ADD_PARTITIONS, 1)
    worker = await net.connect(0)
    asked = [(ADD_PARTITIONS, 2), (PRODUCE, 3), (END_TXN, 4), (ADD_PARTITIONS, 5), (PRODUCE, 6)]
    for api_key, number in asked:
        await worker.ask(api_key, number)
    assert net.seen == [*asked[:4], (ADD_PARTITIONS, 1), asked[4]]
    assert lost.delivered.is_set()


async def test_request_with_a_lost_answer_takes_effect(net: Net) -> None:
    lost = await net.lose_next(END_TXN, "answer")
    await net.lose(END_TXN, 1)
    assert net.seen == [(END_TXN, 1)]
    assert lost.delivered.is_set()


async def test_released_request_is_not_delivered_and_blocks_nothing(net: Net) -> None:
    lost = await net.lose_next(END_TXN, "between")
    await net.lose(END_TXN, 1)
    worker = await net.connect(1)
    await worker.ask(END_TXN, 2)
    for link in net.links:
        await link.release(lost)
    await worker.ask(PRODUCE, 3)
    await (await net.connect(0)).ask(PRODUCE, 4)
    assert net.seen == [(END_TXN, 2), (PRODUCE, 3), (PRODUCE, 4)]
    assert not lost.delivered.is_set()
