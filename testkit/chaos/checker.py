"""Check the guarantees of contract §6: compare the topics with the naive model (testkit/model.py).

The two signal logs of each room are replayed through the model in the order of append times. The contract leaves one
order open: a straggler, appended before a signal of the other topic but fetched after it, is applied on arrival. If
the replay differs from what was published, the checker searches for another interleaving of the two logs that matches,
and reports by how much the topics were out of step. The order within one log never changes. A timeout may precede a
signal appended before the deadline only if that signal was acknowledged after deadline + grace.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from testkit.chaos.history import RoomHistory, histories
from testkit.chaos.logs import Event, Key, PartitionLog, Signal
from testkit.chaos.scan import caught_up, scan, shown
from testkit.model import Model, micros

GRACE_US: Final = 250_000
MAX_STEPS: Final = 20_000
"""Additional model steps that the search for an interleaving may take per room."""
MAX_MEMBERS: Final = 20_000
"""Members copied in all saved search states; above it, the oldest states of a large room are dropped."""
MAX_VIOLATIONS: Final = 4


@dataclass
class Verdict:
    """Counts and violations."""

    signals: int = 0
    poisoned: int = 0
    events: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Expected counters: (events, type), (rejected, reason), (no_ops, reason), (dead, topic)."""
    violations: list[str] = field(default_factory=list)
    timeouts: list[tuple[int, int]] = field(default_factory=list)
    """Per timeout, its deadline and the append time of its event, in microseconds."""
    caught_up: list[int] = field(default_factory=list)
    """Delays, in microseconds, of timeouts in partitions without lag."""
    overtaken: list[int] = field(default_factory=list)
    """Microseconds by which signals overtook older signals of the other topic."""
    excused: int = 0
    """Timeouts published before a signal that was acknowledged too late."""

    def add(self, other: Verdict) -> None:
        """Add the counts and violations of another partition."""
        self.signals += other.signals
        self.poisoned += other.poisoned
        self.events += other.events
        self.counts += other.counts
        self.violations += other.violations
        self.timeouts += other.timeouts
        self.caught_up += other.caught_up
        self.overtaken += other.overtaken
        self.excused += other.excused


def check(log: PartitionLog, until: int, watchdog_us: int, late: Mapping[Key, int]) -> Verdict:
    """Check one partition number.

    Args:
        log: the records of its topics.
        until: all deadlines before this time (microseconds) must have fired, and none after it.
        watchdog_us: the watchdog's timeout in microseconds.
        late: the signals with a late acknowledgement, and its time (microseconds).
    """
    verdict = Verdict(violations=[f"partition {log.number}: {problem}" for problem in log.problems])
    verdict.violations += scan(log)
    _account(log, verdict)
    for history in histories(log, verdict.violations).values():
        if len(verdict.violations) > MAX_VIOLATIONS:
            verdict.violations.append(f"partition {log.number}: more rooms, not checked")
            break
        replay = Replay(history, watchdog_us, until, late)
        problem = replay.solve()
        if problem:
            replay = Replay(history, watchdog_us, until, late, search=True)
            problem = replay.solve()
        problems = [problem] if problem else list(_state(log, history.room_id, replay.model))
        verdict.violations += [
            f"partition {log.number}, room {history.room_id!r}: {one}\n{history.render()}" for one in problems
        ]
        if problem:
            continue
        verdict.counts += replay.counts
        verdict.timeouts += replay.timeouts
        verdict.overtaken += replay.overtaken
        verdict.excused += replay.excused
    verdict.caught_up = caught_up(log, verdict.timeouts)
    return verdict


def _account(log: PartitionLog, verdict: Verdict) -> None:
    """Check that each poison record has exactly one dead letter, no other record has one, and positions."""
    signals = [signal for records in log.signals.values() for signal in records]
    poison = {signal.at: signal.raw for signal in signals if signal.value is None}
    verdict.signals += len(signals)
    verdict.poisoned += len(poison)
    verdict.events += len(log.events)
    dead = Counter(place for place, _ in log.dead)
    reasons = {place: dict(letter.headers())["__connect.errors.exception.message"] for place, letter in log.dead}
    for place in sorted(poison.keys() | dead.keys()):
        if dead[place] != (place in poison) and len(verdict.violations) <= MAX_VIOLATIONS:
            found = f"{dead[place]} dead letters ({reasons.get(place)!r}), poison: {place in poison}"
            verdict.violations.append(f"{shown(place)}: {found}")
    for place, letter in log.dead:
        verdict.counts["dead", place[0]] += 1
        if place in poison and len(poison[place] or b"") <= 1 << 20 and letter.value() != poison[place]:
            verdict.violations.append(f"{shown(place)}: its dead letter has another value")
    for name, records in log.signals.items():
        position = [offset for topic, offset in log.positions.items() if topic.endswith(name)]
        if records and position != [records[-1].at[2] + 1]:
            verdict.violations.append(f"{shown(records[-1].at)} is the last signal, the position is {position}")


