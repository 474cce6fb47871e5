"""The history of one room: each signal and what became of it, joined by the header `ce_signal`. No I/O.

Records are added in the order of their append times. An outcome is appended after its signal; the outcomes of one unit
of work go to several topics within moments, so what is older than SETTLE is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from pipeline.model.codec import event_json, signal_json
from pipeline.model.events import Event
from pipeline.model.signals import AnySignal
from pipeline.model.times import format_time
from pipeline.view.letters import place_of

SETTLE: Final = 5_000_000  # microseconds of append time
MOST_OPEN: Final = 20_000
"""Signals that wait for their outcome. Beyond, the oldest is given out without one."""
NOTHING: Final[Mapping[str, int]] = {}
Outcome = Literal["events", "no_op", "rejected", "dead", "none", "unknown"]


class Entry:
    """A signal and its outcome, or events without a known signal.

    kind       `signal`; `timeout`, a deadline; `lost`, events or another outcome of a signal that is not in the range;
               `batch`, a dead letter of a whole batch of the room's partition, which may have held its signals
    time       the append time of the signal, the deadline, or the append time of the outcome (microseconds)
    place      the place of the signal, `topic/partition/offset`; "" of a timeout
    signal     the signal; None if it can't be read or is not in the range
    error      why it can't be read
    outcome    `none`: it was processed, and no record tells of an effect, as is usual for media no-ops; `unknown`: no
               record tells that it was processed
    reason     of a rejection, a no-op or a dead letter
    outcome_at the append time of the first record of the outcome; None without one
    """

    __slots__ = ("error", "events", "kind", "outcome", "outcome_at", "passed_at", "place", "reason", "signal", "time")

    def __init__(self, kind: str, time: int, place: str, signal: AnySignal | None = None, error: str = "") -> None:
        self.kind, self.time, self.place, self.signal, self.error = kind, time, place, signal, error
        self.outcome: Outcome = "unknown"
        self.reason = ""
        self.outcome_at: int | None = None
        self.events: list[Event] = []
        self.passed_at: int | None = None
        """The append time of a record that shows that the signal was processed."""

    def ended(self, outcome: Outcome, reason: str, at: int) -> None:
        """Note the outcome, or the first record of it."""
        self.outcome, self.reason = outcome, reason
        if self.outcome_at is None:
            self.outcome_at = at

    def passed(self, at: int) -> None:
        """Note that a record of this append time shows that the signal was processed."""
        if self.passed_at is None:
            self.passed_at = at

    def without_effect(self) -> None:
        """Note that the signal was processed, and that no record tells of an effect."""
        self.outcome = "none"

    @property
    def delay(self) -> int | None:
        """Microseconds from the append of the signal, or the deadline, to that of its outcome."""
        return None if self.outcome_at is None or self.kind in ("lost", "batch") else self.outcome_at - self.time

    def fields(self) -> dict[str, Any]:
        """Return the entry as `timeline` prints it as JSON."""
        signal = self.signal
        return {
            "kind": self.kind,
            "time": format_time(self.time),
            "place": self.place,
            "type": None if signal is None else signal.TYPE,
            "outcome": self.outcome,
            "reason": self.reason,
            "delay_ms": None if self.delay is None else self.delay / 1000,
            "signal": None if signal is None else msgspec.json.decode(signal_json(signal)),
            "error": self.error,
            "events": [msgspec.json.decode(event_json(event)) for event in self.events],
        }


class Timeline:
    """Joins the records of one room. Add them in the order of their append times, and take what is complete."""

    def __init__(self) -> None:
        self._open: list[Entry] = []
        self._by_place: dict[str, Entry] = {}
        self._reached: dict[str, int] = {}
        """The highest offset of each signal topic whose outcome was seen, of any room of the partition."""
        self._now = 0

    def add_signal(self, time: int, place: str, signal: AnySignal | None, error: str = "") -> None:
        """Add a record of a signal topic; `signal` is None if it can't be read, because of `error`."""
        self._now = max(self._now, time)
        entry = self._by_place[place] = Entry("signal", time, place, signal, error)
        self._open.append(entry)

    def add_progress(self, place: str, time: int) -> None:
        """Note that an outcome names this place, whatever the room."""
        self._now = max(self._now, time)
        if found := place_of(place):
            topic, _, offset = found
            self._reached[topic] = max(self._reached.get(topic, -1), offset)

    def add_event(self, time: int, place: str, event: Event) -> None:
        """Add an event; `place` is that of its signal, "" of a timeout."""
        self._now = max(self._now, time)
        if place:
            entry = self._by_place.get(place)
            if entry is None:
                entry = self._insert(Entry("lost", time, place))
        else:
            entry = self._insert(Entry("timeout", event.meta.occurred_at, ""))
        entry.ended("events", "", time)
        entry.events.append(event)

    def add_outcome(self, time: int, place: str, outcome: Outcome, reason: str) -> None:
        """Add a rejection, a no-op or a dead letter."""
        self._now = max(self._now, time)
        entry = self._by_place.get(place)
        if entry is None:
            entry = self._insert(Entry("lost", time, place))
        entry.ended(outcome, reason, time)

    def add_batch(self, time: int, place: str, reason: str) -> None:
        """Add the dead letter of a batch."""
        self._now = max(self._now, time)
        self._insert(Entry("batch", time, place)).ended("dead", reason, time)

    @property
    def waits(self) -> bool:
        """Whether the first open entry has no outcome, so that the progress of other rooms matters."""
        return bool(self._open) and self._open[0].outcome_at is None

    @property
    def open(self) -> Sequence[Entry]:
        """The entries that may get more records, in the order in which they took effect."""
        return self._open

    def complete(self) -> Iterator[Entry]:
        """Yield the entries that get no more records, in the order in which they took effect."""
        number = 0
        for entry in self._open:
            if len(self._open) - number <= MOST_OPEN and not self._is_complete(entry):
                break
            number += 1
        if number:
            entries, self._open = self._open[:number], self._open[number:]
            yield from map(self._closed, entries)

    def end(self, positions: Mapping[str, int] = NOTHING) -> Iterator[Entry]:
        """Yield all that are left. `positions` are the offsets before which the worker has processed each topic."""
        for topic, offset in positions.items():
            self._reached[topic] = max(self._reached.get(topic, -1), offset)
        entries, self._open = self._open, []
        yield from map(self._closed, entries)

    def _insert(self, entry: Entry) -> Entry:
        """Put an entry without a signal in its place: a deadline fires before the first signal that is not earlier, and
        events come in their order."""
        at = next((n for n, other in enumerate(self._open) if other.time >= entry.time), len(self._open))
        after = next((n for n in range(len(self._open), 0, -1) if self._open[n - 1].events), 0)
        self._open.insert(max(at, after), entry)
        if entry.place:
            self._by_place[entry.place] = entry
        return entry

    def _is_complete(self, entry: Entry) -> bool:
        if entry.outcome_at is not None:
            return self._now > entry.outcome_at + SETTLE
        if entry.passed_at is None and self._was_passed(entry):
            entry.passed(self._now)
        return entry.passed_at is not None and self._now > entry.passed_at + SETTLE

    def _was_passed(self, entry: Entry) -> bool:
        found = place_of(entry.place)
        return found is not None and self._reached.get(found[0], -1) > found[2]

    def _closed(self, entry: Entry) -> Entry:
        if entry.place:
            self._by_place.pop(entry.place, None)
        if entry.outcome == "unknown" and self._was_passed(entry):
            entry.without_effect()
        return entry
