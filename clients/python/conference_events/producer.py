"""A producer of signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from conference_events.lines import signal_json
from conference_events.signals import Signal


@dataclass(frozen=True)
class Sent:
    """A signal that Kafka has acknowledged, and its place."""

    signal: Signal
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """`topic/partition/offset`: the header `ce_signal` of every record that the signal causes."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class SignalProducer:
    """Sends signals as JSON; the pipeline accepts JSON and Avro. JSON needs no schema registry.

    The key is the room_id. aiokafka's default partitioner is the murmur2 of the Java client, which the pipeline
    requires: don't pass another one. Other keyword arguments go to aiokafka.
    """

    def __init__(self, bootstrap_servers: str, *, prefix: str = "conference", **kafka: Any) -> None:
        self._prefix = prefix
        self._options = {"bootstrap_servers": bootstrap_servers, "acks": "all", "enable_idempotence": True, **kafka}

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(**self._options)
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, signal: Signal) -> Sent:
        """Send a signal and wait until Kafka has it. To repeat a request, send the same object: the same signal_id.

        Raises InvalidDataError if the signal breaks a rule, aiokafka's KafkaError if it may not have been sent.
        """
        topic = f"{self._prefix}.{signal.TOPIC}.signals"
        found = await self._producer.send_and_wait(topic, signal_json(signal), signal.room_id.encode())
        return Sent(signal, topic, found.partition, found.offset)
