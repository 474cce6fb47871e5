"""The proxy of the fault suite brings a lost request exactly where it is meant to come, and breaks nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from testkit.chaos.proxy import ADD_PARTITIONS, END_TXN, PRODUCE, Hold, Late, Link

FENCED = 90


class Broker:
    """Answers whatever it is asked, after a moment, and notes it in `seen`: what was asked, and its number."""

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
    """One connection of a worker through a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, api_key: int, number: int) -> None:
        """Ask, and wait for the answer. Raises IncompleteReadError, or OSError, when the connection breaks."""
        body = struct.pack(">hhi", api_key, 0, number) + b"the rest"
        self._writer.write(struct.pack(">i", len(body)) + body)
        assert struct.unpack(">iiih", await self._reader.readexactly(14)) == (10, number, 0, FENCED)


class Net:
    """Two brokers, and a link of one worker to each."""

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

    async def hold(self, api_key: int, late: Late) -> Hold:
        hold = Hold(api_key, late)
        for link in self.links:
            await link.hold(hold)
        return hold

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


async def test_a_late_end_comes_before_the_first_records_of_the_next_transaction(net: Net) -> None:
    hold = await net.hold(END_TXN, "before")
    await net.lose(END_TXN, 1)
    coordinator, leader = await net.connect(0), await net.connect(1)
    await coordinator.ask(END_TXN, 2)
    await coordinator.ask(ADD_PARTITIONS, 3)
    await leader.ask(PRODUCE, 4)
    assert net.seen == [(END_TXN, 2), (ADD_PARTITIONS, 3), (END_TXN, 1), (PRODUCE, 4)]
    assert hold.delivered.is_set()
    assert hold.error == FENCED
    await coordinator.ask(END_TXN, 5)  # and no other is lost


async def test_a_late_end_comes_between_the_records_of_two_brokers(net: Net) -> None:
    hold = await net.hold(END_TXN, "between")
    await net.lose(END_TXN, 1)
    coordinator, leaders = await net.connect(0), [await net.connect(0), await net.connect(1)]
    await coordinator.ask(END_TXN, 2)
    await coordinator.ask(ADD_PARTITIONS, 3)
    first = asyncio.create_task(leaders[0].ask(PRODUCE, 4))
    await asyncio.sleep(0.01)
    await leaders[1].ask(PRODUCE, 5)
    assert net.seen == [(END_TXN, 2), (ADD_PARTITIONS, 3), (PRODUCE, 4), (END_TXN, 1), (PRODUCE, 5)]
    assert hold.error == FENCED
    await first


async def test_a_late_addition_of_partitions_comes_in_the_next_transaction(net: Net) -> None:
    hold = await net.hold(ADD_PARTITIONS, "before")
    await net.lose(ADD_PARTITIONS, 1)
    worker = await net.connect(0)
    asked = [(ADD_PARTITIONS, 2), (PRODUCE, 3), (END_TXN, 4), (ADD_PARTITIONS, 5), (PRODUCE, 6)]
    for api_key, number in asked:
        await worker.ask(api_key, number)
    assert net.seen == [*asked[:4], (ADD_PARTITIONS, 1), asked[4]]
    assert hold.delivered.is_set()


async def test_a_lost_answer_is_of_something_that_is_done(net: Net) -> None:
    hold = await net.hold(END_TXN, "answer")
    await net.lose(END_TXN, 1)
    assert net.seen == [(END_TXN, 1)]
    assert hold.delivered.is_set()


async def test_what_is_given_up_holds_nothing_back(net: Net) -> None:
    hold = await net.hold(END_TXN, "between")
    await net.lose(END_TXN, 1)
    worker = await net.connect(1)
    await worker.ask(END_TXN, 2)
    for link in net.links:
        await link.release(hold)
    await worker.ask(PRODUCE, 3)
    await (await net.connect(0)).ask(PRODUCE, 4)
    assert net.seen == [(END_TXN, 2), (PRODUCE, 3), (PRODUCE, 4)]
    assert not hold.delivered.is_set()
