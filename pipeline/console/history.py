"""The timeline of one room: read from Kafka once, then continued with the records of the shared reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiokafka.structs import TopicPartition

from pipeline.kafka.ranges import Found, RangeReader, Span
from pipeline.model.times import format_time
from pipeline.settings import Settings
from pipeline.view.letters import place_of
from pipeline.view.timeline import Entry
from pipeline.view.timeline_reader import TOPICS, OnBadRecord, RecordJoiner, Values
from pipeline.view.wording import SHOWN_TEXT, asked, cause, details

SOME: Final = 500
"""Records between two calls of `progress`."""
MOST_LINES: Final = 150
"""Signals and deadlines of a room that are shown."""
MOST_HELD: Final = 20_000
"""Records that wait, at most, until the timeline can take them."""
WORDS: Final = {"rejected": "rejected", "dead": "dead letter", "no_op": "no-op", "none": "no effect", "unknown": "open"}
"""Outcomes that are no events, for people."""


class Result(NamedTuple):
    """An event, or another outcome: its kind for the style, its name, and what it tells."""

    kind: str
    name: str
    text: str
    inferred: bool = False


class Line(NamedTuple):
    """A signal or a deadline, and what became of it. Times are microseconds; `delay` is None without an outcome."""

    id: str
    time: int
    topic: str
    cause: str
    delay: int | None
    results: tuple[Result, ...]

    @property
    def is_refused(self) -> bool:
        """Whether it was rejected or is a dead letter."""
        return self.results[0].kind in ("rejected", "dead")


def line_of(entry: Entry) -> Line:
    """Return an entry as a line."""
    if entry.outcome == "events":
        results = tuple(
            Result(
                one.EVENT.rpartition(".")[2], one.EVENT.removeprefix("conference."), details(one), one.meta.synthetic
            )
            for one in entry.events[:MOST_LINES]
        )
    else:
        text = "  ".join(part for part in (entry.reason[:SHOWN_TEXT], asked(entry.signal)) if part)
        results = (Result(entry.outcome, WORDS[entry.outcome], text),)
    topic = "" if entry.signal is None else entry.signal.TOPIC
    first = entry.events[0].meta.sequence if entry.events else 0
    return Line(f"{entry.kind}{entry.place}{first}", entry.time, topic, cause(entry), entry.delay, results)


class RoomHistory:
    """The last lines of one room. `version` grows with each change; `origin` tells where reading began, for people.

    `read` reads what is in Kafka; `take` receives what comes meanwhile and later, and `settle` adds it.
    """

    def __init__(self, settings: Settings, room_id: str, values: Values, notice: OnBadRecord) -> None:
        self.room_id = room_id
        self._settings, self._notice = settings, notice
        self._joiner = RecordJoiner(settings, room_id, values, notice)
        self._done: deque[Line] = deque(maxlen=MOST_LINES)
        self._held: list[Found] = []
        self._begins: Mapping[TopicPartition, int] = {}
        self.key = self._joiner.key
        self.version = 0
        self.is_read = False
        self.is_incomplete = False
        self.failure = ""
        self.origin = ""

    async def read(self, since: int | None, progress: Callable[[], object] = lambda: None) -> None:
        """Read the records from a time on, or all that are kept. `progress` is called now and then while records come.

        Raises KafkaError, ConfigError, RegistryDownError.
        """
        reader = RangeReader(self._settings, TOPICS, Span(since), room=self.room_id, on_bad_batch=self._notice)
        async with reader:
            count = 0
            async for found in reader:
                count += 1
                if count % SOME == 0:
                    progress()
                if await self._joiner.add(found):
                    self._done.extend(map(line_of, self._joiner.timeline.complete()))
            self._begins = dict(reader.ends)
        self.origin = "the oldest record kept" if since is None else format_time(since)
        self.is_read = True
        self.version += 1

    def fail(self, reason: str) -> None:
        """Keep why the history could not be read."""
        self.failure = reason

    def take(self, found: Found) -> None:
        """Receive a record of the room. If there are too many to keep, the timeline is incomplete from then on."""
        if len(self._held) >= MOST_HELD:
            self.is_incomplete = True
        else:
            self._held.append(found)

    async def settle(self, position: Callable[[TopicPartition], int], last: Found | None) -> bool:
        """Add the records that have come. Return whether the lines have changed. Raises RegistryDownError, ConfigError.

        `last` is the last outcome on the room's partition, of any room: all signals before its own were processed.

        An outcome is held back until the shared reader is past its signal, whose record may come later than the
        outcome: `position` gives the next offset that it reads.
        """
        timeline = self._joiner.timeline
        if not self.is_read or not (self._held or timeline.open):
            return False
        if last is not None and timeline.waits:
            timeline.add_progress(last.signal, last.record.time)
        held, left, added = self._held, list[Found](), False
        self._held = []
        inputs = self._joiner.inputs
        for found in sorted(held, key=lambda one: one.topic not in inputs):
            tp = TopicPartition(found.topic, found.partition)
            if found.record.offset < self._begins.get(tp, 0):
                continue  # it was read before
            place = None if found.topic in inputs else place_of(found.signal)
            if left or (place and position(TopicPartition(*place[:2])) <= place[2]):
                left.append(found)
                continue
            added |= await self._joiner.add(found)
        self._held = [*left, *self._held]
        if complete := list(map(line_of, timeline.complete())):
            self._done.extend(complete)
        if added or complete:
            self.version += 1
        return added or bool(complete)

    def lines(self) -> list[Line]:
        """Return the last lines, the newest first; none before they are read."""
        if not self.is_read:
            return []
        opened = [line_of(entry) for entry in self._joiner.timeline.open[-MOST_LINES:]]
        return [*self._done, *opened][: -MOST_LINES - 1 : -1]
