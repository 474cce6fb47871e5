"""TCP proxies between workers and brokers that can cut, slow and reset connections, and parse Kafka requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final, Literal

CHUNK: Final = 64 << 10
PRODUCE, FETCH, ADD_PARTITIONS, END_TXN, OFFSETS = 0, 1, 24, 26, 28
Way = Literal["up", "down"]
"""Towards the broker, or towards the worker."""
Timing = Literal["answer", "before", "between"]
PATIENCE: Final = 3.0
"""Seconds that a request of the next transaction is held back, at most."""


class LostRequest:
    """A transactional request that is lost on its way and delivered late. All links of a worker share it.

    The proxy breaks the worker's connection, so that the worker repeats the request. `late` is when the broker gets
    the original: "answer", at once, and only its response is lost; or in the next transaction, "before" its first
    records or "between" the first acknowledged records and those for other brokers. Earlier it would have no effect,
    since the broker has not begun the next transaction; the first records are only sent when it has.
    """

    def __init__(self, api_key: int, late: Timing) -> None:
        """Lose the next request with this API key."""
        self.api_key, self.late = api_key, late
        self.delivered = threading.Event()
        self.error: int | None = None
        """The broker's error code for a late EndTxn; 0 means that it ended the next transaction."""
        self._step: Literal["armed", "lost", "ended", "records", "done"] = "armed"
        self._connection: _Connection | None = None
        self._frame = b""
        self._first: tuple[_Connection, int] | None = None
        self._acknowledged, self._answered, self._done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def request(self, connection: _Connection, api_key: int, correlation: int, frame: bytes) -> bool:
        """Handle a worker's request; False if it is lost. Waits while it must follow the late request."""
        if self._step == "armed" and api_key == self.api_key:
            self._step, self._connection, self._frame = "lost", connection, frame
            connection.half_closed = True
            if self.late == "answer":
                await self._deliver()
            return False
        if self._step == "lost" and api_key == END_TXN:
            self._step = "ended"  # repeated, or the end of the transaction to which the lost one belongs
        elif self._step == "ended" and api_key == PRODUCE:
            self._step = "records"
            if self.late == "before":
                await self._deliver()
            else:
                self._first = (connection, correlation)
                connection.task(self._deliver_after_first())
        elif self._step == "records" and api_key == PRODUCE:
            await _patiently(self._done)
        return True

    def answer(self, connection: _Connection, correlation: int, data: bytes) -> None:
        """Handle a broker's response; `data` begins with its frame if it arrived alone."""
        if connection is self._connection:
            if self.api_key == END_TXN and len(data) >= 14:
                self.error = struct.unpack_from(">h", data, 12)[0]
            self._answered.set()
        elif self._first == (connection, correlation):
            self._acknowledged.set()

    async def _deliver_after_first(self) -> None:
        await _patiently(self._acknowledged)
        await self._deliver()

    async def _deliver(self) -> None:
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.up_writer.write(self._frame)
            await self._connection.up_writer.drain()
            if self.late != "answer":
                await _patiently(self._answered)
        self.give_up()
        self.delivered.set()

    def give_up(self) -> None:
        """Stop holding requests back."""
        self._step = "done"
        self._done.set()


async def _patiently(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), PATIENCE)


