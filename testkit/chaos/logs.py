"""Read the seven topics of a run with librdkafka and fastavro, without any code of the pipeline.

The topics of signals and of dead letters are read batch by batch (testkit/raw_fetch.py): they hold broken batches, and
headers that librdkafka's Python client can't decode.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from testkit.chaos.encode import plain
from testkit.model import rfc3339
from testkit.raw_fetch import BrokenBatchError, RawReader, StoredBatch, StoredRecord

Key = tuple[str, int, int]
"""Topic, partition and offset."""
API, MEDIA = "api.signals", "media.signals"
_PATIENCE_SECONDS: Final = 60.0


POISON_HEADER: Final = b"poison"
"""Marks a record that is not a valid signal: the load adds it."""


@dataclass(slots=True)
class Signal:
    """One record of a signal topic, or one broken batch. `time` is the append time in microseconds, made monotonic."""

    at: Key
    time: int
    value: dict[str, Any] | None
    """The signal as parsed JSON; None for a record that is not a signal, and for a broken batch."""
    raw: bytes | None = None
    """The record's value, or the broken batch from its base offset on."""
    key: bytes | None = None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    last: int | None = None
    """The last offset of a broken batch; None for a record."""
    broken: str = ""
    """Why the batch can't be read."""
    unstamped: bool = False
    """Whether the broker did not stamp it: `time` is that of the record before it, earlier than its append."""

    @property
    def end(self) -> int:
        """The offset after it."""
        return (self.at[2] if self.last is None else self.last) + 1


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
    noops: list[tuple[Key, dict[str, Any]]] = field(default_factory=list)
    dead: list[tuple[Key, StoredRecord]] = field(default_factory=list)
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    gone: dict[str, dict[str, Any]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    """Signal topic to the next offset, from the last position record."""
    times: dict[str, int] = field(default_factory=dict)
    """Signal topic to the time (microseconds) in that record."""
    read_at: int = 0
    """The time (microseconds) when the reading began, by this machine's clock."""
    problems: list[str] = field(default_factory=list)


def topic_of(signal: Mapping[str, Any]) -> str:
    """Return the topic on which a signal of this type belongs (contract §4)."""
    return API if signal["type"].startswith("conference.") else MEDIA


class Reader:
    """Reads the topics of one run by partition."""

    def __init__(self, servers: str, registry: str, topic: Callable[[str], str], group_id: str) -> None:
        self._servers, self._registry, self.topic, self._group_id = servers, registry.rstrip("/"), topic, group_id
        self._schemas: dict[int, Any] = {}
        self._raw = RawReader(servers)
        self._ids: dict[str, set[str]] = {}
        self.kept: dict[tuple[str, int], list[StoredBatch]] = {}
        """Signals that may have been deleted from their topic, by topic and partition (see `keep`)."""

    def read(self, number: int) -> PartitionLog:
        """Read one partition number from the beginning of each topic to the last stable offset."""
        log = PartitionLog(number, read_at=time.time_ns() // 1000)
        for name in (API, MEDIA):
            topic = self.topic(name)
            self.keep(topic, number)
            log.signals[name] = self._signals(topic, number, self.kept.pop((topic, number)))
        for record in self.fetch(self.topic("events"), number):
            log.events.append(self._event(log, record))
        for name, rows in (("signals.rejected", log.rejected), ("signals.noops", log.noops)):
            for record in self.fetch(self.topic(name), number):
                rows.append(self._outcome(log, name, record))
        for batch in self._raw.batches(self.topic("signals.dead"), number):
            for letter in batch.records():
                parts = [
                    letter.header(b"__connect.errors." + part) or b"" for part in (b"topic", b"partition", b"offset")
                ]
                log.dead.append(((parts[0].decode(), int(parts[1]), int(parts[2])), letter))
        for record in self.fetch(self.topic("rooms"), number):
            self._row(log, record)
        return log

    def positions(self, number: int) -> dict[str, int]:
        """Return the positions of the last position record, by signal topic."""
        log = PartitionLog(number)
        for record in self.fetch(self.topic("rooms"), number):
            if record.key() == b'["position"]':
                self._row(log, record)
        return log.positions

    def unfinished(self, number: int) -> bool:
        """Return whether this partition number has signals after its last recorded position."""
        positions = self.positions(number)
        for topic in map(self.topic, (API, MEDIA)):
            batches = self._raw.batches(topic, number)
            if batches and batches[-1].last >= positions.get(topic, 0):
                return True
        return False

    def keep(self, topic: str, number: int) -> None:
        """Keep a copy of a partition's signals, which are about to be deleted."""
        kept = self.kept.setdefault((topic, number), [])
        known = kept[-1].last if kept else -1
        kept += [batch for batch in self._raw.batches(topic, number) if batch.first > known]

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

    def _signals(self, topic: str, number: int, batches: Iterable[StoredBatch]) -> list[Signal]:
        signals, latest = [], 0
        for batch in batches:
            # A record of a batch that is not LogAppendTime has the time of the record before it.
            time = latest if batch.time_ms is None else max(latest, batch.time_ms * 1000)
            try:
                records = batch.records()
            except BrokenBatchError as error:
                place = (topic, number, batch.first)
                signals.append(Signal(place, time, None, batch.raw, last=batch.last, broken=str(error)))
                continue
            for record in records:
                signal = Signal((topic, number, record.offset), time, None, record.value, record.key, record.headers)
                signal.unstamped = batch.time_ms is None
                signals.append(signal)
                if record.header(POISON_HEADER) is not None:
                    continue
                assert record.value is not None
                value = self._parsed(record.value)
                # Brokers repair some broken batches, which also hold API signals for the media topic.
                if topic.endswith(topic_of(value)):
                    signal.value, latest = value, time  # dead letters don't move the time
        return signals

    def _parsed(self, value: bytes) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(value) if value[:1] == b"{" else self.avro(value)
        return parsed

    def _event(self, log: PartitionLog, record: Message) -> Event:
        headers = {name: value.decode() for name, value in record.headers()}
        row = self.avro(record.value())
        event = {"event": headers.get("ce_type"), **row}
        meta, place = row["meta"], f"{record.topic()}/{record.partition()}/{record.offset()}"
        cause = headers.pop("ce_signal", None)
        expected = {
            "ce_specversion": "1.0",
            "ce_id": meta["event_id"],
            "ce_type": event["event"],
            "ce_source": f"/{self.topic('')[:-1]}",
            "ce_subject": row["room_id"],
            "ce_time": meta["occurred_at"],
            "content-type": "application/avro",
        }
        shown = {name: value for name, value in headers.items() if name not in {"traceparent", "tracestate"}}
        if shown != expected or record.key().decode() != row["room_id"]:
            log.problems.append(f"{place}: key {record.key()!r} and headers {shown} are not the event's {event}")
        parts = cause.rsplit("/", 2) if cause else []
        at = (parts[0], int(parts[1]), int(parts[2])) if parts else None
        return Event((record.topic(), record.partition(), record.offset()), record.timestamp()[1] * 1000, at, event)

    def _outcome(self, log: PartitionLog, name: str, record: Message) -> tuple[Key, dict[str, Any]]:
        """Return a record of the rejected or of the no-op signals, with the place of its signal."""
        row = self.avro(record.value())
        place = (row["topic"], row["partition"], row["offset"])
        headers = [(key, value) for key, value in record.headers() or [] if not key.startswith("trace")]
        if headers != [("ce_signal", "{}/{}/{}".format(*place).encode())] or record.key() != row["room_id"].encode():
            log.problems.append(f"{name}/{record.offset()}: key {record.key()!r}, headers {headers}, row {row}")
        return place, row

    def _row(self, log: PartitionLog, record: Message) -> None:
        kind, *ids = json.loads(record.key())
        row = None if record.value() is None else self.avro(record.value())
        if kind == "position":
            assert row is not None
            log.positions = {p["topic"]: p["offset"] for p in row["positions"]}
            log.times = {p["topic"]: p["time"] for p in row["positions"]}
            known = all(p["topic_id"] in self._topic_ids(p["topic"]) for p in row["positions"])
            if not (log.problems or (known and row["group_id"] == self._group_id)):
                log.problems.append(f"position record {record.offset()} has another group or topic id: {row}")
            return
        tables = {"room": log.rooms, "gone": log.gone}
        rows = log.members.setdefault(ids[0], {}) if kind == "member" else tables[kind]
        rows.pop(ids[-1], None)
        if row is not None:
            rows[ids[-1]] = row

    def _topic_ids(self, topic: str) -> set[str]:
        """Return a topic's id in both ways to write a UUID: the usual one, and Kafka's in base 64."""
        if topic not in self._ids:
            admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
            found = admin.describe_topics(TopicCollection([topic]))[topic].result(30).topic_id
            bits = found.get_most_significant_bits() % (1 << 64), found.get_least_significant_bits() % (1 << 64)
            id_ = uuid.UUID(int=bits[0] << 64 | bits[1])
            self._ids[topic] = {str(id_), base64.urlsafe_b64encode(id_.bytes).decode().rstrip("=")}
        return self._ids[topic]

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
