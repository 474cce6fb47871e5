"""The outcomes of signals, from the records with `ce_signal` on the topics of events, rejections, no-ops and letters.

An outcome of an API signal is one record, except that of a destroy: it is complete with its `destroyed` (contract §2).
A media signal may have none, and a joined that is muted has two events.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from pipeline.core.merge import Record
from pipeline.kafka.record_reader import find_headers
from pipeline.model.decoders import Decoders
from pipeline.model.events import EVENTS, Destroyed, Event, MemberLeft, PlayStopped
from pipeline.model.records import NoOp, Rejected

KEEP_SECONDS: Final = 60.0
"""Seconds for which an outcome is kept: it may be seen before the signal's acknowledgement."""
SIGNAL: Final = "ce_signal"
LAST_OFFSET: Final = "last-offset"
REPEATED: Final = "repeated"
"""The reason of a signal whose signal_id the room knows: what its first one did is the outcome of both."""
MESSAGE: Final = "__connect.errors.exception.message"
_RECORD: Final = (SIGNAL,)
_LETTER: Final = (SIGNAL, LAST_OFFSET, MESSAGE)
Kind = Literal["events", "no_op", "rejected", "dead"]


class Place(NamedTuple):
    """Topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Outcome(NamedTuple):
    """What became of a signal.

    kind       events, no_op, rejected or dead
    place      the last record that says so
    signal_id  the signal's; "" of a dead letter
    events     the events in their order; of a destroy without the `left` of its members, which `left` counts
    reason     why it was a no-op or was rejected; of a dead letter the error's text
    """

    kind: Kind
    place: Place
    signal_id: str = ""
    events: tuple[Event, ...] = ()
    left: int = 0
    reason: str = ""


class _Letter(NamedTuple):
    """A dead letter of a batch: all offsets from `first` to `last`."""

    first: int
    last: int
    outcome: Outcome


class _Destroy(msgspec.Struct):
    """The events of a destroy that is not complete."""

    stopped: tuple[Event, ...]
    left: int
    seen: float


class OutcomesTable:
    """Outcomes by the place of their signal. Times are monotonic seconds, given by the caller.

    Args:
        topics: the signal topics whose outcomes are kept.
        keep: seconds for which each is kept.

    Give records to `apply` after `decoders` have learnt their schemas.
    """

    def __init__(self, topics: Iterable[str], keep: float = KEEP_SECONDS) -> None:
        self._topics = frozenset(topics)
        self._keep = keep
        self.decoders = Decoders((*EVENTS, NoOp, Rejected))
        self._outcomes: dict[Place, Outcome] = {}
        self._letters: dict[tuple[str, int], list[_Letter]] = {}
        """Letters of batches by topic and partition, in the order of their offsets."""
        self._destroys: dict[Place, _Destroy] = {}
        self._by_id: dict[str, Place] = {}
        self._expiry: deque[tuple[float, Place]] = deque()

    def apply(self, topic: str, partition: int, record: Record, now: float, *, letter: bool = False) -> Place | None:
        """Apply a record of an output topic. Return the place of its signal if the outcome is complete.

        `letter`: the topic is that of the dead letters. Raises SignalError for a record that no worker wrote.
        """
        headers = _headers(record, _LETTER if letter else _RECORD)
        signal = _place(headers.get(SIGNAL, b""))
        if signal is None or signal.topic not in self._topics:
            return None
        place = Place(topic, partition, record.offset)
        if letter:
            return self._letter(signal, place, headers, now)
        found = self.decoders.decode(record.value)
        if isinstance(found, NoOp):
            return self._add(signal, Outcome("no_op", place, found.signal_id, reason=found.reason), now)
        if isinstance(found, Rejected):
            return self._add(signal, Outcome("rejected", place, found.signal_id, reason=found.reason), now)
        return self._event(signal, place, found, now)

    def _event(self, signal: Place, place: Place, event: Event, now: float) -> Place | None:
        if event.meta.synthetic and isinstance(event, PlayStopped | MemberLeft):  # caused by a destroy
            begun = self._destroys.setdefault(signal, _Destroy((), 0, now))
            stopped = isinstance(event, PlayStopped)
            more = (event,) if stopped else ()
            self._destroys[signal] = _Destroy(begun.stopped + more, begun.left + (not stopped), now)
            return None
        if isinstance(event, Destroyed):
            begun = self._destroys.pop(signal, _Destroy((), 0, now))
            events = (*begun.stopped, event)
            return self._add(signal, Outcome("events", place, event.meta.cause, events, begun.left), now)
        before = self._outcomes.get(signal)
        events = before.events if before is not None else ()
        return self._add(signal, Outcome("events", place, event.meta.cause, (*events, event)), now)

    def _letter(self, signal: Place, place: Place, headers: dict[str, bytes], now: float) -> Place:
        text = headers.get(MESSAGE, b"").decode("utf-8", "replace")
        outcome = Outcome("dead", place, reason=text)
        last = int(headers.get(LAST_OFFSET, b"-1"))
        if last > signal.offset:
            letters = self._letters.setdefault((signal.topic, signal.partition), [])
            letters.append(_Letter(signal.offset, last, outcome))
        return self._add(signal, outcome, now)

    def _add(self, signal: Place, outcome: Outcome, now: float) -> Place:
        self._outcomes[signal] = outcome
        self._expiry.append((now, signal))
        if outcome.signal_id and (outcome.reason != REPEATED or outcome.signal_id not in self._by_id):
            self._by_id[outcome.signal_id] = signal
        return signal

    def get(self, signal: Place) -> Outcome | None:
        """Return the outcome of the signal at this place. None: it is not known (yet, or any more)."""
        outcome = self._outcomes.get(signal)
        if outcome is not None:
            return outcome
        letters = self._letters.get((signal.topic, signal.partition), ())
        at = bisect_right(letters, signal.offset, key=lambda letter: letter.first)
        if at and letters[at - 1].last >= signal.offset:
            return letters[at - 1].outcome
        return None

    def find(self, signal_id: str) -> Outcome | None:
        """Return the outcome of a signal by its signal_id: of several the first that was no `repeated`, if known."""
        signal = self._by_id.get(signal_id)
        return None if signal is None else self._outcomes.get(signal)

    def place(self, signal_id: str) -> Place | None:
        """Return the place of the signal whose outcome `find` returns."""
        return self._by_id.get(signal_id)

    def covered(self, signal: Place) -> int:
        """Return the last offset that the outcome at this place covers: more than its own for a batch's letter."""
        for letter in self._letters.get((signal.topic, signal.partition), ()):
            if letter.first == signal.offset:
                return letter.last
        return signal.offset

    def expire(self, now: float) -> None:
        """Forget the outcomes that are older than `keep`."""
        while self._expiry and self._expiry[0][0] <= now - self._keep:
            _, signal = self._expiry.popleft()
            outcome = self._outcomes.pop(signal, None)
            if outcome is not None and self._by_id.get(outcome.signal_id) == signal:
                del self._by_id[outcome.signal_id]
            letters = self._letters.get((signal.topic, signal.partition))
            if letters and letters[0].first == signal.offset:
                del letters[0]
        old = [signal for signal, begun in self._destroys.items() if begun.seen <= now - self._keep]
        for signal in old:
            del self._destroys[signal]

    def __len__(self) -> int:
        return len(self._outcomes)


def _headers(record: Record, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the last header of each of these names that a record has, null as empty."""
    if isinstance(record.headers, bytes):
        return dict(find_headers(record.headers, names))
    return {name: value or b"" for name, value in record.headers if name in names}


def _place(text: bytes) -> Place | None:
    """Return the place that `ce_signal` names, None if it is none."""
    parts = text.decode("utf-8", "replace").rsplit("/", 2)
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        return None
    return Place(parts[0], int(parts[1]), int(parts[2]))
