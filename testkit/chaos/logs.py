"""Read the six topics of a run with librdkafka and fastavro, without any code of the pipeline."""

from __future__ import annotations

import io
import json
import secrets
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from testkit.chaos.encode import plain
from testkit.model import rfc3339

Key = tuple[str, int, int]
"""Topic, partition and offset."""
API, MEDIA = "api.signals", "media.signals"
_PATIENCE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Signal:
    """One record of a signal topic. `time` is the append time in microseconds, made monotonic."""

    at: Key
    time: int
    value: dict[str, Any] | None
    """The signal as parsed JSON; None for a poison record."""
    raw: bytes | None = None


@dataclass(slots=True)
class Event:
    """One event: its position, append time (microseconds), its cause's position (None: a timeout), its JSON."""

    at: Key
    time: int
    cause: Key | None
    json: dict[str, Any]


@dataclass
class PartitionLog:
    """The records of one partition number in all topics, in log order."""

    number: int
    signals: dict[str, list[Signal]] = field(default_factory=lambda: {API: [], MEDIA: []})
    events: list[Event] = field(default_factory=list)
    rejected: list[tuple[Key, dict[str, Any]]] = field(default_factory=list)
    dead: list[tuple[Key, Message]] = field(default_factory=list)
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    """Signal topic to the next offset, from the last position record."""
    problems: list[str] = field(default_factory=list)


class Reader:
    """Reads the topics of one run by partition."""

    def __init__(self, servers: str, registry: str, topic: Callable[[str], str]) -> None:
        self._servers, self._registry, self.topic = servers, registry.rstrip("/"), topic
        self._schemas: dict[int, Any] = {}
        self.kept: dict[tuple[str, int], list[Message]] = {}
        """Signals that may have been deleted from their topic, by topic and partition (see `keep`)."""

    def read(self, number: int) -> PartitionLog:
        """Read one partition number from the beginning of each topic to the last stable offset."""
        log = PartitionLog(number)
        for name in (API, MEDIA):
            topic = self.topic(name)
            self.keep(topic, number)
            log.signals[name] = self._signals(self.kept.pop((topic, number)))
        for record in self.fetch(self.topic("events"), number):
            log.events.append(self._event(log, record))
        for record in self.fetch(self.topic("signals.rejected"), number):
            row = self.avro(record.value())
            log.rejected.append(((row["topic"], row["partition"], row["offset"]), row))
        for record in self.fetch(self.topic("signals.dead"), number):
            headers = dict(record.headers() or [])
            place = [headers[f"__connect.errors.{part}"].decode() for part in ("topic", "partition", "offset")]
            log.dead.append(((place[0], int(place[1]), int(place[2])), record))
        for record in self.fetch(self.topic("rooms"), number):
            self._row(log, record)
        return log

    def unfinished(self, number: int) -> bool:
        """Return whether this partition number has signals after its last recorded position."""
        log = PartitionLog(number)
        for record in self.fetch(self.topic("rooms"), number):
            if record.key() == b'["position"]':
                self._row(log, record)
        for topic in map(self.topic, (API, MEDIA)):
            signals = self.fetch(topic, number)
            if signals and signals[-1].offset() >= log.positions.get(topic, 0):
                return True
        return False

    def keep(self, topic: str, number: int) -> None:
        """Keep a copy of a partition's signals, which are about to be deleted."""
        kept = self.kept.setdefault((topic, number), [])
        known = kept[-1].offset() if kept else -1
        kept += [record for record in self.fetch(topic, number) if record.offset() > known]

    def fetch(self, topic: str, number: int, *, isolation: str = "read_committed") -> list[Message]:
        """Return all records of a partition that this isolation level shows. Raises KafkaException on a timeout."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": f"check-{secrets.token_hex(6)}",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        found: list[Message] = []
        try:
            consumer.assign([TopicPartition(topic, number, 0)])
            moved = time.monotonic()
            while time.monotonic() - moved < _PATIENCE_SECONDS:
                for record in consumer.consume(10_000, 0.02):
                    if record.error() is None:
                        found.append(record)
                    elif record.error().code() == KafkaError._PARTITION_EOF:
                        return found
                    moved = time.monotonic()
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}/{number}: no end after 60 s"))
        finally:
            consumer.close()

    # --- decoding --------------------------------------------------------------------------------------------

    def _signals(self, records: list[Message]) -> list[Signal]:
        signals, latest = [], 0
        for record in records:
            place = (record.topic(), record.partition(), record.offset())
            time = max(latest, record.timestamp()[1] * 1000)
            value = record.value()
            if record.headers():
                signals.append(Signal(place, time, None, value))
                continue
            latest = time
            signals.append(Signal(place, time, json.loads(value) if value[:1] == b"{" else self.avro(value), value))
        return signals

    def _event(self, log: PartitionLog, record: Message) -> Event:
        headers = {name: value.decode() for name, value in record.headers()}
        row = self.avro(record.value())
        event = {"event": headers["ce_type"], **row}
        meta, place = row["meta"], f"{record.topic()}/{record.partition()}/{record.offset()}"
        shown = (headers["ce_id"], headers["ce_subject"], headers["ce_time"], record.key().decode())
        if shown != (meta["event_id"], row["room_id"], meta["occurred_at"], row["room_id"]):
            log.problems.append(f"{place}: headers {shown} are not the event's {event}")
        cause = headers.get("ce_signal")
        parts = cause.rsplit("/", 2) if cause else []
        at = (parts[0], int(parts[1]), int(parts[2])) if parts else None
        return Event((record.topic(), record.partition(), record.offset()), record.timestamp()[1] * 1000, at, event)

    def _row(self, log: PartitionLog, record: Message) -> None:
        kind, *ids = json.loads(record.key())
        row = None if record.value() is None else self.avro(record.value())
        if kind == "position":
            assert row is not None
            log.positions = {p["topic"]: p["offset"] for p in row["positions"]}
        elif kind == "room":
            log.rooms.pop(ids[0], None)
            if row is not None:
                log.rooms[ids[0]] = row
        else:
            members = log.members.setdefault(ids[0], {})
            members.pop(ids[1], None)
            if row is not None:
                members[ids[1]] = row

    def avro(self, value: bytes) -> dict[str, Any]:
        """Decode a value in the schema registry's wire format."""
        schema_id = int.from_bytes(value[1:5])
        if schema_id not in self._schemas:
            with urllib.request.urlopen(f"{self._registry}/schemas/ids/{schema_id}", timeout=30) as answer:
                text = json.load(answer)["schema"]
            self._schemas[schema_id] = fastavro.parse_schema(plain(json.loads(text)))
        schema = self._schemas[schema_id]
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        for holder in (row, row.get("meta", {})):
            if "occurred_at" in holder:
                holder["occurred_at"] = rfc3339(holder["occurred_at"])
        if schema["name"].startswith("conference.signal."):
            row["type"] = _TYPES[schema["name"].removeprefix("conference.signal.")]
        return row  # type: ignore[no-any-return]


_TYPES: Final = {
    name.title().replace(".", ""): name
    for name in (
        *(
            f"conference.{kind}"
            for kind in [
                "create",
                "destroy",
                "play",
                "pause",
                "stop",
                "volume",
                "join",
                "leave",
                "mute",
                "unmute",
            ]
        ),
        *(f"member.{kind}" for kind in ["joined", "left", "muted", "unmuted"]),
        *(f"play.{kind}" for kind in ["progress", "finished", "failed"]),
    )
}
