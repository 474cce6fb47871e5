"""Unpacks the large batches of a worker in a thread, one after another, within a bound on their memory."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pipeline.core.merge import Batch
from pipeline.kafka.stored_batch import StoredBatch

MAX_HELD: Final = 16 << 20
"""Unpacked bytes that are in use while another batch is unpacked, which takes `unpacking.MAX_UNPACKED` at most."""
IDLE_SECONDS: Final = 0.2
"""A batch that was not read for so long waits for something else. It is dropped when others wait, to be unpacked again
from its stored form: otherwise a partition that waits for the registry would stop the others."""
LOOK_SECONDS: Final = 0.01


class Unpacker:
    """The batches that are unpacked, and those that wait for it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._held: list[StoredBatch] = []
        self._waiting: set[int] = set()

    def waits(self, batch: Batch) -> bool:
        """Return whether this batch is being unpacked or waits for it."""
        return id(batch) in self._waiting

    async def unpack(self, batch: Batch) -> None:
        """Unpack a batch as soon as the bound allows it."""
        assert isinstance(batch, StoredBatch)
        self._waiting.add(id(batch))
        try:
            async with self._lock:
                while self._in_use() > MAX_HELD:
                    await asyncio.sleep(LOOK_SECONDS)
                await asyncio.to_thread(batch.unpack)
                self._held.append(batch)
        finally:
            self._waiting.discard(id(batch))

    def _in_use(self) -> int:
        """Drop the batches that nothing reads; return the bytes of the others."""
        old = time.monotonic() - IDLE_SECONDS
        for batch in self._held:
            if batch.used_at < old:
                batch.close()
        self._held = [batch for batch in self._held if batch.held]
        return sum(batch.held for batch in self._held)
