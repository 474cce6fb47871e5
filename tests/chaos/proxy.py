"""A TCP proxy between one worker and one broker, which can be cut, slowed, reset, and can read Kafka's requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

CHUNK: Final = 64 << 10
PRODUCE, ADD_PARTITIONS, END_TXN, OFFSETS = 0, 24, 26, 28
Way = Literal["up", "down"]
"""From the worker to the broker, or back."""


@dataclass
class Hold:
    """One transactional request of kind `api_key` that gets lost on its way: the worker's connection breaks and it
    must ask again. `late` is "request": it reaches the broker in the middle of the next transaction; or "answer": the
    broker does it at once, and only the answer is lost."""

    api_key: int
    late: Literal["request", "answer"]
    delivered: threading.Event = field(default_factory=threading.Event)


class Link:
    """One listening port before one broker's listener. All its methods belong to the loop that it runs in."""

    def __init__(self, port: int, target: int, rng: random.Random) -> None:
        self._port, self._target, self._rng = port, target, rng
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        for gate in self._open.values():
            gate.set()
        self._delay = 0.0
        self._bytes_per_second = 0.0
        self._connections: set[asyncio.StreamWriter] = set()
        self._hold: Hold | None = None
        self._trip: int | None = None
        self.tripped = threading.Event()
        self._late: Callable[[], Awaitable[None]] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=1 << 20)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        await self.reset()

    async def cut(self, *ways: Way) -> None:
        """Nothing goes through any more these ways; nothing is refused either."""
        for way in ways:
            self._open[way].clear()

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
        self._hold = hold

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
        self._tasks |= {up, down}
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if wire.kept is None:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            up_writer.transport.abort()
            self._connections.discard(up_writer)
        writer.transport.abort()
        self._connections.discard(writer)
        self._tasks -= {up, down}

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
                if self._hold is not None and self._hold.api_key == api_key:
                    hold, self._hold = self._hold, None
                    await wire.lose(hold, size + frame, correlation)
                    return
                if api_key == self._trip:
                    self._trip = None
                    await self.cut("up", "down")
                    self.tripped.set()
                await self._pass("up", size + frame, wire.up_writer)
                if api_key == ADD_PARTITIONS and self._late is not None:
                    late, self._late = self._late, None
                    await late()

    async def _answers(self, wire: _Wire) -> None:
        with contextlib.suppress(OSError):
            while data := await wire.up_reader.read(CHUNK):
                if wire.kept is not None:
                    return
                await self._pass("down", data, wire.writer)


class _Wire:
    """One connection through a link."""

    def __init__(
        self,
        link: Link,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._link, self.writer, self.up_reader, self.up_writer = link, writer, up_reader, up_writer
        self.kept: bytes | None = None

    async def lose(self, hold: Hold, frame: bytes, correlation: int) -> None:
        """Break the worker's connection; the broker's stays, for the request to arrive late."""
        self.kept = frame
        if hold.late == "answer":
            self.up_writer.write(frame)
            hold.delivered.set()
        else:

            async def late() -> None:
                with contextlib.suppress(OSError):
                    await asyncio.sleep(random.uniform(0, 0.005))
                    self.up_writer.write(frame)
                    await self.up_writer.drain()
                hold.delivered.set()

            self._link._late = late
        self.writer.transport.abort()


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
