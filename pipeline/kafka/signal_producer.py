"""Produces signals to the topics that their types belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.oauth import client_options
from pipeline.model import framing
from pipeline.model.signals import AnySignal
from pipeline.settings import Settings
from pipeline.topics import SIGNAL_TOPICS, Topic, signal_topics

PRODUCER_OPTIONS: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "max_batch_size": 1 << 18,
    "max_request_size": 4 << 20,  # a signal may have 1 MiB (contract §4); the topic's own limit decides
}
"""Options of the client. Its default partitioner is the Java client's, murmur2 (contract §2)."""
NEXT_MILLISECOND: Final = 0.002
"""Seconds after an acknowledgement until a later append surely gets a later append time, in milliseconds."""
MAX_TRACKED_ROOMS: Final = 10_000


class SignalProducer:
    """An idempotent producer of signals; an asynchronous context manager.

    Args:
        avro: produce Avro in the registry's wire format, instead of the JSON text.
        keep_order: append a room's signals on the two topics in the order of the calls, each in a later millisecond
            than the one before on the other topic: the workers merge the topics by append time.
        linger_ms: milliseconds to wait for more signals of a batch.
        written: the topics of the signals that it will send; it needs the permission to write to these only.

    Entering raises ConfigError, KafkaError; with `avro` also RegistryDownError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        avro: bool = False,
        keep_order: bool = True,
        linger_ms: int = 5,
        written: Collection[Topic] = SIGNAL_TOPICS,
    ) -> None:
        self._settings, self._avro, self._keep_order, self._linger_ms = settings, avro, keep_order, linger_ms
        self._written = written
        self._topics = signal_topics(settings.topic_prefix)
        self._schema_ids: dict[str, int] = {}
        self._last_topic: dict[str, str] = {}  # room id → topic of its signals since the last flush

    async def __aenter__(self) -> SignalProducer:
        if self._avro:
            from pipeline.kafka.schema_registry import Registry

            async with Registry(self._settings) as registry:
                self._schema_ids = await registry.schema_ids(self._settings.topic_prefix)
        self._producer = AIOKafkaProducer(
            **client_options(self._settings), **PRODUCER_OPTIONS, linger_ms=self._linger_ms
        )
        try:
            await require_topics(self._settings, acls.producer(self._settings, self._written))
            await self._producer.start()
            for topic in self._written:  # fetched now, so that the first signal needs no round trip
                await self._producer.partitions_for(topic.full_name(self._settings.topic_prefix))
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the signals in flight, then close the producer."""
        await self._producer.stop()

    async def send(self, signal: AnySignal, json_text: bytes) -> asyncio.Future[Any]:
        """Hand one signal to the client; the future ends with the broker's acknowledgement or a KafkaError.

        `json_text` is the signal as JSON; with `avro` it is not used. Raises KafkaError.
        """
        if self._keep_order:
            await self._order_topics(signal)
        topic, value = self._topics[signal.TOPIC], self._value(signal, json_text)
        future: asyncio.Future[Any] = await self._producer.send(topic, value, signal.room_id.encode())
        return future

    async def flush(self) -> None:
        """Wait until every signal is acknowledged or has failed."""
        await self._producer.flush()

    async def _order_topics(self, signal: AnySignal) -> None:
        """When a room's signal changes the topic, wait for the acknowledgement of all, and for a new millisecond."""
        last = self._last_topic
        if last.setdefault(signal.room_id, signal.TOPIC) == signal.TOPIC and len(last) < MAX_TRACKED_ROOMS:
            return
        await self._producer.flush()
        await asyncio.sleep(NEXT_MILLISECOND)
        self._last_topic = {signal.room_id: signal.TOPIC}

    def _value(self, signal: AnySignal, json_text: bytes) -> bytes:
        if not self._avro:
            return json_text.strip(b" \t\r\n")
        from pipeline.model.wire import ENCODERS

        return ENCODERS[type(signal)](signal, framing.head(self._schema_ids[signal.RECORD]))