class Link:
    """One listening port in front of one broker listener. Call its methods in its event loop only."""

    def __init__(self, port: int, target: int, rng: random.Random) -> None:
        self._port, self._target, self._rng = port, target, rng
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        for gate in self._open.values():
            gate.set()
        self._fed = asyncio.Event()
        self._fed.set()
        self._delay = 0.0
        self._bytes_per_second = 0.0
        self._connections: set[asyncio.StreamWriter] = set()
        self._lost: LostRequest | None = None
        self._trip: int | None = None
        self.tripped = threading.Event()
        self._server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=1 << 20)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        await self.reset()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def cut(self, *ways: Way) -> None:
        """Stop forwarding in these directions; connections stay open."""
        for way in ways:
            self._open[way].clear()

    async def starve(self) -> None:
        """Stop forwarding responses on connections that fetch records."""
        self._fed.clear()

    async def feed(self) -> None:
        """Forward them again."""
        self._fed.set()

    async def slow(self, delay: float, bytes_per_second: float = 0.0) -> None:
        """Delay each chunk by up to `delay` seconds in each direction, and limit the bandwidth if given."""
        self._delay, self._bytes_per_second = delay, bytes_per_second

    async def heal(self) -> None:
        """Forward everything again, including what was held back."""
        self._delay = self._bytes_per_second = 0.0
        for gate in self._open.values():
            gate.set()

    async def reset(self) -> None:
        """Abort all connections."""
        for writer in list(self._connections):
            writer.transport.abort()

    async def trip(self, api_key: int) -> None:
        """Cut both directions when the next request with this API key arrives."""
        self.tripped.clear()
        self._trip = api_key

    async def lose(self, lost: LostRequest) -> None:
        """Lose the next request that `lost` describes."""
        if self._lost is not None:
            self._lost.give_up()
        self._lost = lost

    async def release(self, lost: LostRequest) -> None:
        """Stop losing it and hold nothing back."""
        lost.give_up()
        if self._lost is lost:
            self._lost = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=1 << 20)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, up_writer}
        connection = _Connection(self, writer, up_reader, up_writer)
        up = asyncio.create_task(self._requests(reader, connection))
        down = asyncio.create_task(self._answers(connection))
        self.tasks |= {up, down}
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if connection.half_closed:  # the broker's half stays open
            writer.transport.abort()
            await asyncio.wait({down})
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        for end in (writer, up_writer):
            end.transport.abort()
        self._connections -= {writer, up_writer}
        self.tasks -= {up, down}

    async def _pass(self, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        await self._open[way].wait()
        if self._delay:
            await asyncio.sleep(self._rng.uniform(0.5, 1.0) * self._delay)
        if self._bytes_per_second:
            await asyncio.sleep(len(data) / self._bytes_per_second)
        writer.write(data)
        await writer.drain()

    async def _requests(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                api_key, _, correlation = struct.unpack_from(">hhi", frame)
                if self._lost is not None and not await self._lost.request(
                    connection, api_key, correlation, size + frame
                ):
                    return
                connection.fetches = connection.fetches or api_key == FETCH
                if api_key == self._trip:
                    self._trip = None
                    await self.cut("up", "down")
                    self.tripped.set()
                await self._pass("up", size + frame, connection.up_writer)

    async def _answers(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := await connection.up_reader.read(CHUNK):
                for correlation in connection.answers(data):
                    if self._lost is not None:
                        self._lost.answer(connection, correlation, data)
                if connection.fetches:
                    await self._fed.wait()
                if not connection.half_closed:
                    await self._pass("down", data, connection.writer)


class _Connection:
    """One connection through a link; `half_closed` if the worker's half is closed and the broker's is open."""

    def __init__(
        self,
        link: Link,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._link, self.writer, self.up_reader, self.up_writer = link, writer, up_reader, up_writer
        self.half_closed = self.fetches = False
        self._head, self._left = b"", 0

    def task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that ends with the link."""
        task = asyncio.create_task(work)
        self._link.tasks.add(task)
        task.add_done_callback(self._link.tasks.discard)

    def answers(self, data: bytes) -> Iterator[int]:
        """Yield the correlation ids of the responses that begin in this chunk."""
        place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
            else:
                step = min(8 - len(self._head), len(data) - place)
                self._head += data[place : place + step]
                if len(self._head) == 8:
                    size, correlation = struct.unpack(">ii", self._head)
                    self._head, self._left = b"", size - 4
                    yield correlation
            place += step


class Proxies:
    """All links of a run, in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.links: dict[tuple[int, int], Link] = {}
        """The links by worker slot and broker."""

    def add(self, slot: int, node: int, port: int, target: int, seed: int) -> None:
        """Listen on `port` and forward to the broker's listener on `target`."""
        link = self.links[slot, node] = Link(port, target, random.Random(seed))
        self.call(link.start())

    def of(self, slot: int) -> list[Link]:
        """Return all links of one worker slot."""
        return [link for (worker, _), link in self.links.items() if worker == slot]

    def call(self, work: Any, timeout: float = 60.0) -> Any:
        """Run a coroutine in the links' thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def stop(self) -> None:
        for link in self.links.values():
            self.call(link.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def free_ports(nodes: int, slots: int) -> str:
    """Return the first two digits of free ports `xx{node}{0 or 1}{slot}`; the ports of stacks begin at 20000."""
    for prefix in random.sample(range(11, 20), 9):
        try:
            for node in range(1, nodes + 1):
                for last in (*range(slots), *range(10, 10 + slots)):
                    with socket.socket() as trial:
                        trial.bind(("127.0.0.1", prefix * 1000 + node * 100 + last))
        except OSError:
            continue
        return str(prefix)
    raise RuntimeError("no free ports for the proxies")


def listeners(prefix: str, slots: int) -> dict[str, str]:
    """Return broker settings with one listener per worker slot, advertised as the slot's proxy."""
    names = [f"SLOT{slot}" for slot in range(slots)]
    own = [f"{name}://127.0.0.1:{prefix}{{node}}0{slot}" for slot, name in enumerate(names)]
    shown = [f"{name}://127.0.0.1:{prefix}{{node}}1{slot}" for slot, name in enumerate(names)]
    plain = "PLAINTEXT://127.0.0.1:{client}"
    return {
        "listeners": ",".join((plain, "CONTROLLER://127.0.0.1:{controller}", *own)),
        "advertised.listeners": ",".join((plain, *shown)),
        "listener.security.protocol.map": ",".join(f"{n}:PLAINTEXT" for n in ("PLAINTEXT", "CONTROLLER", *names)),
    }
