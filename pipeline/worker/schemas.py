"""Decoders of signals and table rows that ask the registry for each schema id once."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from pipeline.errors import FatalError, SignalError
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model.decoders import Decoders, SignalDecoder, UnknownSchemaError
from pipeline.model.records import Member, Position, Room

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


class RowDecoder:
    """Decodes table rows, written by this or another version of the workers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._decoders = Decoders((Room, Member, Position))

    async def decode(self, value: bytes) -> Room | Member | Position:
        """Return the row in `value`.

        Raises ValueError if it is not a row, FatalError if the registry does not have its schema.
        """
        row: Room | Member | Position
        try:
            try:
                row = self._decoders.decode(value)
            except UnknownSchemaError as error:
                await self._learn(error.schema_id)
                row = self._decoders.decode(value)
        except SignalError as error:
            raise ValueError(str(error)) from None
        return row

    async def _learn(self, schema_id: int) -> None:
        text = await ask(self._registry, schema_id)
        if text is None:
            raise FatalError(
                f"the registry has lost schema id {schema_id}, which rows of the table are written with: restore it"
            )
        self._decoders.learn(schema_id, text)

    def is_current(self, value: bytes) -> bool:
        """Return whether a row that `decode` has read has exactly the encoding of a current schema."""
        return self._decoders.is_current(value)
