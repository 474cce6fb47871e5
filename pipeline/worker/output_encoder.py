"""Encodes the output of units: events, rejected signals, no-ops, dead letters, and their headers (contract §3, §4)."""

from __future__ import annotations

from typing import Final

from pipeline import topics
from pipeline.core.merge import Input, Record
from pipeline.kafka.record_batch import encode, header
from pipeline.model import framing
from pipeline.model.avro import length
from pipeline.model.codec import MAX_VALUE
from pipeline.model.events import EVENTS
from pipeline.model.records import NoOp, Rejected
from pipeline.model.signals import AnySignal
from pipeline.model.wire import ENCODERS

SHOWN_OF_LARGE: Final = 64 << 10
"""Bytes that a dead letter carries of a key or value over 1 MiB (contract §4)."""
SIGNAL_ERROR: Final = b"pipeline.errors.SignalError"
"""The class of a dead letter's error. Consumers read this text: it does not follow the code when a module moves."""

# What the headers of all events have in common, encoded once. An id always has 36 bytes, a time 27.
ID: Final = header("ce_specversion", b"1.0") + header("ce_id", bytes(36))[:-36]
TIME: Final = header("ce_time", bytes(27))[:-27]
END: Final = header("content-type", b"application/avro")
_SUBJECT: Final = header("ce_subject", b"")[:-1]
_SIGNAL: Final = header("ce_signal", b"")[:-1]
EVENT_HEADERS: Final = 7
"""Headers of an event that no signal caused (a timeout)."""


class OutputEncoder:
    """The topics and registered schemas of one pipeline."""

    def __init__(self, prefix: str, schema_ids: dict[str, int], *, trace: bool = True) -> None:
        """`schema_ids` are the registry's ids of this version's schemas, by full record name. `trace`: events carry the
        trace context of their signals."""
        self.events = topics.EVENTS.full_name(prefix)
        self.rooms = topics.ROOMS.full_name(prefix)
        self.rejected = topics.REJECTED.full_name(prefix)
        self.noops = topics.NOOPS.full_name(prefix)
        self.dead = topics.DEAD.full_name(prefix)
        self.trace = trace
        self._encoders = {
            kind: (encoder, framing.head(schema_ids[kind.RECORD]))
            for kind, encoder in ENCODERS.items()
            if kind.RECORD in schema_ids
        }
        source = header("ce_source", f"/{prefix}".encode())
        self.between = {event.EVENT: header("ce_type", event.EVENT.encode()) + source + _SUBJECT for event in EVENTS}
        """The headers between an event's id and its subject, by event name."""

    def head(self, kind: type[object]) -> bytes:
        """Return what precedes a record of this kind in the registry's wire format."""
        return self._encoders[kind][1]

    def encode(self, record: object) -> bytes:
        """Return a record in the registry's wire format."""
        encoder, prefix = self._encoders[type(record)]
        return encoder(record, prefix)

    def encode_rejected(self, source: Input, record: Record, signal: AnySignal, reason: str) -> bytes:
        """Return the record of a rejected signal."""
        rejected = Rejected(
            signal_id=signal.signal_id,
            room_id=signal.room_id,
            type=signal.TYPE,
            reason=reason,
            topic=source.topic,
            partition=source.partition,
            offset=record.offset,
            signal=record.value or b"",
        )
        return encode(record.key, self.encode(rejected), [signal_header(source, record)])

    def encode_no_op(self, source: Input, record: Record, signal: AnySignal, reason: str) -> bytes:
        """Return the record of an API signal that was a no-op."""
        no_op = NoOp(
            signal_id=signal.signal_id,
            room_id=signal.room_id,
            type=signal.TYPE,
            reason=reason,
            topic=source.topic,
            partition=source.partition,
            offset=record.offset,
        )
        return encode(record.key, self.encode(no_op), [signal_header(source, record)])


def signal_header(source: Input, record: Record) -> bytes:
    """Return the header `ce_signal`, which names the record of a signal."""
    place = source.name_prefix + str(record.offset).encode()
    return b"".join((_SIGNAL, length(len(place)), place))


def encode_dead_letter(source: Input, record: Record, error: Exception) -> bytes:
    """Return the dead letter of a record: key, value and headers as they came, and Kafka Connect's error headers.

    A compressed record may hold more than the topic of the dead letters accepts. What is too large is cut, and a header
    gives the original size.
    """
    key, value, headers = record.key, record.value, record.headers
    more: list[tuple[str, bytes]] = []
    if value is not None and len(value) > MAX_VALUE:
        more.append(("original-size", str(len(value)).encode()))
        value = value[:SHOWN_OF_LARGE]
    if key is not None and len(key) > MAX_VALUE:
        more.append(("original-key-size", str(len(key)).encode()))
        key = key[:SHOWN_OF_LARGE]
    if (size := sum(len(name) + len(data or b"") + 10 for name, data in headers)) > MAX_VALUE:
        more.append(("original-headers-size", str(size).encode()))
        headers = ()
    cause = [
        ("__connect.errors.topic", source.topic.encode()),
        ("__connect.errors.partition", str(source.partition).encode()),
        ("__connect.errors.offset", str(record.offset).encode()),
        ("__connect.errors.exception.class.name", SIGNAL_ERROR),
        ("__connect.errors.exception.message", str(error).encode("utf-8", "replace")),
    ]
    return encode(key, value, [header(*one) for one in (*headers, *cause, *more)])
