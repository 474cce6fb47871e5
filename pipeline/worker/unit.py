"""What one unit says: events, table changes, rejected signals and dead letters of the partitions it worked on.

Events are encoded as they are said; a table row is written once per unit, with its last value. It is encoded
(`encode_rows`) while the broker begins the unit's transaction: earlier, most were encoded in vain, for the next signals
changed them again, and later, the writer would wait for it. In a backlog it is encoded when its lane has had its share
of the unit: at the end it would be out of the processor's cache.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import msgspec
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.decision import Decision
from pipeline.core.merge import Input, Record
from pipeline.kafka.record_batch import Batch, Batches, batches, encode, encode_row, header
from pipeline.model.avro import LENGTH, length
from pipeline.model.codec import MAX_VALUE
from pipeline.model.events import EVENTS, Event
from pipeline.model.records import Member, Position, Rejected, Room, TopicPosition
from pipeline.model.signals import AnySignal
from pipeline.model.times import format_time
from pipeline.model.trace_context import context
from pipeline.model.wire import ENCODERS, encode_member, encode_room

MAX_SIGNALS: Final = 40_000
MAX_BYTES: Final = 32 << 20
"""Caps of a unit: signals taken in, bytes said. The output of one signal is never split, so both are passed."""
FAMILIES: Final = ("signals", "events", "rejected", "no_ops", "dead", "timeouts")
SHOWN_OF_LARGE: Final = 64 << 10
"""How much of a value over 1 MiB its dead letter carries (contract §4)."""

_POSITION_KEY: Final = b'["position"]'
_key = msgspec.json.Encoder().encode

# What all events' headers have in common, once. The ids' length is always that of a UUID, the times' that of a time.
_ID: Final = header("ce_specversion", b"1.0") + header("ce_id", bytes(36))[:-36]
_SUBJECT: Final = header("ce_subject", b"")[:-1]
_TIME: Final = header("ce_time", bytes(27))[:-27]
_END: Final = header("content-type", b"application/avro")
_SIGNAL: Final = header("ce_signal", b"")[:-1]
_SIGNAL_ERROR: Final = b"pipeline.errors.SignalError"
"""The class of a dead letter's error, as consumers of the dead letters know it. Published text: it does not follow the
code when a module moves."""
_HEADERS: Final = 7
"""Headers of an event that no signal caused."""


class OutputEncoder:
    """Topics and registered schemas of one pipeline: what the outputs of a unit need to know of the world."""

    def __init__(self, prefix: str, schema_ids: dict[str, int], *, trace: bool = True) -> None:
        """`schema_ids` maps full record names to the ids of our schemas in the registry; `trace` says whether events
        carry the trace context of their signals."""
        self.events = topics.EVENTS.full_name(prefix)
        self.rooms = topics.ROOMS.full_name(prefix)
        self.rejected = topics.REJECTED.full_name(prefix)
        self.dead = topics.DEAD.full_name(prefix)
        self.trace = trace
        self._encoders = {
            kind: (encoder, b"\0" + schema_ids[kind.RECORD].to_bytes(4))
            for kind, encoder in ENCODERS.items()
            if kind.RECORD in schema_ids
        }
        source = header("ce_source", f"/{prefix}".encode())
        self.between = {
            event.EVENT: header("ce_type", event.EVENT.encode()) + source + _SUBJECT for event in EVENTS
        }
        """What stands between an event's id and its subject, by its name."""

    def head(self, kind: type[object]) -> bytes:
        """What comes before a record of this kind in the registry's wire format."""
        return self._encoders[kind][1]

    def encode(self, record: object) -> bytes:
        """A record in the registry's wire format."""
        encoder, prefix = self._encoders[type(record)]
        return encoder(record, prefix)


class Output:
    """What one partition says in a unit."""

    __slots__ = ("dead", "events", "members", "rejected", "rooms", "rows")

    def __init__(self) -> None:
        self.events = Batches()
        self.rejected = Batches()
        self.dead = Batches()
        self.rows: dict[str | tuple[str, str], bytes] = {}
        """By room_id, or by (room_id, session_uuid)."""
        self.rooms: dict[str, Room | None] = {}
        self.members: dict[tuple[str, str], Member | None] = {}
        """What has changed since `rows` were made."""


