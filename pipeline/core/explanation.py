"""Whether the published events of a room follow from its signals (contract §6.7): the search for the order of the two
topics that explains every record.

Offsets order the signals of a topic. Between the topics append times do, but a straggler takes effect when it comes:
the records, which name their signals, show where. So at each step the signal whose turn it is by time is tried first;
if its outcome is not the recorded one, the other topic's signal is, and then a deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pipeline.core.decision import Decision
from pipeline.core.room import decide
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model.codec import event_json
from pipeline.model.events import Event
from pipeline.model.framing import HEAD
from pipeline.model.records import Gone, Member, Room
from pipeline.model.signals import AnySignal
from pipeline.model.wire import ENCODERS

MAX_STEPS: Final = 20_000
"""Attempts at other orders, per room."""
MAX_MEMBERS: Final = 200
"""Members of a room up to which its states are compared, so that none is tried twice."""


class Published(NamedTuple):
    """An event as it was published.

    place   that of its signal, "" of a deadline
    value   the value of its record, if it has the current schema; else None, and the decoded event is compared
    """

    place: str
    event: Event
    value: bytes | None

    def equals(self, event: Event) -> bool:
        """Return whether this is the event, byte for byte."""
        if self.value is None:
            return event_json(self.event) == event_json(event)
        return ENCODERS[type(event)](event, self.value[:HEAD]) == self.value


class Recorded(NamedTuple):
    """What the records say became of a signal. `number` is that of its events; `none`: there is no record."""

    kind: Literal["events", "rejected", "no_op", "none"]
    reason: str = ""
    number: int = 0


class Input(NamedTuple):
    """A signal, its place, its time as the worker took it (microseconds), and its outcome."""

    place: str
    time: int
    signal: AnySignal
    recorded: Recorded


class Difference(NamedTuple):
    """The first record that no order explains: the place of its signal, or "" at a deadline, and both versions.

    `undecided`: there are more orders than were tried.
    """

    place: str
    time: int
    expected: str
    found: str
    undecided: bool = False


class _Undo(NamedTuple):
    """How to take back a step."""

    at: tuple[int, int, int]
    room: Room | None
    gone: Gone | None
    members: tuple[tuple[str, Member | None], ...]
    now: int


class Explanation:
    """One room, which is unknown before its first signal. `api` and `media` are its signals by offset."""

    def __init__(
        self, room_id: str, api: Sequence[Input], media: Sequence[Input], events: Sequence[Published], rules: Rules
    ) -> None:
        self._room_id, self._inputs, self._events, self._rules = room_id, (api, media), events, rules
        self._at = (0, 0, 0)
        """How many signals of either topic, and events, are explained."""
        self._room: Room | None = None
        self._gone: Gone | None = None
        self._members: dict[str, Member] = {}
        self._trail: list[_Undo] = []
        self._choices: list[tuple[int, list[int]]] = []
        """Lengths of the trail at which other candidates are left, and those."""
        self._best: tuple[int, int] = (-1, -1)
        self._difference = Difference("", 0, "", "")
        self._steps = 0
        self._seen = set[object]()
        """States from which no order explains the rest. They are collected once a first order has failed."""
        self._now = 0

    def difference(self, reached: int | None = None) -> Difference | None:
        """Return the first difference, None if an order explains all records.

        `reached`: deadlines up to this time have fired; None if that is not known.
        """
        candidates = self._candidates()
        while True:
            for number, candidate in enumerate(candidates):
                if self._try(candidate) and self._is_new():
                    if rest := candidates[number + 1 :]:
                        self._choices.append((len(self._trail) - 1, rest))
                    break
            else:
                if not candidates and self._is_complete(reached):
                    return None
                if not self._choices or self._steps >= MAX_STEPS:
                    return self._difference._replace(undecided=self._steps >= MAX_STEPS)
                self._steps += 1
                length, candidates = self._choices.pop()
                self._back(length)
                continue
            candidates = self._candidates()

    def _is_new(self) -> bool:
        """Return whether the state after the last step was not tried before; else take the step back."""
        if not self._steps or len(self._members) > MAX_MEMBERS:
            return True
        state = self._at, self._room, self._gone, frozenset(self._members.items())
        if state in self._seen:
            self._back(len(self._trail) - 1)
            return False
        self._seen.add(state)
        return True

    def _candidates(self) -> list[int]:
        """Return what may be next, the likeliest first: the topic 0 or 1, or 2 for the deadline."""
        api, media = self._inputs
        i, j, k = self._at
        found = [0] if i < len(api) else []
        if j < len(media):
            found.insert(0 if found and media[j].time < api[i].time else 1, 1)
        if k < len(self._events) and not self._events[k].place and self._room and self._room.deadline is not None:
            found.append(2)
        return found

    def _try(self, candidate: int) -> bool:
        """Apply a candidate if its outcome is the recorded one."""
        if candidate == 2:
            return self._try_deadline()
        one = self._inputs[candidate][self._at[candidate]]
        room, k, recorded = self._room, self._at[2], one.recorded
        if room is not None and room.deadline is not None and room.deadline <= one.time:
            self._differs("", room.deadline, "the deadline fires before the next signal", self._shown_next())
            return False
        if recorded.kind == "events" and (k >= len(self._events) or self._events[k].place != one.place):
            self._differs(one.place, one.time, "its events here", self._shown_next(), weight=0)
            return False
        gone = self._gone if room is None else None
        decision = decide(room, gone, self._members, one.signal, one.time, self._rules)
        wrong = self._compare(decision, one)
        if wrong is not None:
            self._differs(one.place, one.time, *wrong)
            return False
        at = (self._at[0] + (candidate == 0), self._at[1] + (candidate == 1), k + len(decision.events))
        self._apply(decision, at, one.time)
        return True

    def _try_deadline(self) -> bool:
        room = self._room
        assert room is not None
        assert room.deadline is not None
        timeout = Timeout(room.room_id, room.deadline, room.operation_id)
        decision = decide(room, None, self._members, timeout, room.deadline, self._rules)
        [event] = decision.events
        published = self._events[self._at[2]]
        if not published.equals(event):
            self._differs("", room.deadline, _text(event), _text(published.event))
            return False
        self._apply(decision, (self._at[0], self._at[1], self._at[2] + 1), room.deadline)
        return True

    def _compare(self, decision: Decision, one: Input) -> tuple[str, str] | None:
        """Return what was expected and what was found, None if they are equal."""
        recorded, k = one.recorded, self._at[2]
        for number, event in enumerate(decision.events):
            found = self._events[k + number] if k + number < len(self._events) else None
            if recorded.kind != "events" or found is None or found.place != one.place or not found.equals(event):
                is_own = recorded.kind == "events" and found is not None and found.place == one.place
                return _text(event), _text(found.event) if is_own and found else _outcome(recorded)
        if decision.events:
            if recorded.number == len(decision.events):
                return None
            return f"{len(decision.events)} events", f"{recorded.number} events"
        if decision.rejected:
            wanted = Recorded("rejected", decision.rejected)
        elif one.signal.TOPIC == "api":
            wanted = Recorded("no_op", decision.no_op or "")
        else:
            wanted = Recorded("none")
        return None if wanted == recorded else (_outcome(wanted), _outcome(recorded))

    def _apply(self, decision: Decision, at: tuple[int, int, int], now: int) -> None:
        before = tuple((session, self._members.get(session)) for session, _ in decision.members)
        self._trail.append(_Undo(self._at, self._room, self._gone, before, self._now))
        self._set_members(decision.members)
        if decision.room is not None:
            self._gone = None
        elif decision.gone is not None:
            self._gone = decision.gone
        self._room, self._at, self._now = decision.room, at, now

    def _back(self, length: int) -> None:
        """Take back all steps but the first `length`."""
        while len(self._trail) > length:
            undo = self._trail.pop()
            self._set_members(undo.members)
            self._at, self._room, self._gone, self._now = undo.at, undo.room, undo.gone, undo.now

    def _set_members(self, members: tuple[tuple[str, Member | None], ...]) -> None:
        for session, member in members:
            if member is None:
                self._members.pop(session, None)
            else:
                self._members[session] = member

    def _is_complete(self, reached: int | None) -> bool:
        """Return whether nothing is left: all signals are explained, so only events and a deadline can be."""
        if self._at[2] < len(self._events):
            self._differs(self._events[self._at[2]].place, self._now, "no event", self._shown_next())
            return False
        deadline = None if self._room is None else self._room.deadline
        if deadline is not None and reached is not None and deadline <= reached:
            self._differs("", deadline, "the deadline has fired", "no event")
            return False
        return True

    def _shown_next(self) -> str:
        k = self._at[2]
        return _text(self._events[k].event) if k < len(self._events) else "no event"

    def _differs(self, place: str, time: int, expected: str, found: str, *, weight: int = 1) -> None:
        """Keep the difference that comes latest; of several at one step the first with the highest weight."""
        rank = (sum(self._at), weight)
        if rank > self._best:
            self._best = rank
            self._difference = Difference(place, time, expected, found)


def _text(event: Event) -> str:
    return event_json(event).decode("utf-8", "replace").rstrip("\n")


def _outcome(recorded: Recorded) -> str:
    match recorded.kind:
        case "events":
            return f"{recorded.number} events"
        case "none":
            return "no record"
        case kind:
            return f"{'rejected' if kind == 'rejected' else 'no-op'}: {recorded.reason}"
