"""What became of a signal: its events, or the reason why it had none."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from conference_events.avro import EVENT_NAMES, Decoder, header
from conference_events.events import AnyEvent
from conference_events.producer import Sent
from conference_events.registry import Registry
from conference_events.signals import ConferenceDestroy, MemberJoined, Signal

KEPT_SECONDS: Final = 60.0
Status = Literal["events", "no-op", "rejected", "dead", "unknown"]
_TOPICS: Final[dict[str, Status]] = {
    "events": "events",
    "signals.noops": "no-op",
    "signals.rejected": "rejected",
    "signals.dead": "dead",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a signal. `unknown` means that nothing was seen in time, not that nothing happened."""

    status: Status
    events: tuple[AnyEvent, ...] = ()
    reason: str = ""
    """Why there is no event: `playback_active`, `repeated`, or the fault of a dead letter, for example."""


class Outcomes:
    """Follows the topics on which the pipeline tells what became of signals, from now on.

        async with Outcomes("kafka:9092", Registry(url)) as outcomes, SignalProducer("kafka:9092") as producer:
            outcome = await outcomes.of(await producer.send(ConferenceCreate(room_id=…, app_id=…, name=…)))

    Enter it before you send. It keeps what it has seen for 60 s. It reads all partitions without a group. Other
    keyword arguments go to aiokafka.
    """

    def __init__(self, bootstrap_servers: str, registry: Registry, *, prefix: str = "conference", **kafka: Any) -> None:
        self._prefix = prefix
        self._decoder = Decoder(registry.schema)
        self._seen: dict[str, tuple[float, list[tuple[Status, ConsumerRecord]]]] = {}
        self._news = asyncio.Condition()
        self._failure: BaseException | None = None
        self._options = {
            "bootstrap_servers": bootstrap_servers,
            "isolation_level": "read_committed",
            "auto_offset_reset": "latest",
            "enable_auto_commit": False,
            **kafka,
        }

    async def __aenter__(self) -> Self:
        topics = [f"{self._prefix}.{name}" for name in _TOPICS]
        self._consumer = AIOKafkaConsumer(*topics, **self._options)
        try:
            await self._consumer.start()
            for partition in self._consumer.assignment():
                await self._consumer.position(partition)  # asks for the end now, not at the first fetch
        except BaseException:
            await self._consumer.stop()
            raise
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    async def of(self, sent: Sent, timeout: float = 5.0) -> Outcome:
        """Return the outcome of a signal, `unknown` after `timeout` seconds.

        A destroy is complete with its `destroyed`, a join of a muted member with its `member.muted`.
        Raises InvalidDataError, RegistryError, and aiokafka's KafkaError.
        """

        def complete() -> bool:
            return self._failure is not None or _is_complete(sent.signal, self._records(sent.place))

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(complete), timeout)
            except TimeoutError:
                return Outcome("unknown")
        if self._failure is not None:
            raise self._failure
        return await self._outcome(self._records(sent.place))

    def _records(self, place: str) -> list[tuple[Status, ConsumerRecord]]:
        return self._seen.get(place, (0.0, []))[1]

    async def _outcome(self, found: list[tuple[Status, ConsumerRecord]]) -> Outcome:
        status, first = found[0]
        if status == "dead":
            return Outcome(status, reason=header(first.headers, "__connect.errors.exception.message"))
        known = [r for _, r in found if status != "events" or header(r.headers, "ce_type") in EVENT_NAMES]
        values: list[Any] = [await self._decoded(record.value) for record in known]
        if status == "events":
            return Outcome(status, events=tuple(values))
        return Outcome(status, reason=values[0].reason)

    async def _decoded(self, value: bytes) -> Any:
        if not self._decoder.knows(value):
            await asyncio.to_thread(self._decoder.learn, value)
        return self._decoder.decode(value)

    async def _follow(self) -> None:
        try:
            while True:
                batches = await self._consumer.getmany(timeout_ms=1000)
                async with self._news:
                    for partition, records in batches.items():
                        self._remember(partition, records)
                    self._forget()
                    self._news.notify_all()
        except Exception as error:
            async with self._news:
                self._failure = error
                self._news.notify_all()

    def _remember(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        status = _TOPICS[partition.topic.removeprefix(f"{self._prefix}.")]
        for record in records:
            if place := header(record.headers, "ce_signal"):
                self._seen.setdefault(place, (time.monotonic(), []))[1].append((status, record))

    def _forget(self) -> None:
        limit = time.monotonic() - KEPT_SECONDS
        for place in [place for place, (seen, _) in self._seen.items() if seen < limit]:
            del self._seen[place]


def _is_complete(signal: Signal, found: list[tuple[Status, ConsumerRecord]]) -> bool:
    if not found or found[0][0] != "events":
        return bool(found)
    names = {header(record.headers, "ce_type") for _, record in found}
    if isinstance(signal, ConferenceDestroy):
        return "conference.destroyed" in names
    return not (isinstance(signal, MemberJoined) and signal.muted) or "conference.member.muted" in names
