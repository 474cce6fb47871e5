"""Schemas by id, from a registry that may be down. Ids that are not learnt are looked up together, ahead of their turn.

Bytes that no producer meant may name any id. So the ids that a partition looks up are bounded, as are those that are
remembered. While the registry is down, the partition waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import structlog

from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model.decoders import SignalDecoder

ASK_AGAIN: Final = 30.0
"""Seconds after which an id that the registry did not have is requested again."""
REPEAT_SECONDS: Final = (0.1, 0.2)
"""Pauses before an id that the registry does not have is requested again at once: another of its nodes, or one that has
just started, may not have it yet."""
MAX_REPEATED: Final = 32
"""Ids that are requested again at once. More come only from bytes that no producer meant."""
MAX_ASKED: Final = 256
WINDOW_SECONDS: Final = 5.0
"""Ids that a partition looks up in this time. A release of all producers brings about 20 new ones."""
MAX_REMEMBERED: Final = 4096
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
        """Requests under way, by id."""
        self._learnt: dict[int, float] = {}
        """Ids that were looked up, the oldest first. Those that the registry does not have, with the time (monotonic
        seconds) when they are forgotten; the others, with infinity."""
        self._forget_at = _NEVER
        """The earliest of these times, or an earlier one."""
        self._asked: dict[int, deque[float]] = {}
        """When each partition looked up its last ids (monotonic seconds)."""

    def allowed(self, partition: int) -> int:
        """Return how many ids this partition may look up now."""
        asked = self._asked.get(partition)
        if asked is None:
            return MAX_ASKED
        old = time.monotonic() - WINDOW_SECONDS
        while asked and asked[0] < old:
            asked.popleft()
        return MAX_ASKED - len(asked)

    async def learn(self, partition: int, ids: Iterable[int]) -> None:
        """Request the schemas of ids at once, as many as the partition is allowed, and pass them to the decoder.

        Returns when all were answered. Raises ConfigError.
        """
        ids = list(ids)[: self.allowed(partition)]
        self._asked.setdefault(partition, deque()).extend([time.monotonic()] * len(ids))
        missing = await self._request(ids)
        for pause in REPEAT_SECONDS if len(missing) <= MAX_REPEATED else REPEAT_SECONDS[:1]:
            if missing:
                await asyncio.sleep(pause)
                missing = await self._request(missing[:MAX_REPEATED]) + missing[MAX_REPEATED:]
        for schema_id in missing:
            self._signals.learn(schema_id, None)
            self._remember(schema_id, time.monotonic() + ASK_AGAIN)

    async def _request(self, ids: list[int]) -> list[int]:
        """Learn the schemas that the registry has; return the ids of the others."""
        return [schema_id for schema_id in await asyncio.gather(*map(self._find, ids)) if schema_id is not None]

    async def _find(self, schema_id: int) -> int | None:
        request = self._requests.get(schema_id)
        if request is None:
            request = self._requests[schema_id] = asyncio.create_task(self._ask(schema_id), name=f"schema {schema_id}")
        text = await request
        if text is None:
            return schema_id
        self._signals.learn(schema_id, text)
        self._remember(schema_id, _NEVER)
        return None

    async def _ask(self, schema_id: int) -> str | None:
        try:
            async with self._free:
                return await ask(self._registry, schema_id)
        finally:
            del self._requests[schema_id]

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
