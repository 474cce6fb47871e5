"""Shows the published events as they arrive, and fails when one does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from pipeline.demo.command_process import DemoError
from pipeline.demo.screen import Screen
from pipeline.kafka.event_reader import EventReader
from pipeline.model.events import Event

LATE_SECONDS: Final = 20.0  # wait for an event before the demo fails
SETTLE_SECONDS: Final = 0.5  # wait at the end for events that must not come


class Process(Protocol):
    """A process that the events depend on."""

    def check(self) -> None:
        """Raise DemoError if it has ended."""

    def log_tail(self) -> str:
        """Return the end of its log, under a heading."""


class Arrivals:
    """The events of a run: `seen` has them in the order of their arrival."""

    def __init__(self, screen: Screen, processes: Sequence[Process]) -> None:
        self._screen, self._processes = screen, processes
        self._arrived: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.seen: list[Event] = []

    @contextlib.asynccontextmanager
    async def listening(self, reader: EventReader) -> AsyncIterator[None]:
        """Receive the reader's events meanwhile."""
        task = asyncio.create_task(self._listen(reader))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, reader: EventReader) -> None:
        try:
            async for event, _ in reader:
                self._arrived.put_nowait(event)
        except Exception as error:  # raised by `show`
            self._arrived.put_nowait(error)

    async def show(self, number: int, delay: float = 0.0) -> None:
        """Show the next `number` events. Raises DemoError after `delay` + `LATE_SECONDS`."""
        limit = time.monotonic() + delay + LATE_SECONDS
        for _ in range(number):
            while True:
                with contextlib.suppress(TimeoutError):
                    arrived = await asyncio.wait_for(self._arrived.get(), 0.25)
                    break
                for process in self._processes:
                    process.check()
                if time.monotonic() > limit:
                    logs = "\n".join(process.log_tail() for process in self._processes)
                    raise DemoError(f"no event within {LATE_SECONDS:g} s\n{logs}")
            if isinstance(arrived, BaseException):
                raise arrived
            self.seen.append(arrived)
            self._screen.event(arrived)

    async def settle(self) -> None:
        """Wait for events that must not come, and show them."""
        await asyncio.sleep(SETTLE_SECONDS)
        while not self._arrived.empty():
            await self.show(1)
