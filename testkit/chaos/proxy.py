"""A TCP proxy between one worker and one broker, which can be cut, slowed, reset, and can read Kafka's requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final, Literal

CHUNK: Final = 64 << 10
PRODUCE, FETCH, ADD_PARTITIONS, END_TXN, OFFSETS = 0, 1, 24, 26, 28
Way = Literal["up", "down"]
"""From the worker to the broker, or back."""


Late = Literal["answer", "before", "between"]
PATIENCE: Final = 3.0
"""Seconds that a request of the next transaction is held for an answer, at most."""


class Hold:
    """One transactional request of kind `api_key` that gets lost on its way: the worker's connection breaks and it
    must ask again. One hold is shared by all links of a worker.

    `late` is "answer": the broker does it at once, and only the answer is lost. Or it reaches the broker in the next
    transaction. A moment too early it would do nothing, as long as the broker has not begun that one; so it comes
    "before" the first records, which are only sent when the broker has; or "between" the first records, once they are
    acknowledged, and those that go to other brokers.
    """

    def __init__(self, api_key: int, late: Late) -> None:
        self.api_key, self.late = api_key, late
        self.delivered = threading.Event()
        self.error: int | None = None
        """What the broker answered to a late EndTxn; 0 would mean that it ended the next transaction."""
        self._step: Literal["armed", "lost", "ended", "records", "done"] = "armed"
        self._wire: _Wire | None = None
        self._frame = b""
        self._first: tuple[_Wire, int] | None = None
        self._acknowledged, self._answered, self._done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def request(self, wire: _Wire, api_key: int, correlation: int, frame: bytes) -> bool:
        """The worker asks for something; False when it gets lost. Waits while it has to come behind the late one."""
        if self._step == "armed" and api_key == self.api_key:
            self._step, self._wire, self._frame = "lost", wire, frame
            wire.lost = True
            if self.late == "answer":
                await self._deliver()
            return False
        if self._step == "lost" and api_key == END_TXN:
            self._step = "ended"  # asked again, or the end of the transaction to which the lost one belongs
        elif self._step == "ended" and api_key == PRODUCE:
            self._step = "records"
            if self.late == "before":
                await self._deliver()
            else:
                self._first = (wire, correlation)
                wire.task(self._deliver_after_first())
        elif self._step == "records" and api_key == PRODUCE:
            await _patiently(self._done)
        return True

    def answer(self, wire: _Wire, correlation: int, data: bytes) -> None:
        """The broker answers; `data` begins with that answer's frame where it came alone."""
        if wire is self._wire:
            if self.api_key == END_TXN and len(data) >= 14:
                self.error = struct.unpack_from(">h", data, 12)[0]
            self._answered.set()
        elif self._first == (wire, correlation):
            self._acknowledged.set()

    async def _deliver_after_first(self) -> None:
        await _patiently(self._acknowledged)
        await self._deliver()

    async def _deliver(self) -> None:
        assert self._wire is not None
        with contextlib.suppress(OSError):
            self._wire.up_writer.write(self._frame)
            await self._wire.up_writer.drain()
            if self.late != "answer":
                await _patiently(self._answered)
        self.give_up()
        self.delivered.set()

    def give_up(self) -> None:
        """Hold nothing back any more."""
        self._step = "done"
        self._done.set()


async def _patiently(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), PATIENCE)


class Link:
    """One listening port before one broker's listener. All its methods belong to the loop that it runs in."""

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
        self._hold: Hold | None = None
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
        """Nothing goes through any more these ways; nothing is refused either."""
        for way in ways:
            self._open[way].clear()

    async def starve(self) -> None:
        """Nothing comes back any more through connections that fetch records."""
        self._fed.clear()

    async def feed(self) -> None:
        """The end of that."""
        self._fed.set()

    async def slow(self, delay: float, bytes_per_second: float = 0.0) -> None:
        """Every piece takes up to `delay` seconds longer each way."""
        self._delay, self._bytes_per_second = delay, bytes_per_second

    async def heal(self) -> None:
        """All as before; what was held back arrives now."""
        self._delay = self._bytes_per_second = 0.0
        for gate in self._open.values():
            gate.set()

    async def reset(self) -> None:
        """Break all connections."""
        for writer in list(self._connections):
            writer.transport.abort()

    async def trip(self, api_key: int) -> None:
        """Cut both ways in the moment when the next request of this kind comes."""
        self.tripped.clear()
        self._trip = api_key

    async def hold(self, hold: Hold) -> None:
        """Lose the next request of that kind."""
        if self._hold is not None:
            self._hold.give_up()
        self._hold = hold

    async def release(self, hold: Hold) -> None:
        """The end of that, come what may."""
        hold.give_up()
        if self._hold is hold:
            self._hold = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=1 << 20)
        except OSError:
            writer.transport.abort()
            return
        self._connections |= {writer, up_writer}
        wire = _Wire(self, writer, up_reader, up_writer)
        up = asyncio.create_task(self._requests(reader, wire))
        down = asyncio.create_task(self._answers(wire))
        self.tasks |= {up, down}
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if wire.lost:  # only the worker's half is broken
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

    async def _requests(self, reader: asyncio.StreamReader, wire: _Wire) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                api_key, _, correlation = struct.unpack_from(">hhi", frame)
                if self._hold is not None and not await self._hold.request(
                    wire, api_key, correlation, size + frame
                ):
                    return
                wire.fetches = wire.fetches or api_key == FETCH
                if api_key == self._trip:
                    self._trip = None
                    await self.cut("up", "down")
                    self.tripped.set()
                await self._pass("up", size + frame, wire.up_writer)

    async def _answers(self, wire: _Wire) -> None:
        with contextlib.suppress(OSError):
            while data := await wire.up_reader.read(CHUNK):
                for correlation in wire.answers(data):
                    if self._hold is not None:
                        self._hold.answer(wire, correlation, data)
                if wire.fetches:
                    await self._fed.wait()
                if not wire.lost:
                    await self._pass("down", data, wire.writer)


class _Wire:
    """One connection through a link; `lost` when the worker's half is broken, and the broker's is not."""

    def __init__(
        self,
        link: Link,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._link, self.writer, self.up_reader, self.up_writer = link, writer, up_reader, up_writer
        self.lost = self.fetches = False
        self._head, self._left = b"", 0

    def task(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the connection."""
        task = asyncio.create_task(work)
        self._link.tasks.add(task)
        task.add_done_callback(self._link.tasks.discard)

    def answers(self, data: bytes) -> Iterator[int]:
        """The correlation ids of the answers that begin in this piece of the stream."""
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
    """All links of a run, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.links: dict[tuple[int, int], Link] = {}
        """(worker slot, broker) to the link between them."""

    def add(self, slot: int, node: int, port: int, target: int, seed: int) -> None:
        """Listen on `port` before the broker's listener on `target`."""
        link = self.links[slot, node] = Link(port, target, random.Random(seed))
        self.call(link.start())

    def of(self, slot: int) -> list[Link]:
        """All links of one worker."""
        return [link for (worker, _), link in self.links.items() if worker == slot]

    def call(self, work: Any, timeout: float = 60.0) -> Any:
        """Do something in the links' thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def stop(self) -> None:
        for link in self.links.values():
            self.call(link.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
