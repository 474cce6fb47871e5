"""The unit of work (Quix Streams: checkpoint): what a worker decided since the last one, on all its partitions.

Events are encoded as they are decided. A table row is written once per unit, with its last value. It is encoded while
the broker begins the transaction: earlier, most rows would change again, and later, the transaction would wait. In a
backlog it is encoded when its task has had its share of the unit, since its rooms then leave the processor's cache.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from aiokafka.structs import TopicPartition

from pipeline.core.decision import Decision
from pipeline.core.merge import Input, Record
from pipeline.kafka.record_batch import Batch, Batches, batches, encode_row, header
from pipeline.kafka.record_reader import find_headers
from pipeline.model.avro import LENGTH, length
from pipeline.model.events import Event
from pipeline.model.records import Gone, Member, Position, Room, TopicPosition
from pipeline.model.row_keys import GONE, MEMBER, POSITION_KEY, ROOM, encode_key
from pipeline.model.signals import AnySignal
from pipeline.model.times import format_time
from pipeline.model.trace_context import TRACE_HEADERS, context
from pipeline.model.wire import encode_gone, encode_member, encode_room
from pipeline.worker.output_encoder import (
    END,
    EVENT_HEADERS,
    ID,
    TIME,
    OutputEncoder,
    encode_dead_letter,
    signal_header,
)

MAX_SIGNALS: Final = 40_000
MAX_BYTES: Final = 32 << 20
"""A unit that has reached one of these bounds takes in no more signals. The last signal may take the bytes beyond the
bound: its output is never split."""
MAX_DELETED: Final = 1_000
"""Records of gone rooms that one partition deletes in a unit, or as many as the unit has signals if that is more: so a
load that only creates and destroys rooms does not leave ever more of them."""
LETTER_WEIGHT: Final = 3
"""A dead letter or a rejected signal counts as so many times its bytes. It carries a whole signal, and is held several
times while a unit is written. So bad bytes take less than 256 MiB of memory."""
FAMILIES: Final = ("signals", "events", "rejected", "no_ops", "dead", "timeouts")


class Output:
    """What one partition writes in a unit."""

    __slots__ = ("dead", "events", "gone", "members", "noops", "rejected", "rooms", "rows")

    def __init__(self) -> None:
        self.events = Batches()
        self.rejected = Batches()
        self.noops = Batches()
        self.dead = Batches()
        self.rows: dict[str | tuple[str, ...], bytes] = {}
        """Encoded rows: of rooms by room_id, of members by (room_id, session_uuid), of gone rooms by (room_id,)."""
        self.rooms: dict[str, Room | None] = {}
        self.members: dict[tuple[str, str], Member | None] = {}
        self.gone: dict[str, Gone | None] = {}
        """Rooms, members and gone rooms that have changed since `rows` was updated; None for a deleted one."""


class Unit:
    """One unit of work. Empty until the first signal, dead letter, timeout or `output_for`."""

    def __init__(self, encoder: OutputEncoder, owner: str) -> None:
        """`owner` is the transactional id of this worker, which the position record names."""
        self._encoder = encoder
        self._owner = owner
        self._outputs: dict[int, Output] = {}
        self.began = time.monotonic()
        """When the unit ceased to be empty (monotonic seconds)."""
        self.signals = 0
        """Signals and deadlines that were decided: what slices and bounds count."""
        self.bytes = 0
        self.counts: dict[str, Counter[str]] = {family: Counter() for family in FAMILIES}
        """Counts by family and label, for the metrics, once the unit is committed."""
        self.event_times: Counter[int] = Counter()
        """Signals that caused events, by append time (microseconds), for the latency metric."""
        self._deleted: Counter[int] = Counter()
        """Records of gone rooms that were deleted because their 60 s are over, by partition."""
        # Not counted yet: to count many at once takes a third of the time.
        self._types: list[str] = []
        self._published: list[str] = []
        self._times: list[int] = []
        self._expired = 0
        self._occurred_at, self._when = -1, b""
        """The time of the last events, and its text: deadlines of one append time are many."""

    def __bool__(self) -> bool:
        return bool(self._outputs)

    @property
    def full(self) -> bool:
        """Whether the unit takes in no more."""
        return self.signals >= MAX_SIGNALS or self.bytes >= MAX_BYTES

    # --- what is decided -------------------------------------------------------------------------------------

    def output_for(self, partition: int) -> Output:
        """Return the output of `partition`. Its position is written even if nothing else is."""
        output = self._outputs.get(partition)
        if output is None:
            if not self._outputs:
                self.began = time.monotonic()
            output = self._outputs[partition] = Output()
        return output

    def decided(
        self,
        source: Input,
        record: Record,
        signal: AnySignal,
        before: Room | None,
        gone: Gone | None,
        decision: Decision,
    ) -> None:
        """Add the decision on a signal; `before` is the room before it, or `gone` the record of the gone room."""
        output = self.output_for(source.partition)
        self.signals += 1
        self.bytes += len(record.value or b"")
        self._types.append(signal.TYPE)
        if decision.events:
            own = [signal_header(source, record)]
            if record.headers and self._encoder.trace:
                headers = record.headers
                found = find_headers(headers, TRACE_HEADERS) if isinstance(headers, bytes) else headers
                own += [header(name, value) for name, value in context(found)]
            self._publish(output, record.key or b"", decision.events, own)
            self._times.append(record.time)
        elif decision.rejected:
            self.counts["rejected"][decision.rejected] += 1
            rejected = self._encoder.encode_rejected(source, record, signal, decision.rejected)
            self.bytes += LETTER_WEIGHT * len(rejected)
            output.rejected.add(rejected)
        elif decision.no_op:
            self.counts["no_ops"][decision.no_op] += 1
            if signal.TOPIC == "api":
                no_op = self._encoder.encode_no_op(source, record, signal, decision.no_op)
                self.bytes += len(no_op)
                output.noops.add(no_op)
        if decision.room is not before:
            output.rooms[signal.room_id] = decision.room
            if gone is not None or decision.gone is not None:
                output.gone[signal.room_id] = decision.gone
        for session, member in decision.members:
            output.members[signal.room_id, session] = member

    def expired(self, partition: int, room_id: str, decision: Decision) -> None:
        """Add the decision on a deadline that has fired."""
        output = self.output_for(partition)
        self.signals += 1
        self._expired += 1
        self._publish(output, room_id.encode(), decision.events, [])
        output.rooms[room_id] = decision.room
        if decision.gone is not None:
            output.gone[room_id] = decision.gone

    def may_delete(self, partition: int) -> bool:
        """Return whether `partition` may delete another record of a gone room in this unit."""
        return self._deleted[partition] < max(MAX_DELETED, self.signals)

    def gone_deleted(self, partition: int, room_id: str) -> None:
        """Delete the record of a gone room whose 60 s are over."""
        self._deleted[partition] += 1
        self.output_for(partition).gone[room_id] = None

    def dead_lettered(self, source: Input, record: Record, error: Exception) -> None:
        """Add a record that is no signal to the dead letters."""
        output = self.output_for(source.partition)
        self.signals += 1
        self.counts["dead"][source.topic] += 1
        letter = encode_dead_letter(source, record, error)
        self.bytes += LETTER_WEIGHT * len(letter)
        output.dead.add(letter)

    def _publish(self, output: Output, key: bytes, events: tuple[Event, ...], own: list[bytes]) -> None:
        """Add events of one decision; `own` are the encoded headers that they do not share with all others."""
        encoder, size = self._encoder, length(len(key))
        occurred_at = events[0].meta.occurred_at
        if occurred_at != self._occurred_at:
            self._occurred_at, self._when = occurred_at, format_time(occurred_at).encode()
        when = self._when
        count, tail = LENGTH[EVENT_HEADERS + len(own)], b"".join((size, key, TIME, when, END, *own))
        for event in events:
            value, name = encoder.encode(event), event.EVENT
            uuid = event.meta.event_id.encode()
            parts = (size, key, length(len(value)), value, count, ID, uuid, encoder.between[name], tail)
            record = b"".join(parts)
            output.events.add(record)
            self.bytes += len(record)
            self._published.append(name)

    def pack(self) -> None:
        """Join the events since the last call into the open batch, and count them."""
        for output in self._outputs.values():
            output.events.pack()
        self.counts["signals"].update(self._types)
        self.counts["events"].update(self._published)
        self.event_times.update(self._times)
        self.counts["timeouts"][""] += self._expired
        self._expired = 0
        self._types.clear()
        self._published.clear()
        self._times.clear()

    def encode_rows(self) -> None:
        """Encode the rows that have changed since the last call."""
        room_head, member_head = self._encoder.head(Room), self._encoder.head(Member)
        gone_head = self._encoder.head(Gone)
        for output in self._outputs.values():
            rows = output.rows
            for room_id, room in output.rooms.items():
                key = encode_key((ROOM, room_id))
                rows[room_id] = encode_row(key, None if room is None else encode_room(room, room_head))
            for both, member in output.members.items():
                key = encode_key((MEMBER, both[0], both[1]))
                rows[both] = encode_row(key, None if member is None else encode_member(member, member_head))
            for room_id, gone in output.gone.items():
                key = encode_key((GONE, room_id))
                rows[room_id,] = encode_row(key, None if gone is None else encode_gone(gone, gone_head))
            output.rooms.clear()
            output.members.clear()
            output.gone.clear()

    # --- what is written -------------------------------------------------------------------------------------

    def offsets(self, inputs: dict[int, tuple[Input, Input]]) -> dict[TopicPartition, int]:
        """Return the group offsets after this unit's input."""
        return {
            TopicPartition(source.topic, source.partition): source.offset
            for partition in self._outputs
            for source in inputs[partition]
        }

    def partitions_written(self) -> set[TopicPartition]:
        """Return the partitions that this unit writes to, as known so far."""
        rooms = {TopicPartition(self._encoder.rooms, number) for number in self._outputs}
        return rooms | {
            TopicPartition(topic, number)
            for number, output in self._outputs.items()
            for topic, records in self._streams(output)
            if records
        }

    def _streams(self, output: Output) -> tuple[tuple[str, Batches], ...]:
        """Return what a partition writes besides its rows, by topic."""
        encoder = self._encoder
        return (
            (encoder.events, output.events),
            (encoder.rejected, output.rejected),
            (encoder.noops, output.noops),
            (encoder.dead, output.dead),
        )

    def records(self, inputs: dict[int, tuple[Input, Input]]) -> dict[TopicPartition, list[Batch]]:
        """Return all batches of the unit. Input of partition p gives output on partition p."""
        self.pack()
        self.encode_rows()
        out: dict[TopicPartition, list[Batch]] = {}
        for number, output in self._outputs.items():
            # The position comes first: it names the owner of this transaction to a worker that finds it open.
            rows = [self._position(inputs[number]), *output.rows.values()]
            out[TopicPartition(self._encoder.rooms, number)] = batches(rows)
            for topic, records in self._streams(output):
                if records:
                    out[TopicPartition(topic, number)] = records.close()
        return out

    def _position(self, inputs: tuple[Input, Input]) -> bytes:
        positions = tuple(TopicPosition(i.topic, i.partition, i.offset, i.time, i.topic_id) for i in inputs)
        position = Position(self._owner, positions, self._encoder.group_id)
        return encode_row(POSITION_KEY, self._encoder.encode(position))
