"""The merge of the two signal topics of one partition number, and the barrier of its deadlines (contract §5).

Two questions are answered here, and no others. Which record is next? The older of the two heads, api before
media; alone at hand, a head is next only when the other topic was read to the end that its latest fetch
reported (the idea of KIP-695: no wait when caught up). And may a deadline fire? Only behind the barrier: on each
topic a record of that time or later was reached, or the end of the log, asked for when the broker's clock was
past the deadline by the grace, was.

Times are microseconds of the broker's clock (append times), offsets are Kafka's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from pipeline.model.trace_context import Headers

GRACE: Final = 250_000
"""Microseconds by which the clocks of two brokers may differ (contract §5)."""


@mypyc_attr(acyclic=True)
class Record:
    """One Kafka record of a signal topic, as it came."""

    __slots__ = ("headers", "key", "offset", "time", "value")

    def __init__(
        self, time: int, offset: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        self.time = time
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers


def as_records(batch: Iterable[Any], start: int = 0) -> list[Record]:
    """Kafka's records from the offset `start` on, as aiokafka has parsed them."""
    found = []
    for r in batch:
        offset: int = r.offset
        if offset >= start:
            headers = r.headers
            found.append(
                Record(r.timestamp * 1000, offset, r.key, r.value, tuple(headers) if headers else ())
            )
    return found


class Input:
    """One signal topic-partition: what was fetched of it and not yet applied, and how far it is known.

    `offset` is the next to apply, `time` the highest time that a signal on it had. `position` is where the fetch
    left the log (markers and aborted records included), `end` the end that the latest fetch reported, None before
    the first one. `coming`: more was fetched, and is on its way here. `size` is the bytes of the queued values.
    `place` is what comes before an offset in the name of a record: `topic/partition/`.
    """

    __slots__ = (
        "coming",
        "end",
        "offset",
        "partition",
        "place",
        "position",
        "probe",
        "queue",
        "size",
        "time",
        "topic",
    )

    def __init__(self, topic: str, partition: int, offset: int, time: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.place: Final = f"{topic}/{partition}/".encode()
        self.offset = offset
        self.time = time
        self.queue: deque[Record] = deque()
        self.size = 0
        self.coming = False
        self.position = offset
        self.end: int | None = None
        self.probe: tuple[int, int] | None = None

    def rewind(self) -> None:
        """Forget what was fetched and not applied: it will be fetched again from `offset`."""
        self.queue.clear()
        self.size = 0
        self.coming = False
        self.position = self.offset
        self.end = None
        self.probe = None

    def announce(self, coming: bool) -> None:
        """Records of this input are on their way, or no longer."""
        self.coming = coming

    def observe_end(self, asked_at: int, end: int) -> None:
        """The log ended at offset `end` when the broker's clock showed at least `asked_at`."""
        self.probe = asked_at, end

    def fetched(self, records: Iterable[Record], position: int, end: int) -> None:
        """Take what a fetch delivered; it left the log at `position` and saw its end at `end`."""
        for record in records:
            self.queue.append(record)
            self.size += len(record.value or b"")
        self.position = position
        self.end = end

    def applied(self, record: Record, time: int) -> None:
        """The head has been applied; `time` is the signal's, or the old one for what was no signal."""
        self.queue.popleft()
        self.size -= len(record.value or b"")
        self.offset = record.offset + 1
        self.time = time

    @property
    def head_time(self) -> int:
        """Time of the head: it never runs back on a topic-partition. Only with a head."""
        time = self.queue[0].time
        return time if time > self.time else self.time

    @property
    def caught_up(self) -> bool:
        """Whether all that the latest fetch knew of has been applied or is being applied now."""
        return not self.queue and not self.coming and self.end is not None and self.position >= self.end

    def reached(self, deadline: int) -> bool:
        """Whether no record that was appended before `deadline` can still come (contract §5, barrier)."""
        if self.time >= deadline:
            return True
        if self.queue:
            return self.head_time >= deadline
        if self.probe is None:
            return False
        asked_at, end = self.probe
        return asked_at >= deadline + GRACE and self.position >= end


class Merge:
    """The two inputs of one partition number; `api` first, which wins ties."""

    __slots__ = ("api", "inputs", "media")

    def __init__(self, api: Input, media: Input) -> None:
        self.api = api
        self.media = media
        self.inputs: Final = (api, media)

    @property
    def queued(self) -> int:
        """How many records wait to be applied."""
        return len(self.api.queue) + len(self.media.queue)

    def next(self) -> Input | None:
        """The input whose head is to be applied next; None when that can't be known yet, or nothing is there."""
        api, media = self.api, self.media
        if api.queue:
            if media.queue:
                return api if api.head_time <= media.head_time else media
            return api if media.caught_up else None
        return media if media.queue and api.caught_up else None

    def reached(self, deadline: int) -> bool:
        """Whether `deadline` is behind the barrier."""
        return self.api.reached(deadline) and self.media.reached(deadline)
