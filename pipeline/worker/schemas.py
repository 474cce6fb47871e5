"""Schemas by id, from a registry that may be down; each id of a signal is requested once."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model.decoders import SignalDecoder

ASK_AGAIN: Final = 30.0
"""Seconds after which an id that the registry did not have is requested again."""
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
        self._unknown: dict[int, float] = {}

    async def learn(self, schema_id: int) -> None:
        """Request the schema of an id, and pass it to the decoder."""
        text = await ask(self._registry, schema_id)
        self._signals.learn(schema_id, text)
        if text is None:
            self._unknown[schema_id] = time.monotonic()

    def tick(self) -> None:
        """Allow another request for each id that has been unknown for ASK_AGAIN seconds."""
        now = time.monotonic()
        for schema_id, since in list(self._unknown.items()):
            if now - since > ASK_AGAIN:
                del self._unknown[schema_id]
                self._signals.forget(schema_id)
