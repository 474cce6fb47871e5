"""One partition of a worker: its rooms, its two inputs, and the decision on the next signal or deadline.

Kafka Streams calls this a task. A task is changed by the engine's thread only, and knows nothing of the other tasks.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.deadlines import NEVER
from pipeline.core.merge import CutRecord, Input, Merge, Record
from pipeline.core.partition import Partition
from pipeline.errors import SignalError
from pipeline.kafka.partitioning import partition_of
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.model.likely_cause import likely_cause
from pipeline.model.signals import AnySignal, ConferenceCreate, MemberJoined
from pipeline.settings import Settings
from pipeline.topics import API
from pipeline.worker.unit import Unit

AHEAD_RECORDS: Final = 512
AHEAD_BYTES: Final = 256 << 10
"""Records of an input, and bytes of their values, that are searched for schema ids to look up together."""


class SignalReader:
    """Decodes the records of a worker's tasks and checks where they were found (contract §2, §4)."""

    def __init__(self, settings: Settings, decoder: SignalDecoder, metrics: Metrics) -> None:
        self._api = API.full_name(settings.topic_prefix)
        self._partitions = settings.partitions
        self._decoder = decoder
        self._metrics = metrics

    def read(self, source: Input, record: Record) -> AnySignal:
        """Return the signal of a record.

        Raises SignalError for a record that belongs into the dead letters, UnknownSchemaError when its schema id must
        be looked up first.
        """
        if isinstance(record, CutRecord) and record.fault:
            raise SignalError(record.fault)
        try:
            signal = self._decoder.decode(record.value)
        except SignalError as error:
            raise SignalError(f"{error}{likely_cause(record.value or b'', record.headers)}") from None
        topic = "api" if source.topic == self._api else "media"
        if topic != signal.TOPIC:
            raise SignalError(f"{signal.TYPE} belongs on the {signal.TOPIC} topic, not on {source.topic}")
        if record.key != signal.room_id.encode():
            if record.key is None:
                raise SignalError("the record has no key: expected the room_id in UTF-8")
            shown = record.key[:60].decode("utf-8", "replace")
            raise SignalError(f"the record's key {shown!r} is not its room_id {signal.room_id[:60]!r}")
        return signal

    def unknown_ids(self, records: list[Record]) -> list[int]:
        """Return the schema ids of these records that must be looked up, each once."""
        return list(dict.fromkeys(i for r in records if (i := self._decoder.unknown_id(r.value)) is not None))

    def wrong_partition(self, source: Input, record: Record, signal: AnySignal) -> SignalError | None:
        """Return the error of a signal that would create its room on a partition other than the key's (contract §2).

        Counts each signal of an unknown room on a wrong partition. Those that create no room are rejected anyway.
        """
        right = partition_of(record.key or b"", self._partitions)
        if right == source.partition:
            return None
        self._metrics.wrong_partition.inc()
        if not isinstance(signal, ConferenceCreate | MemberJoined):
            return None
        return SignalError(
            f"room {signal.room_id[:60]!r} belongs on partition {right}, this is {source.partition}: signals must be "
            "produced with the murmur2 partitioner of the Java client (librdkafka: partitioner=murmur2_random; others: "
            "docs/howto/connect-an-engine.md)"
        )

    def count_barrier_wait(self) -> None:
        """Count a signal that waits for a deadline before it."""
        self._metrics.barrier_waits.inc()


class PartitionTask:
    """The task of one partition number.

    `owner` is the transactional id that had written the partition's log last when it was loaded; "" for an empty log.
    """

    __slots__ = ("_waiting", "merge", "number", "owner", "partition")

    def __init__(self, number: int, partition: Partition, merge: Merge, owner: str) -> None:
        self.number = number
        self.partition = partition
        self.merge = merge
        self.owner = owner
        self._waiting: tuple[Input, int] | None = None
        """Input and offset of the last record that had to wait for the barrier; it is counted once."""

    def advance(self, unit: Unit, until: int, signals: SignalReader) -> None:
        """Apply records until none is next, the next one must wait, or the unit holds `until` signals or is full.

        Raises UnknownSchemaError and PackedError; the record stays queued.
        """
        merge, partition = self.merge, self.partition
        if partition.gone:
            self._delete_gone(unit)
        while unit.signals < until and not unit.full:
            source = merge.next()
            if source is None:
                return
            record = source.queue[0]
            if type(record) is not Record:
                record = source.unpack()
            now = record.time if record.time > source.time else source.time
            try:
                signal = signals.read(source, record)
            except SignalError as error:
                unit.dead_lettered(source, record, error)
                source.applied(record, source.time)
                continue
            room = partition.rooms.get(signal.room_id)
            if room is not None and room.deadline is not None and room.deadline <= now:
                if not merge.reached(room.deadline):
                    self._wait(source, record, signals)
                    return
                self.expire(unit, until)
                continue  # with this signal, unless the unit now holds enough
            if room is None and (misplaced := signals.wrong_partition(source, record, signal)) is not None:
                unit.dead_lettered(source, record, misplaced)
                source.applied(record, source.time)
                continue
            gone = None if room is not None else partition.gone.get(signal.room_id)
            decision = partition.step(room, gone, signal, now)
            source.applied(record, now)
            unit.decided(source, record, signal, room, gone, decision)

    def unknown_ids(self, signals: SignalReader) -> list[int]:
        """Return the schema ids that the next records need and that must be looked up, that of the head first."""
        head = self.merge.next()
        inputs = sorted(self.merge.inputs, key=lambda source: source is not head)
        return signals.unknown_ids([r for source in inputs for r in source.unpack_ahead(AHEAD_RECORDS, AHEAD_BYTES)])

    def dead_letter_head(self, unit: Unit, error: UnknownSchemaError) -> None:
        """Add the head, whose schema id is not looked up, to the dead letters."""
        source = self.merge.next()
        assert source is not None
        record = source.unpack()
        text = f"schema id {error.schema_id} was not looked up: too many ids before it are not in the registry"
        unit.dead_lettered(source, record, SignalError(text))
        source.applied(record, source.time)

    def due(self) -> int | None:
        """Return a deadline that has passed the barrier, or an earlier one that its room no longer has; else None."""
        earliest = self.partition.earliest
        return earliest if earliest is not None and self.merge.reached(earliest) else None

    def expire(self, unit: Unit, until: int) -> None:
        """Fire the deadlines that have passed the barrier, the earliest first, until the unit holds `until` signals or
        is full."""
        partition, merge = self.partition, self.merge
        while unit.signals < until and not unit.full:
            timeout = partition.next_timeout()
            if timeout is None or not merge.reached(timeout.occurred_at):
                return
            unit.expired(self.number, timeout.room_id, partition.expire(timeout))

    def _delete_gone(self, unit: Unit) -> None:
        """Delete the records of gone rooms whose 60 s are behind the barrier (contract §2), as many as a unit may."""
        partition = self.partition
        while (until := partition.gone_until) != NEVER and self.merge.reached(until) and unit.may_delete(self.number):
            unit.gone_deleted(self.number, partition.delete_gone())

    def _wait(self, source: Input, record: Record, signals: SignalReader) -> None:
        """The signal, and all behind it, must wait for a deadline before it to pass the barrier (contract §5)."""
        if self._waiting != (source, record.offset):
            self._waiting = source, record.offset
            signals.count_barrier_wait()
