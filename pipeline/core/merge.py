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
from typing import Any, Final

from mypy_extensions import mypyc_attr

from pipeline.model.trace_context import Headers

GRACE: Final = 250_000  # microseconds by which the clocks of two brokers may differ (contract §5)


@mypyc_attr(acyclic=True)
class Record:
    """A Kafka record of a signal topic, not decoded."""

    __slots__ = ("headers", "key", "offset", "time", "value")

    def __init__(self, time: int, offset: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        self.time = time
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers


def as_records(batch: Iterable[Any], start: int = 0) -> list[Record]:
    """Convert aiokafka's parsed records with an offset >= `start`."""
    found = []
    for r in batch:
        offset: int = r.offset
        if offset >= start:
            headers = r.headers
            found.append(Record(r.timestamp * 1000, offset, r.key, r.value, tuple(headers) if headers else ()))
    return found


class Input:
    """One signal topic-partition: its fetched records that are not applied yet, and how far its log is known.

    offset       the next offset to apply
    time         the highest time of a signal so far
    queue        records that are fetched and not applied; `size` is the bytes of their values
    in_flight    whether fetched records are on their way into `queue`
    position     the next offset to fetch (beyond transaction markers and aborted records)
    end          the end of the log that the latest fetch reported; None before the first fetch
    probe        (broker time, end of the log at that time) from the latest request for the end; None before one
    name_prefix  `topic/partition/`; with an offset appended it identifies a record
    """

    __slots__ = (
        "end", "in_flight", "name_prefix", "offset", "partition", "position", "probe", "queue", "size", "time", "topic"
    )  # fmt: skip

    def __init__(self, topic: str, partition: int, offset: int, time: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.name_prefix: Final = f"{topic}/{partition}/".encode()
        self.offset = offset
        self.time = time
        self.queue: deque[Record] = deque()
        self.size = 0
        self.in_flight = False
        self.position = offset
        self.end: int | None = None
        self.probe: tuple[int, int] | None = None

    def rewind(self) -> None:
        """Drop the records that are not applied: they will be fetched again from `offset`."""
        self.queue.clear()
        self.size = 0
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
        """Queue the records of a fetch, which continues at `position` and saw the log end at `end`."""
        for record in records:
            self.queue.append(record)
            self.size += len(record.value or b"")
        self.position = position
        self.end = end

    def applied(self, record: Record, time: int) -> None:
        """Remove the head, which has been applied. `time` is the signal's time; for a dead letter, the old `time`."""
        self.queue.popleft()
        self.size -= len(record.value or b"")
        self.offset = record.offset + 1
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
        return len(self.api.queue) + len(self.media.queue)

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
