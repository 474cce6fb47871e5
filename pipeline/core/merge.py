"""The merge of the two signal topics of one partition number, and the barrier for its deadlines (contract §5).

Which record is next? The older of the two heads, api before media. If only one topic has a head, it is next only when
the other topic has been read to the end that its latest fetch reported (the idea of KIP-695; no wait when caught up).

May a deadline fire? Only behind the barrier: each topic must have reached a record of that time or later, or the end
that the log had when the broker's clock was past the deadline by the grace.

Times are microseconds of the broker's clock (append times); offsets are Kafka's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from mypy_extensions import mypyc_attr

from pipeline.errors import PipelineError
from pipeline.model.trace_context import Headers

GRACE: Final = 250_000  # microseconds by which the clocks of two brokers may differ (contract §5)


@mypyc_attr(acyclic=True)
class Record:
    """A Kafka record of a signal topic, not decoded.

    `headers` are pairs of name and value, or bytes as Kafka encodes them, from their number on.
    """

    __slots__ = ("headers", "key", "offset", "time", "value")

    def __init__(
        self, time: int, offset: int, key: bytes | None, value: bytes | None, headers: Headers | bytes
    ) -> None:
        self.time = time
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers


@mypyc_attr(acyclic=True)
class CutRecord(Record):
    """A record with a part over 1 MiB, or a whole batch that can't be read: what its dead letter carries (contract §4).

    fault         why it is no signal; "" if only its key or its headers are cut
    last          the offset of the last record that it stands for
    is_batch      whether it stands for a batch
    key_size      the original size of a key, a value or headers that were cut, in bytes; 0 for those as they came
    value_size
    headers_size
    """

    __slots__ = ("fault", "headers_size", "is_batch", "key_size", "last", "value_size")

    def __init__(
        self,
        time: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | bytes,
        fault: str,
        last: int,
        key_size: int = 0,
        value_size: int = 0,
        headers_size: int = 0,
        is_batch: bool = False,
    ) -> None:
        super().__init__(time, offset, key, value, headers)
        self.fault = fault
        self.last = last
        self.key_size = key_size
        self.value_size = value_size
        self.headers_size = headers_size
        self.is_batch = is_batch


@mypyc_attr(acyclic=True, allow_interpreted_subclasses=True)
class Batch(Record):
    """Records that are packed, as the broker stores them. It stands in the queue for those that were not read yet.

    time    the append time of all its records; 0 if the broker did not write one
    offset  the offset of the next record to read
    count   the records left, as many as the batch declares
    size    bytes of memory that it takes while it is packed
    """

    __slots__ = ("count", "size")

    def __init__(self, time: int, offset: int, count: int, size: int) -> None:
        super().__init__(time, offset, None, None, ())
        self.count = count
        self.size = size

    def read(self, time: int) -> list[Record]:
        """Return the next records, at least one, and count them down. `time` is for a batch without an append time.

        Raises PackedError when it must be unpacked first.
        """
        raise NotImplementedError


class PackedError(PipelineError):
    """A large batch is next: unpack it in the background, then read it again."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"the batch at offset {batch.offset} is not unpacked yet")
        self.batch = batch


