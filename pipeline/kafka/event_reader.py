"""Reads the committed events of all partitions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import SignalError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.batch_reader import by_batch
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.oauth import client_options
from pipeline.kafka.record_reader import BatchError
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.decoders import Decoders, UnknownSchemaError
from pipeline.model.events import EVENTS, Event
from pipeline.settings import Settings


class EventReader:
    """An asynchronous context manager and iterator over events; each partition's events come in their order.

    Args:
        on_bad_record: called with one line of text for each record that is not an event; the record is skipped.
        from_beginning: start at the oldest event, instead of at the end of the topic as it is on entering.

    Entering raises ConfigError, KafkaError, RegistryDownError; iterating raises the last two.
    """

    def __init__(
        self, settings: Settings, on_bad_record: Callable[[str], None], *, from_beginning: bool = False
    ) -> None:
        self._settings, self._on_bad_record, self._from_beginning = settings, on_bad_record, from_beginning
        self._topic = topics.EVENTS.full_name(settings.topic_prefix)
        self._open = contextlib.AsyncExitStack()
        self._decoders = Decoders(EVENTS)

    async def __aenter__(self) -> EventReader:
        found = await require_topics(self._settings, acls.consumer(self._settings))
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            options = {"isolation_level": "read_committed", "enable_auto_commit": False}
            self._consumer: Any = AIOKafkaConsumer(**client_options(self._settings), **options)
            opened.push_async_callback(self._consumer.stop)
            await self._consumer.start()
            by_batch(self._consumer)
            partitions = [TopicPartition(self._topic, number) for number in range(found[self._topic])]
            look_up = self._consumer.beginning_offsets if self._from_beginning else self._consumer.end_offsets
            assign_and_seek(self._consumer, await look_up(partitions))
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            fetched: dict[TopicPartition, list[StoredBatch]] = await self._consumer.getmany(timeout_ms=1000)
            for tp, batches in fetched.items():
                for record in (record for batch in batches for record in self._records(tp, batch)):
                    try:
                        event = await self._decode(record.value)
                    except SignalError as error:
                        place = f"{tp.topic}/{tp.partition}/{record.offset}"
                        self._on_bad_record(f"{place}: no event: {error}; skipped")
                    else:
                        yield event

    def _records(self, tp: TopicPartition, batch: StoredBatch) -> list[Record]:
        try:
            return batch.read_all()
        except BatchError as error:
            self._on_bad_record(f"{tp.topic}/{tp.partition}/{batch.first}: no events: {error}; skipped")
            return []

    async def _decode(self, value: bytes | None) -> Any:
        try:
            return self._decoders.decode(value)
        except UnknownSchemaError as error:
            text = await self._registry.schema(error.schema_id)
            if text is None:  # not learnt: the registry may have the id later
                raise SignalError(f"the registry has no schema with id {error.schema_id}") from None
            self._decoders.learn(error.schema_id, text)
            return self._decoders.decode(value)