_ROOM: Final = {
    "app_id": "app_id", "name": "name", "sequence": "sequence", "playback_status": "status",
    "operation_id": "operation_id", "urls": "urls", "files_finished": "finished", "deadline": "deadline",
    "recent": "recent",
}  # fmt: skip


def _state(log: PartitionLog, room_id: str, model: Model) -> Iterable[str]:
    """Compare the room's last table row with the model's room; a forgotten room has no row."""
    row, room = log.rooms.get(room_id), model.rooms.get(room_id)
    rows = log.members.get(room_id, {})
    if row is None or room is None:
        if row is not None or room is not None or rows:
            yield f"the table has {row} and members {list(rows)}, the model {room}"
        return
    for column, name in _ROOM.items():
        if row[column] != room[name]:
            yield f"the table's {column} is {row[column]!r}, the model's {room[name]!r}"
    if room["status"] == "paused" and row["remaining"] != room["remaining"]:
        yield f"the table's remaining is {row['remaining']!r}, the model's {room['remaining']!r}"
    names = ("session_uuid", "caller_id", "muted", "leaving")
    ordered = sorted(rows.values(), key=lambda member: member["sequence"])
    has = [tuple(member[name] for name in names) for member in ordered]
    expected = [tuple(member[name] for name in names) for member in room["members"]]
    if has != expected:
        yield f"the table's members differ from the model's: {set(has) ^ set(expected) or 'in their order'}"


_SEEN: Final = "seen before"


@dataclass(slots=True)
class _Choice:
    """A state to backtrack to: then the other topic's head comes first or, with `excuse`, the timeout does."""

    excuse: bool
    api: int
    media: int
    events: int
    model: dict[str, Any]
    outcomes: int
    overtaken: int
    timeouts: int
    excused: int


