"""Schemas by id, learnt from the registry once each, for signals and for table rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from pipeline.errors import FatalError, SignalError
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model.codec import decoder
from pipeline.model.decoders import SignalDecoder
from pipeline.model.records import Member, Position, Room

ROWS: Final = {row.RECORD: row for row in (Room, Member, Position)}
ASK_AGAIN: Final = 30.0
"""Seconds after which an id that the registry did not know is asked for once more."""
log = structlog.get_logger("registry")


async def ask(registry: Registry, schema_id: int) -> str | None:
    """The schema with this id, None if there is none; waits for a registry that is down, and says so."""
    while True:
        try:
            return await registry.schema(schema_id)
        except RegistryDownError as error:
            log.warning("waiting for the registry", schema_id=schema_id, error=str(error))
            await asyncio.sleep(2)


class Learner:
    """Teaches a signal decoder the ids it meets. An unknown id is remembered as such for half a minute, so that
    bad records don't turn into questions."""

    def __init__(self, registry: Registry, signals: SignalDecoder) -> None:
        self._registry = registry
        self._signals = signals
        self._unknown: dict[int, float] = {}

    async def learn(self, schema_id: int) -> None:
        """Ask for an id that the decoder does not know."""
        text = await ask(self._registry, schema_id)
        self._signals.learn(schema_id, text)
        if text is None:
            self._unknown[schema_id] = time.monotonic()

    def tick(self) -> None:
        """Let ids that were unknown be asked for again."""
        now = time.monotonic()
        for schema_id, since in list(self._unknown.items()):
            if now - since > ASK_AGAIN:
                del self._unknown[schema_id]
                self._signals.forget(schema_id)


class RowDecoder:
    """Table rows from their bytes, written by this or another version of the workers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._by_id: dict[int, Callable[[bytes], Any]] = {}

    async def decode(self, value: bytes) -> Room | Member | Position:
        """Raises ValueError for bytes that are no row, FatalError for a schema that is no row's."""
        if len(value) < 5 or value[0] != 0:
            raise ValueError("not in the registry's wire format")
        schema_id = int.from_bytes(value[1:5])
        decode = self._by_id.get(schema_id)
        if decode is None:
            text = await ask(self._registry, schema_id)
            if text is None:
                raise FatalError(
                    f"the registry has lost schema id {schema_id}, which the table's rows are written with"
                )
            decode = self._by_id[schema_id] = decoder(schema_id, text, ROWS)
        try:
            return decode(value)  # type: ignore[no-any-return]
        except SignalError as error:
            raise ValueError(str(error)) from None
