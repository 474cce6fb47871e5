"""Encodes the output of units: events, rejected signals, no-ops, dead letters, and their headers (contract §3, §4)."""

from __future__ import annotations

from typing import Final

from pipeline import topics
from pipeline.core.merge import CutRecord, Input, Record
from pipeline.kafka.record_batch import encode, encode_copy, header
from pipeline.model import framing
from pipeline.model.avro import length
from pipeline.model.events import EVENTS
from pipeline.model.records import NoOp, Rejected
from pipeline.model.signals import AnySignal
from pipeline.model.wire import ENCODERS

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

    def __init__(self, prefix: str, schema_ids: dict[str, int], *, trace: bool = True, group_id: str = "") -> None:
        """`schema_ids` are the registry's ids of this version's schemas, by full record name. `trace`: events carry the
        trace context of their signals. `group_id` is the group that position records name."""
        self.events = topics.EVENTS.full_name(prefix)
        self.rooms = topics.ROOMS.full_name(prefix)
        self.rejected = topics.REJECTED.full_name(prefix)
        self.noops = topics.NOOPS.full_name(prefix)
        self.dead = topics.DEAD.full_name(prefix)
        self.trace = trace
        self.group_id = group_id
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
    """Return the dead letter of a record: key, value and headers as they came, Kafka Connect's error headers, and
    `ce_signal`. Of several headers with one name the last counts, so the worker's come last.

    A record that was cut (`CutRecord`) has headers with the original sizes, a batch one with its last offset.
    """
    cause = [
        header("__connect.errors.topic", source.topic.encode()),
        header("__connect.errors.partition", str(source.partition).encode()),
        header("__connect.errors.offset", str(record.offset).encode()),
        header("__connect.errors.exception.class.name", SIGNAL_ERROR),
        header("__connect.errors.exception.message", str(error).encode("utf-8", "replace")),
        signal_header(source, record),
    ]
    if isinstance(record, CutRecord):
        sizes = {
            "original-size": record.value_size,
            "original-key-size": record.key_size,
            "original-headers-size": record.headers_size,
        }
        cause += [header(name, str(size).encode()) for name, size in sizes.items() if size]
        if record.is_batch:
            cause.append(header("last-offset", str(record.last).encode()))
    return encode_copy(record.key, record.value, record.headers, cause)