class Unit:
    """One unit of work. Empty until the first signal, dead letter, timeout or `touch`."""

    def __init__(self, names: OutputEncoder, owner: str) -> None:
        self._names = names
        self._owner = owner
        self._outputs: dict[int, Output] = {}
        self.began = time.monotonic()
        """When its first signal, dead letter, timeout or `touch` came, by the monotonic clock."""
        self.signals = 0
        self.bytes = 0
        self.counts: dict[str, Counter[str]] = {family: Counter() for family in FAMILIES}
        """How often, by label, by family: what the metrics learn once the unit is committed."""
        self.event_times: Counter[int] = Counter()
        """How many signals of an append time (microseconds) caused events, for the latency metric."""
        # Not counted yet: to count many at once takes a third of the time.
        self._types: list[str] = []
        self._said: list[str] = []
        self._times: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._outputs)

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return self.signals >= MAX_SIGNALS or self.bytes >= MAX_BYTES

    def touch(self, partition: int) -> Output:
        """The output of `partition`; its position will be written even if it says nothing."""
        output = self._outputs.get(partition)
        if output is None:
            if not self._outputs:
                self.began = time.monotonic()
            output = self._outputs[partition] = Output()
        return output

    def decided(
        self, source: Input, record: Record, signal: AnySignal, before: Room | None, decision: Decision
    ) -> None:
        """A signal was applied to the room that was `before`."""
        output = self.touch(source.partition)
        self.signals += 1
        self.bytes += len(record.value or b"")
        self._types.append(signal.TYPE)
        if decision.events:
            own = [_place(source, record)]
            if record.headers and self._names.trace:
                own += [header(name, value) for name, value in context(record.headers)]
            self._say(output, record.key or b"", decision.events, own)
            self._times.append(record.time)
        elif decision.rejected:
            self.counts["rejected"][decision.rejected] += 1
            self._reject(output, source, record, signal, decision.rejected)
        elif decision.no_op:
            self.counts["no_ops"][decision.no_op] += 1
        if decision.room is not before:
            output.rooms[signal.room_id] = decision.room
        for session, member in decision.members:
            output.members[signal.room_id, session] = member

    def expired(self, partition: int, room_id: str, decision: Decision) -> None:
        """A deadline fired."""
        output = self.touch(partition)
        self.counts["timeouts"][""] += 1
        self._say(output, room_id.encode(), decision.events, [])
        output.rooms[room_id] = decision.room

    def buried(self, source: Input, record: Record, error: Exception) -> None:
        """A record that is no signal goes to the dead letters, as it came."""
        output = self.touch(source.partition)
        self.signals += 1
        self.counts["dead"][source.topic] += 1
        value, more = record.value, []
        if value is not None and len(value) > MAX_VALUE:
            more = [("original-size", str(len(value)).encode())]
            value = value[:SHOWN_OF_LARGE]
        key, headers = record.key, record.headers
        # Compressed, a record that the broker took may hold more than our topics do: cut what would not fit.
        if key is not None and len(key) > MAX_VALUE:
            more.append(("original-key-size", str(len(key)).encode()))
            key = key[:SHOWN_OF_LARGE]
        if (size := sum(len(name) + len(data or b"") + 10 for name, data in headers)) > MAX_VALUE:
            more.append(("original-headers-size", str(size).encode()))
            headers = ()
        why = [
            ("__connect.errors.topic", source.topic.encode()),
            ("__connect.errors.partition", str(source.partition).encode()),
            ("__connect.errors.offset", str(record.offset).encode()),
            ("__connect.errors.exception.class.name", _SIGNAL_ERROR),
            ("__connect.errors.exception.message", str(error).encode("utf-8", "replace")),
        ]
        letter = encode(key, value, [header(*one) for one in (*headers, *why, *more)])
        self.bytes += len(letter)
        output.dead.add(letter)

    def _say(self, output: Output, key: bytes, said: tuple[Event, ...], own: list[bytes]) -> None:
        names, size = self._names, length(len(key))
        when = format_time(said[0].meta.occurred_at).encode()
        count, tail = LENGTH[_HEADERS + len(own)], b"".join((size, key, _TIME, when, _END, *own))
        for event in said:
            value, name = names.encode(event), event.EVENT
            uuid = event.meta.event_id.encode()
            parts = (size, key, length(len(value)), value, count, _ID, uuid, names.between[name], tail)
            record = b"".join(parts)
            output.events.add(record)
            self.bytes += len(record)
            self._said.append(name)

    def _reject(self, output: Output, source: Input, record: Record, signal: AnySignal, reason: str) -> None:
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
        said = encode(record.key, self._names.encode(rejected), [_place(source, record)])
        self.bytes += len(said)
        output.rejected.add(said)

    # --- what is written -------------------------------------------------------------------------------------

    def pack(self) -> None:
        """Put the events since the last call together, and count."""
        for output in self._outputs.values():
            output.events.pack()
        self.counts["signals"].update(self._types)
        self.counts["events"].update(self._said)
        self.event_times.update(self._times)
        self._types.clear()
        self._said.clear()
        self._times.clear()

    def encode_rows(self) -> None:
        """Encode the rows of what has changed since the last call."""
        room_head, member_head = self._names.head(Room), self._names.head(Member)
        for output in self._outputs.values():
            rows = output.rows
            for room_id, room in output.rooms.items():
                key = _key(("room", room_id))
                rows[room_id] = encode_row(key, None if room is None else encode_room(room, room_head))
            for both, member in output.members.items():
                key = _key(("member", both[0], both[1]))
                rows[both] = encode_row(key, None if member is None else encode_member(member, member_head))
            output.rooms.clear()
            output.members.clear()

    def offsets(self, inputs: dict[int, tuple[Input, Input]]) -> dict[TopicPartition, int]:
        """The group offsets behind this unit's input."""
        return {
            TopicPartition(source.topic, source.partition): source.offset
            for partition in self._outputs
            for source in inputs[partition]
        }

    def places(self) -> set[TopicPartition]:
        """Where it has something to write, so far."""
        rooms = {TopicPartition(self._names.rooms, number) for number in self._outputs}
        return rooms | {
            TopicPartition(topic, number)
            for number, output in self._outputs.items()
            for topic, said in self._said_by(output)
            if said
        }

    def _said_by(self, output: Output) -> tuple[tuple[str, Batches], ...]:
        """What a partition says besides its rows, and on which topics."""
        names = self._names
        return (names.events, output.events), (names.rejected, output.rejected), (names.dead, output.dead)

    def records(self, inputs: dict[int, tuple[Input, Input]]) -> dict[TopicPartition, list[Batch]]:
        """All records of the unit, by where they go: what came in on partition p goes out on partition p."""
        self.pack()
        self.encode_rows()
        out: dict[TopicPartition, list[Batch]] = {}
        for number, output in self._outputs.items():
            # The position comes first: it names the owner of this transaction to whoever finds it open.
            rows = [self._position(inputs[number]), *output.rows.values()]
            out[TopicPartition(self._names.rooms, number)] = batches(rows)
            for topic, said in self._said_by(output):
                if said:
                    out[TopicPartition(topic, number)] = said.close()
        return out

    def _position(self, inputs: tuple[Input, Input]) -> bytes:
        positions = tuple(TopicPosition(i.topic, i.partition, i.offset, i.time) for i in inputs)
        position = Position(transactional_id=self._owner, positions=positions)
        return encode_row(_POSITION_KEY, self._names.encode(position))


def _place(source: Input, record: Record) -> bytes:
    """The header that names the record of the cause."""
    place = source.name_prefix + str(record.offset).encode()
    return b"".join((_SIGNAL, length(len(place)), place))
