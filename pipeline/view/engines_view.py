"""The engine nodes that bridges announce on the topic of engines, followed from its beginning."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import SignalError
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.decoders import Decoders, UnknownSchemaError
from pipeline.model.records import Engine
from pipeline.settings import Settings
from pipeline.view.follower import RETRY_SECONDS, Follower, Notice, learn_schemas

ANNOUNCED_SECONDS: Final = 30.0
"""Seconds after its last record for which a node is announced."""
MAX_NODES: Final = 10_000
"""Nodes that are remembered; a record of one more is skipped."""


class Announcement(NamedTuple):
    """The last record of a node. `seen`: when it was written, in monotonic seconds of this process."""

    engine: Engine
    seen: float


class EnginesView:
    """The announced nodes. An asynchronous context manager; entering connects, `loaded` waits for the first copy.

    While the topic's leader does not answer, no node gets older. Entering raises ConfigError, KafkaError.
    """

    def __init__(self, settings: Settings, notice: Notice = lambda _: None) -> None:
        self._settings, self._notice = settings, notice
        self._tp = TopicPartition(topics.ENGINES.full_name(settings.topic_prefix), 0)
        self._offsets = LogOffsets(settings)
        self._follower = Follower(settings, self._apply, self._bad_batch, notice)
        self._decoders = Decoders((Engine,))
        self._last: dict[str, Announcement] = {}
        self._is_loaded = False
        self.failure: BaseException | None = None
        """The error that has ended the reading."""
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            opened.push_async_callback(self._offsets.stop)
            opened.push_async_callback(self._follower.stop)
            await asyncio.gather(self._offsets.start(), self._follower.start())
            task = asyncio.create_task(self._run())
            opened.push_async_callback(_cancel, task)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._load()
                    while True:
                        await self._follower.turn()
                except Errors.OffsetOutOfRangeError:
                    self._notice(f"{self._tp.topic} was replaced: reading it from its beginning")
                except Errors.KafkaError as error:
                    if not error.retriable:
                        raise
                    self._notice(f"reading {self._tp.topic} from its beginning: {error}")
                await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            self.failure = error
            self._follower.fail(error)

    async def _load(self) -> None:
        starts, ends = await asyncio.gather(self._offsets.beginnings([self._tp]), self._offsets.stable([self._tp]))
        self._last.clear()
        self._is_loaded = False
        self._follower.begin(starts)
        async for _ in self._follower.up_to(ends):
            pass
        self._is_loaded = True
        self._follower.wake()

    async def loaded(self) -> None:
        """Wait until the topic is read to the end that it had. Raises the error that ended the reading."""
        await self._follower.until(lambda: self._is_loaded)

    async def _apply(self, _: TopicPartition, records: list[Record]) -> None:
        await learn_schemas(self._registry, self._decoders, [one for one in records if one.value], self._notice)
        for record in records:
            node = (record.key or b"").decode("utf-8", "replace")
            if record.value is None:
                self._last.pop(node, None)
                continue
            try:
                engine = self._decoders.decode(record.value)
            except (SignalError, UnknownSchemaError) as error:
                self._notice(f"{self._tp.topic}/0/{record.offset}: {error}; skipped")
                continue
            if node in self._last or len(self._last) < MAX_NODES:
                # What is read as it is written needs no clock; of older records the wall clock tells the age.
                age = 0.0 if self._is_loaded else max(0.0, time.time() - record.time / 1e6)
                self._last[node] = Announcement(engine, time.monotonic() - age)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{batch.first}: {fault}; skipped")

    # --- the nodes -------------------------------------------------------------------------------------------

    @property
    def last(self) -> Mapping[str, Announcement]:
        """The last record of each node that has not ended cleanly."""
        return self._last

    def engine(self, node: str) -> Engine | None:
        """Return the engine of a node that is announced now."""
        found = self._last.get(node)
        return found.engine if found is not None and found.seen >= self._oldest() else None

    @property
    def announced(self) -> tuple[str, ...]:
        """The nodes that are announced now, in order."""
        oldest = self._oldest()
        return tuple(sorted(node for node, one in self._last.items() if one.seen >= oldest))

    def _oldest(self) -> float:
        """Return since when a node must have been seen: as of the last answer of the topic's leader."""
        return time.monotonic() - min(self._follower.silent, time.monotonic()) - ANNOUNCED_SECONDS


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
