"""Decodes values of topics, and asks the registry for the schemas that they name."""

from __future__ import annotations

import time
from typing import Any, Final

from pipeline.errors import SignalError
from pipeline.kafka.schema_registry import Registry
from pipeline.model.decoders import Decoders, UnknownSchemaError

ASK_AGAIN_SECONDS: Final = 1.0
"""Time after which the registry is asked again for an id that it did not have: it may have it later."""


class ValueReader:
    """Decodes values with `decoders`, which it teaches the schemas of `registry`."""

    def __init__(self, registry: Registry, decoders: Decoders) -> None:
        self._registry, self._decoders = registry, decoders
        self._missing: dict[int, float] = {}
        """Ids that the registry does not have, and when it was asked (monotonic seconds)."""

    async def decode(self, value: bytes | None) -> Any:
        """Return the record in `value`. Raises SignalError, RegistryDownError, ConfigError."""
        try:
            return self._decoders.decode(value)
        except UnknownSchemaError as error:
            schema_id = error.schema_id
        asked = self._missing.get(schema_id)
        if asked is None or time.monotonic() > asked + ASK_AGAIN_SECONDS:
            text = await self._registry.schema(schema_id)
            if text is not None:
                self._decoders.learn(schema_id, text)
                return self._decoders.decode(value)
            self._missing[schema_id] = time.monotonic()
        raise SignalError(f"the registry has no schema with id {schema_id}")