class Replay:
    """Replays one room through the model and compares the outcome with what was published."""

    def __init__(
        self,
        history: RoomHistory,
        watchdog_us: int,
        until: int,
        late: Mapping[Key, int],
        *,
        search: bool = False,
    ) -> None:
        """Try the order of append times or, with `search`, every interleaving of the two logs."""
        self._history, self._until, self._late, self._search = history, until, late, search
        self.model = Model(watchdog_us)
        self._api = self._media = self._events = 0
        self._outcomes: list[tuple[str, str]] = []
        self._choices: deque[_Choice] = deque()
        self._limit = len(history.api) + len(history.media) + MAX_STEPS
        self.overtaken: list[int] = []
        self.timeouts: list[tuple[int, int]] = []
        self.excused = 0
        self._seen: set[tuple[int, int, int, bytes]] = set()

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """The counters that the model expects."""
        return Counter(self._outcomes)

    def solve(self) -> str | None:
        """Return None if the room matches, else the mismatch; of several attempts, the one latest in the log."""
        furthest, problem, steps = -1, None, 0
        back: _Choice | None = None
        while True:
            found = self._step(back)
            back = None
            steps += 1
            if found == "":
                return None
            if found is None:
                continue
            if found is not _SEEN and self._events > furthest:
                furthest, problem = self._events, found
            if not self._choices or steps > self._limit:
                return problem
            back = self._back()

    def _back(self) -> _Choice:
        choice = self._choices.pop()
        self._api, self._media, self._events = choice.api, choice.media, choice.events
        self.model.rooms = choice.model
        del self._outcomes[choice.outcomes :]
        del self.overtaken[choice.overtaken :]
        del self.timeouts[choice.timeouts :]
        self.excused = choice.excused
        return choice

    def _step(self, back: _Choice | None) -> str | None:
        """Apply the next signal, or what `back` names. Return "" at the end, None to continue, else the mismatch."""
        history = self._history
        api = history.api[self._api] if self._api < len(history.api) else None
        media = history.media[self._media] if self._media < len(history.media) else None
        head = api if media is None or (api is not None and api.time <= media.time) else media
        if head is None:
            return self._end()
        if back is not None and back.excuse:
            self.excused += 1
            return self._fire(self._deadline())
        if self._search and back is None and self._been_here():
            return _SEEN
        if back is None and self._excuse(head):
            self._remember(excuse=True)
        if api is not None and media is not None:
            other = media if head is api else api
            if back is not None:
                head, other = other, head
                self.overtaken.append(head.time - other.time)
            elif self._search:
                self._remember()
        if head is api:
            self._api += 1
        else:
            self._media += 1
        assert head.value is not None
        # A straggler may find a deadline later than its own append time: signals of the other topic have set it.
        return self._match(self.model.signal(head.value, head.time), head)

    def _been_here(self) -> bool:
        """Return whether another order of the same signals led to this state: its continuation is not repeated."""
        # A digest, since the state of a room of 1,000 members has 100 KB at each step.
        state = hashlib.sha256(repr(self.model.rooms).encode()).digest()
        here = self._api, self._media, self._events, state
        seen = here in self._seen
        self._seen.add(here)
        return seen

    def _remember(self, *, excuse: bool = False) -> None:
        room = self.model.rooms.get(self._history.room_id)
        members = len(room["members"]) if room else 0
        while len(self._choices) * (members + 1) > MAX_MEMBERS:
            self._choices.popleft()
        copied = {
            name: {**room, "members": [dict(m) for m in room["members"]], "recent": list(room["recent"])}
            | ({"ended": dict(room["ended"])} if room["ended"] else {})
            for name, room in self.model.rooms.items()
        }
        counts = len(self._outcomes), len(self.overtaken), len(self.timeouts), self.excused
        self._choices.append(_Choice(excuse, self._api, self._media, self._events, copied, *counts))

    def _deadline(self) -> int | None:
        room = self.model.rooms.get(self._history.room_id)
        return room["deadline"] if room is not None and room["status"] == "playing" else None

    def _excuse(self, head: Signal) -> bool:
        """Return whether a published timeout may precede `head`, an earlier signal that was acknowledged too late.

        It may also follow it: a signal without an outcome leaves the order open.
        """
        deadline = self._deadline()
        events = self._history.events
        event = events[self._events] if self._events < len(events) else None
        if deadline is None or event is None or event.cause is not None or head.time >= deadline:
            return False
        return self._late.get(head.at, 0) > deadline + GRACE_US

    def _fire(self, deadline: int | None) -> str | None:
        assert deadline is not None
        return self._match(self.model.due(deadline), None)

    def _end(self) -> str:
        """Fire the remaining deadlines, then check that no event and no rejection is left over."""
        problem = self._match(self.model.due(self._until), None)
        if problem:
            return problem
        if self._events < len(self._history.events):
            event = self._history.events[self._events]
            return f"{shown(event.at)} has an event without a cause: {json.dumps(event.json)}"
        rejected = sum(1 for kind, _ in self._outcomes if kind == "rejected")
        if rejected != len(self._history.rejected):
            return f"{len(self._history.rejected)} signals were rejected, the model rejects {rejected}"
        return ""

    def _match(self, outcomes: list[dict[str, Any]], head: Signal | None) -> str | None:
        """Compare the model's outcomes of one step with what was published."""
        for outcome in outcomes:
            if "event" in outcome:
                problem = self._event(outcome["event"], head)
                if problem:
                    return problem
            elif "rejected" in outcome:
                assert head is not None
                found = self._history.rejected.get(head.at)
                reason = outcome["rejected"]["reason"]
                if found is None or found["reason"] != reason:
                    return f"{shown(head.at)} should be rejected as {reason}: {found and found['reason']}"
                self._outcomes.append(("rejected", reason))
            else:
                self._outcomes.append(("no_ops", outcome["no_op"]))
        if head is not None and head.at in self._history.rejected and not any("rejected" in o for o in outcomes):
            return f"{shown(head.at)} was rejected, but should not be: {outcomes}"
        return None

    def _event(self, expected: dict[str, Any], head: Signal | None) -> str | None:
        timeout = expected.get("error") == "playback_timeout"
        if self._events >= len(self._history.events):
            return f"an event is missing: {json.dumps(expected)}"
        event = self._history.events[self._events]
        cause = None if timeout or head is None else head.at
        if event.json != expected or event.cause != cause:
            return f"{shown(event.at)} should be {json.dumps(expected)} of {cause and shown(cause)}"
        self._events += 1
        self._outcomes.append(("events", expected["event"]))
        if timeout:
            self.timeouts.append((event_deadline(event), event.time))
        return None


def event_deadline(event: Event) -> int:
    """Return the deadline of a timeout's event, in microseconds: it occurred at the deadline."""
    return micros(event.json["meta"]["occurred_at"])
