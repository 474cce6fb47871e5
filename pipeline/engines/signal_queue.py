"""The signals on their way to Kafka: bounded in memory, in order per room, without a limit of time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiokafka.errors import KafkaError

from pipeline.engines.rules.ended import Ended
from pipeline.errors import UnavailableError
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.signals import MediaSignal
from pipeline.settings import Settings
from pipeline.topics import MEDIA

MAX_BYTES: Final = 64 << 20
"""Signals that wait, in bytes of memory, roughly."""
MAX_IN_FLIGHT: Final = 1000
MAX_TOUCHED: Final = 100_000
"""Members and rooms whose last signal is remembered."""
RETRY_SECONDS: Final = 1.0
OVERHEAD: Final = 512
"""Bytes of a signal besides its long texts."""


class SignalQueue:
    """A queue and its producer. `run` sends what is put.

    Args:
        ended: playbacks whose end is not sent.
        notice: receives lines of text for a log.
    """

    def __init__(
        self, settings: Settings, ended: Ended, notice: Callable[[str], object], max_bytes: int = MAX_BYTES
    ) -> None:
        self._settings, self._ended, self._notice, self._max_bytes = settings, ended, notice, max_bytes
        self._waiting: deque[MediaSignal] = deque()
        """Not acknowledged; the first `_sent` of them were handed to the producer."""
        self._sent = self._bytes = self._number = self._acknowledged = 0
        self._touched: dict[tuple[str, str], int] = {}
        self._news, self._progress = asyncio.Event(), asyncio.Event()
        self.offsets: dict[int, int] = {}
        """Partition → the offset of its last acknowledged signal."""
        self.last_put = time.monotonic()

    def put(self, signals: Iterable[MediaSignal], *, force: bool = False) -> bool:
        """Add signals; return False, and add none, if the queue is full. `force`: add them in any case."""
        if self._bytes > self._max_bytes and not force:
            return False
        for signal in signals:
            if self._ended.hides(signal):
                continue
            self._number += 1
            subject = getattr(signal, "session_uuid", "")
            self._touched.pop((signal.room_id, subject), None)
            self._touched[signal.room_id, subject] = self._number
            if len(self._touched) > MAX_TOUCHED:
                del self._touched[next(iter(self._touched))]
            self._waiting.append(signal)
            self._bytes += _weight(signal)
        self.last_put = time.monotonic()
        self._news.set()
        return True

    @property
    def mark(self) -> int:
        """The number of signals so far."""
        return self._number

    @property
    def waiting(self) -> int:
        """The bytes that wait."""
        return self._bytes

    @property
    def count(self) -> int:
        """The signals that wait."""
        return len(self._waiting)

    def touched(self, room_id: str, subject: str, mark: int) -> bool:
        """Return whether a signal of this member (of the room's playback: "") was put since `mark`."""
        return self._touched.get((room_id, subject), 0) > mark

    async def room(self) -> None:
        """Wait until the queue is half empty."""
        await self._until(lambda: self._bytes <= self._max_bytes // 2)

    async def flushed(self) -> None:
        """Wait until all that was put before is acknowledged."""
        number = self._number
        await self._until(lambda: self._acknowledged >= number)

    async def _until(self, check: Callable[[], bool]) -> None:
        while not check():
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Send until cancelled. Raises ConfigError."""
        while True:
            self._sent = 0
            try:
                made = SignalProducer(self._settings, avro=True, keep_order=False, linger_ms=0, written=(MEDIA,))
                async with made as producer:
                    await self._run(producer)
            except* (KafkaError, UnavailableError, RegistryDownError) as errors:
                self._notice(f"sending signals again: {errors.exceptions[0]}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _run(self, producer: SignalProducer) -> None:
        flying: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue(MAX_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(producer, flying))
            group.create_task(self._acknowledge(flying))

    async def _send(self, producer: SignalProducer, flying: asyncio.Queue[asyncio.Future[Any]]) -> None:
        while True:
            while self._sent < len(self._waiting):
                future = await producer.send(self._waiting[self._sent], b"")
                self._sent += 1
                await flying.put(future)
            self._news.clear()
            await self._news.wait()

    async def _acknowledge(self, flying: asyncio.Queue[asyncio.Future[Any]]) -> None:
        while True:
            metadata = await (await flying.get())
            signal = self._waiting.popleft()
            self._sent -= 1
            self._bytes -= _weight(signal)
            self._acknowledged += 1
            self.offsets[metadata.partition] = metadata.offset
            self._progress.set()

    async def close(self, seconds: float) -> None:
        """Wait up to so many seconds until all is acknowledged."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.flushed()


def _weight(signal: MediaSignal) -> int:
    return OVERHEAD + len(getattr(signal, "url", None) or "") + sum(map(len, getattr(signal, "urls", ())))
