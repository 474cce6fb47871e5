"""Schemas by id, from a registry that may be down. Ids that are not learnt are looked up together, ahead of their turn.

Bytes that no producer meant may name any id. So the ids that a partition looks up are bounded, as are those that are
remembered. While the registry is down, the partition waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from typing import Final

import structlog

from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model.decoders import SignalDecoder

ASK_AGAIN: Final = 30.0
"""Seconds after which an id that the registry did not have is requested again."""
REPEAT_SECONDS: Final = (0.1, 0.2)
"""Pauses before an id that the registry does not have is requested again at once: another of its nodes, or one that has
just started, may not have it yet."""
MAX_UNKNOWN: Final = 16
MAX_UNKNOWN_OF_ALL: Final = 64
"""Ids that the registry does not have, of one partition and of all, in WINDOW_SECONDS. More are a flood of bytes that
no producer meant: then the look-ups of the partition take FLOOD_SECONDS at most, and none follow in this time."""
WINDOW_SECONDS: Final = 5.0
FLOOD_SECONDS: Final = 0.5
MAX_REMEMBERED: Final = 4096
"""Ids that are remembered, known or not."""
PARALLEL: Final = 32
"""Requests to the registry at a time."""
_NEVER: Final = float("inf")
log = structlog.get_logger("registry")


async def ask(registry: Registry, schema_id: int) -> str | None:
    """Return the schema with this id, None if the registry has none. While the registry is down, log it and retry."""
    while True:
        try:
            return await registry.schema(schema_id)
        except RegistryDownError as error:
            log.warning("waiting for the registry", schema_id=schema_id, error=str(error))
            await asyncio.sleep(2)


class Learner:
    """Learns the schema ids of signals. An id that the registry does not have stays unknown for ASK_AGAIN seconds, so
    that bad records do not cause a request each."""

    def __init__(self, registry: Registry, signals: SignalDecoder) -> None:
        self._registry = registry
        self._signals = signals
        self._free = asyncio.Semaphore(PARALLEL)
        self._requests: dict[int, asyncio.Task[str | None]] = {}
        self._waiting: Counter[int] = Counter()
        """Requests under way, and how many wait for each, by id."""
        self._learnt: dict[int, float] = {}
        """Ids that were looked up, the oldest first. Those that the registry does not have, with the time (monotonic
        seconds) when they are forgotten; the others, with infinity."""
        self._forget_at = _NEVER
        """The earliest of these times, or an earlier one."""
        self._answered_at = 0.0
        """When the registry last answered (monotonic seconds). While it is down, nothing is given up."""
        self._unknown: dict[int, deque[float]] = {}
        """When each partition met the last ids that the registry does not have (monotonic seconds)."""
        self._unknown_of_all: deque[float] = deque()
        self._given_up: dict[int, float] = {}
        """Until when the ids of a partition are not looked up (monotonic seconds)."""

    def gives_up(self, partition: int) -> bool:
        """Return whether ids of this partition are not looked up now, because too many are unknown."""
        return self._given_up.get(partition, 0.0) > time.monotonic()

    async def learn(self, partition: int, ids: list[int]) -> None:
        """Request the schemas of ids at once, and pass them to the decoder.

        Returns when all were answered, or when the partition gives up. Raises ConfigError.
        """
        limit = time.monotonic() + FLOOD_SECONDS
        requests = {asyncio.create_task(self._find(partition, schema_id)) for schema_id in ids}
        try:
            pending = requests
            while pending:
                done, pending = await asyncio.wait(pending, timeout=0.05, return_when=asyncio.FIRST_EXCEPTION)
                for request in done:
                    request.result()
                now = time.monotonic()
                if now > limit and now < self._answered_at + FLOOD_SECONDS and self._flooded(partition):
                    self._given_up[partition] = now + WINDOW_SECONDS
                    return
        finally:
            for request in requests:
                request.cancel()

    def _flooded(self, partition: int) -> bool:
        own, everything = self._unknown.get(partition, deque()), self._unknown_of_all
        old = time.monotonic() - WINDOW_SECONDS
        for times in (own, everything):
            while times and times[0] < old:
                times.popleft()
        return len(own) >= MAX_UNKNOWN or (len(own) > 0 and len(everything) >= MAX_UNKNOWN_OF_ALL)

    def _note_unknown(self, partition: int) -> None:
        now = time.monotonic()
        self._unknown.setdefault(partition, deque(maxlen=MAX_UNKNOWN)).append(now)
        self._unknown_of_all.append(now)
        while len(self._unknown_of_all) > MAX_UNKNOWN_OF_ALL:
            self._unknown_of_all.popleft()

    async def _find(self, partition: int, schema_id: int) -> None:
        """Learn one id. An id that the registry does not have is requested again, unless there are many."""
        text = await self._request(schema_id)
        if text is None:
            self._note_unknown(partition)
            for pause in REPEAT_SECONDS:
                if text is None and not self._flooded(partition):
                    await asyncio.sleep(pause)
                    text = await self._request(schema_id)
        self._signals.learn(schema_id, text)
        self._remember(schema_id, _NEVER if text is not None else time.monotonic() + ASK_AGAIN)

    async def _request(self, schema_id: int) -> str | None:
        """Request a schema, together with others who need it now."""
        request = self._requests.get(schema_id)
        if request is None:
            request = self._requests[schema_id] = asyncio.create_task(self._ask(schema_id), name=f"schema {schema_id}")
        self._waiting[schema_id] += 1
        try:
            return await asyncio.shield(request)
        finally:
            self._waiting[schema_id] -= 1
            if not self._waiting[schema_id]:
                del self._waiting[schema_id], self._requests[schema_id]
                request.cancel()

    async def _ask(self, schema_id: int) -> str | None:
        async with self._free:
            text = await ask(self._registry, schema_id)
            self._answered_at = time.monotonic()
            return text

    def _remember(self, schema_id: int, until: float) -> None:
        self._learnt[schema_id] = until
        self._forget_at = min(self._forget_at, until)
        if len(self._learnt) > MAX_REMEMBERED:
            oldest = next(iter(self._learnt))
            del self._learnt[oldest]
            self._signals.forget(oldest)

    def tick(self) -> None:
        """Forget each id that has been unknown for ASK_AGAIN seconds, so that it is looked up again."""
        now = time.monotonic()
        if now < self._forget_at:
            return
        for schema_id in [schema_id for schema_id, until in self._learnt.items() if until <= now]:
            del self._learnt[schema_id]
            self._signals.forget(schema_id)
        self._forget_at = min(self._learnt.values(), default=_NEVER)
