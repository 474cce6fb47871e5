"""Asks for the ends of logs: one request at a time, for all that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

PAUSE_SECONDS: Final = 0.01
"""Shortest time between the beginnings of two requests: each costs as much as a request of an app."""
SHARED_SECONDS: Final = 0.5
"""Longest time that a request for several partitions may take; then each is asked for alone."""
RETRY_SECONDS: Final = 0.2
"""Seconds before a request is sent again that may succeed later."""
Ask = Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]


class LogEnds:
    """Asks for the ends of logs, again while a leader is away. Calls that come while a request is under way share the
    next one; a partition whose leader is away does not hold up the others."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._wanted: dict[TopicPartition, asyncio.Future[int]] = {}
        """What the next request asks for."""
        self._slow: set[TopicPartition] = set()
        """Partitions that are asked for alone."""
        self._began = -PAUSE_SECONDS
        self._running: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()

    async def after_now(self, tp: TopicPartition) -> int:
        """Return the end of a log, asked for after this call. Raises KafkaError."""
        future = self._wanted.get(tp)
        if future is None:
            future = self._wanted[tp] = asyncio.get_running_loop().create_future()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        while self._wanted:
            await asyncio.sleep(max(0.0, self._began + PAUSE_SECONDS - time.monotonic()))
            self._began = time.monotonic()
            wanted, self._wanted = self._wanted, {}
            shared = {tp: future for tp, future in wanted.items() if tp not in self._slow}
            self._ask_alone((tp, future) for tp, future in wanted.items() if tp in self._slow)
            if not shared:
                continue
            await self._ask_together(shared)

    async def _ask_together(self, shared: dict[TopicPartition, asyncio.Future[int]]) -> None:
        try:
            async with asyncio.timeout(SHARED_SECONDS):
                _give(shared, await self._ask(list(shared)))
        except (TimeoutError, Errors.KafkaError):
            self._slow |= shared.keys()
            self._ask_alone(shared.items())
        except BaseException as error:
            _fail(shared, error)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _ask_alone(self, wanted: Iterable[tuple[TopicPartition, asyncio.Future[int]]]) -> None:
        for tp, future in wanted:
            task = asyncio.create_task(self._answer(tp, future))
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)

    async def _answer(self, tp: TopicPartition, future: asyncio.Future[int]) -> None:
        while True:
            try:
                _give({tp: future}, await self._ask([tp]))
                self._slow.discard(tp)
                return
            except BaseException as error:
                if not (isinstance(error, Errors.KafkaError) and error.retriable):
                    _fail({tp: future}, error)
                    if isinstance(error, asyncio.CancelledError):
                        raise
                    return
            await asyncio.sleep(RETRY_SECONDS)

    async def stop(self) -> None:
        """End all requests."""
        tasks = [*self._alone, *([] if self._running is None else [self._running])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _fail(self._wanted, asyncio.CancelledError())


def _give(wanted: Mapping[TopicPartition, asyncio.Future[int]], ends: Mapping[TopicPartition, int]) -> None:
    for tp, future in wanted.items():
        if not future.done():
            future.set_result(ends[tp])


def _fail(wanted: Mapping[TopicPartition, asyncio.Future[int]], error: BaseException) -> None:
    for future in wanted.values():
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        elif not future.done():
            future.set_exception(error)
            future.exception()  # its caller may have gone