class Input:
    """One signal topic-partition: its fetched records that are not applied yet, and how far its log is known.

    offset       the next offset to apply
    time         the highest time of a signal so far
    queue        records that are fetched and not applied, and batches of them that are still packed
    size         the memory that the packed batches take, in bytes
    in_flight    whether fetched records are on their way into `queue`
    position     the next offset to fetch (beyond transaction markers and aborted records)
    end          the end of the log that the latest fetch reported; None before the first fetch
    probe        (broker time, end of the log at that time) from the latest request for the end; None before one
    undated      the number of records so far that had no append time, and got the time of the record before them
    name_prefix  `topic/partition/`; with an offset appended it identifies a record
    topic_id     Kafka's id of the topic, which the position record keeps; "" where the broker has none
    """

    __slots__ = (
        "_packed", "end", "in_flight", "name_prefix", "offset", "partition", "position", "probe", "queue", "size",
        "time", "topic", "topic_id", "undated",
    )  # fmt: skip

    def __init__(self, topic: str, partition: int, offset: int, time: int = 0, topic_id: str = "") -> None:
        self.topic = topic
        self.topic_id: Final = topic_id
        self.partition = partition
        self.name_prefix: Final = f"{topic}/{partition}/".encode()
        self.offset = offset
        self.time = time
        self.queue: deque[Record] = deque()
        self.size = 0
        self._packed = 0
        """The records of packed batches, without one for each batch."""
        self.in_flight = False
        self.position = offset
        self.end: int | None = None
        self.probe: tuple[int, int] | None = None
        self.undated = 0

    def rewind(self) -> None:
        """Drop the records that are not applied: they will be fetched again from `offset`."""
        self.queue.clear()
        self.size = self._packed = 0
        self.in_flight = False
        self.position = self.offset
        self.end = None
        self.probe = None

    def announce(self, in_flight: bool) -> None:
        """Records of this input are on their way, or no longer."""
        self.in_flight = in_flight

    def observe_end(self, asked_at: int, end: int) -> None:
        """Note that the log ended at offset `end` at `asked_at` (microseconds of the broker's clock) or later."""
        self.probe = asked_at, end

    def fetched(self, records: Iterable[Record], position: int, end: int) -> None:
        """Queue the records and batches of a fetch, which continues at `position` and saw the log end at `end`."""
        for record in records:
            self.queue.append(record)
            if isinstance(record, Batch):
                self.size += record.size
                self._packed += record.count - 1
        self.position = position
        self.end = end

    @property
    def queued(self) -> int:
        """The number of fetched records that are not applied yet, as far as their batches tell it."""
        return len(self.queue) + self._packed

    def unpack(self) -> Record:
        """Return the head; if it is a batch, replace it by its records first. There must be a head.

        Raises PackedError when that must be done in the background.
        """
        batch = self.queue[0]
        if not isinstance(batch, Batch):
            return batch
        before = batch.count
        records = batch.read(self.time)
        if not batch.time:
            self.undated += len(records)
        self.queue.popleft()
        self._packed -= before - 1
        if batch.count:
            self._packed += batch.count - 1
            self.queue.appendleft(batch)
        else:
            self.size -= batch.size
        self.queue.extendleft(reversed(records))
        return self.queue[0]

    def unpack_ahead(self, most: int, size: int) -> list[Record]:
        """Return the next records, up to this number and to this `size` of their values in bytes, without applying
        them. Batches that must be unpacked in the background end them."""
        ahead: list[Record] = []
        try:
            while self.queue and len(ahead) < most and size > 0:
                record = self.unpack()
                size -= len(record.value or b"")
                ahead.append(self.queue.popleft())
        except PackedError:
            pass
        self.queue.extendleft(reversed(ahead))
        return ahead

    def applied(self, record: Record, time: int) -> None:
        """Remove the head, which has been applied. `time` is the signal's time; for a dead letter, the old `time`."""
        self.queue.popleft()
        self.offset = (record.last if isinstance(record, CutRecord) else record.offset) + 1
        self.time = time

    @property
    def head_time(self) -> int:
        """The time of the head, at least `time`: time never runs back on a topic-partition. There must be a head."""
        time = self.queue[0].time
        return time if time > self.time else self.time

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the end that the latest fetch reported has been applied or is being applied."""
        return not self.queue and not self.in_flight and self.end is not None and self.position >= self.end

    def reached(self, deadline: int) -> bool:
        """Return whether every record that was appended before `deadline` has been applied (contract §5, barrier)."""
        if self.time >= deadline:
            return True
        if self.queue:
            return self.head_time >= deadline
        if self.probe is None:
            return False
        asked_at, end = self.probe
        return asked_at >= deadline + GRACE and self.position >= end


class Merge:
    """The two inputs of one partition number; at equal times `api` precedes `media`."""

    __slots__ = ("api", "inputs", "media")

    def __init__(self, api: Input, media: Input) -> None:
        self.api = api
        self.media = media
        self.inputs: Final = (api, media)

    @property
    def queued(self) -> int:
        """The number of fetched records that are not applied yet."""
        return self.api.queued + self.media.queued

    def next(self) -> Input | None:
        """Return the input whose head must be applied next. None if there is no head, or its order is not known yet."""
        api, media = self.api, self.media
        if api.queue:
            if media.queue:
                return api if api.head_time <= media.head_time else media
            return api if media.caught_up else None
        return media if media.queue and api.caught_up else None

    def reached(self, deadline: int) -> bool:
        """Return whether `deadline` is behind the barrier on both topics."""
        return self.api.reached(deadline) and self.media.reached(deadline)
