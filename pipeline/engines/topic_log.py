"""Follows some topics and knows their ends; what the readers of a bridge have in common."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.errors import SignalError
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.codec import decode_json
from pipeline.model.decoders import Decoders, UnknownSchemaError
from pipeline.settings import Settings
from pipeline.view.follower import Follower, Notice, learn_schemas
from pipeline.view.log_ends import LogEnds

Take = Callable[[TopicPartition, Record, Any], None]
"""Takes a record and what its value is, None for a tombstone."""
Wanted = Callable[[Record], bool]


class _Schemas(Decoders):
    """Decoders of values that may also be signals as JSON."""

    def decode(self, value: bytes | None) -> Any:
        """Return the record in `value`. Raises SignalError."""
        return decode_json(value) if value is not None and value[:1] == b"{" else super().decode(value)


class TopicLog:
    """Reads partitions read_committed from given offsets on. An asynchronous context manager.

    Args:
        records: the classes of the values.
        take: called for each record that `wanted` accepts, with its value; None if it can't be read.
    """

    def __init__(
        self, settings: Settings, records: Iterable[Any], take: Take, notice: Notice, wanted: Wanted = lambda _: True
    ) -> None:
        self._settings, self._wanted, self._take, self._notice = settings, wanted, take, notice
        self._schemas = _Schemas(records)
        self.offsets = LogOffsets(settings)
        self.follower = Follower(settings, self._apply, self._bad_batch, notice)
        self._ends = LogEnds(self.offsets.ends)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            opened.push_async_callback(self.offsets.stop)
            opened.push_async_callback(self.follower.stop)
            await asyncio.gather(self.offsets.start(), self.follower.start())
            opened.push_async_callback(self._ends.stop)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def begin(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Follow these partitions from these offsets on."""
        self.follower.begin(offsets)

    async def run(self) -> None:
        """Read until cancelled. Raises KafkaError, FatalError."""
        try:
            while True:
                await self.follower.turn()
        except Exception as error:
            self.follower.fail(error)
            raise

    async def read_end(self, *partitions: TopicPartition) -> None:
        """Wait until these partitions are read to the ends that they have after this call, while Kafka is away, too."""
        ends = await asyncio.gather(*map(self._end_after_now, partitions))
        await self.follower.until(
            lambda: all(self.follower.positions.get(tp, -1) >= end for tp, end in zip(partitions, ends, strict=True))
        )

    async def _end_after_now(self, tp: TopicPartition) -> int:
        while True:
            try:
                return await self._ends.after_now(tp)
            except KafkaTimeoutError as error:  # an outage must not end a bridge, which holds unsent signals
                self._notice(f"{tp.topic}/{tp.partition}: {error}; asking again")

    async def _apply(self, tp: TopicPartition, records: list[Record]) -> None:
        own = [one for one in records if self._wanted(one)]
        await learn_schemas(self._registry, self._schemas, [one for one in own if one.value], self._notice)
        for one in own:
            value = None
            try:
                value = None if one.value is None else self._schemas.decode(one.value)
            except (SignalError, UnknownSchemaError) as error:  # it is a dead letter, or a record of a later version
                self._notice(f"{tp.topic}/{tp.partition}/{one.offset}: {error}; skipped")
            self._take(tp, one, value)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{batch.first}: {fault}; skipped")
