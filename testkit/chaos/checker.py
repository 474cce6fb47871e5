"""Check the guarantees of contract §6: compare the topics with the naive model (testkit/model.py).

The two signal logs of each room are replayed through the model in the order of append times. The contract leaves one
order open: a straggler, appended before a signal of the other topic but fetched after it, is applied on arrival. If
the replay differs from what was published, the checker searches for another interleaving of the two logs that matches,
and reports by how much the topics were out of step. The order within one log never changes. A timeout may precede a
signal appended before the deadline only if that signal was acknowledged after deadline + grace; the same holds for the
deletion of a gone room.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal

from testkit.chaos.accounting import account
from testkit.chaos.history import RoomHistory, histories
from testkit.chaos.logs import Event, Key, PartitionLog, Signal
from testkit.chaos.scan import caught_up, scan, shown
from testkit.chaos.table import differences, rows_without_a_room
from testkit.model import API, GONE_US, Model, micros

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
    broken: int = 0
    """Batches that can't be read whole; each counts as one of `poisoned`."""
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
        self.broken += other.broken
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
    verdict.violations += islice(account(log), MAX_VIOLATIONS)
    _count(log, verdict)
    found = histories(log, verdict.violations)
    verdict.violations += islice(rows_without_a_room(log, found), MAX_VIOLATIONS)
    for history in found.values():
        if len(verdict.violations) > MAX_VIOLATIONS:
            verdict.violations.append(f"partition {log.number}: more rooms, not checked")
            break
        replay = Replay(history, watchdog_us, until, late)
        problem = replay.solve()
        if problem:
            replay = Replay(history, watchdog_us, until, late, search=True)
            problem = replay.solve()
        problems = [problem] if problem else list(differences(log, history.room_id, replay.model))
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


def _count(log: PartitionLog, verdict: Verdict) -> None:
    signals = [signal for records in log.signals.values() for signal in records]
    verdict.signals += len(signals)
    verdict.poisoned += sum(1 for signal in signals if signal.value is None)
    verdict.broken += sum(1 for signal in signals if signal.last is not None)
    verdict.events += len(log.events)
    verdict.counts += Counter(("dead", place[0]) for place, _ in log.dead)


_SEEN: Final = "seen before"
Excuse = Literal["", "timeout", "gone"]


@dataclass(slots=True)
class _Choice:
    """A state to backtrack to: then the other topic's head comes first.

    With an `excuse` the timeout does instead, or the gone room has been deleted before.
    """

    excuse: Excuse
    api: int
    media: int
    events: int
    rooms: dict[str, Any]
    gone: dict[str, Any]
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
        return Counter(outcome for outcome in self._outcomes if outcome[0] != "recorded")

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
        self.model.rooms, self.model.gone = choice.rooms, choice.gone
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
            if back.excuse == "timeout":
                return self._fire(self._deadline())
            del self.model.gone[history.room_id]
        if self._search and back is None and self._been_here():
            return _SEEN
        if back is None and (excuse := self._excuse(head)):
            self._remember(excuse)
        if api is not None and media is not None:
            other = media if head is api else api
            if back is not None and not back.excuse:
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
        state = hashlib.sha256(repr((self.model.rooms, self.model.gone)).encode()).digest()
        here = self._api, self._media, self._events, state
        seen = here in self._seen
        self._seen.add(here)
        return seen

    def _remember(self, excuse: Excuse = "") -> None:
        room = self.model.rooms.get(self._history.room_id)
        members = len(room["members"]) if room else 0
        while len(self._choices) * (members + 1) > MAX_MEMBERS:
            self._choices.popleft()
        # Rooms and members change in place; lists and gone rooms are replaced.
        rooms = {
            name: {**room, "members": [dict(member) for member in room["members"]]}
            for name, room in self.model.rooms.items()
        }
        counts = len(self._outcomes), len(self.overtaken), len(self.timeouts), self.excused
        places = self._api, self._media, self._events
        self._choices.append(_Choice(excuse, *places, rooms, dict(self.model.gone), *counts))

    def _deadline(self) -> int | None:
        room = self.model.rooms.get(self._history.room_id)
        return room["deadline"] if room is not None and room["playback_status"] == "playing" else None

    def _excuse(self, head: Signal) -> Excuse:
        """Return what may precede `head`, an earlier signal that was acknowledged too late or has no time of its own.

        It may also follow it: a signal without an outcome leaves the order open.
        """
        acknowledged = 1 << 62 if head.unstamped else self._late.get(head.at, 0)
        gone = self.model.gone_at(self._history.room_id, head.time)
        if gone is not None and acknowledged > gone["forgotten_at"] + GONE_US + GRACE_US:
            return "gone"
        deadline = self._deadline()
        events = self._history.events
        event = events[self._events] if self._events < len(events) else None
        if deadline is None or event is None or event.cause is not None or head.time >= deadline:
            return ""
        return "timeout" if acknowledged > deadline + GRACE_US else ""

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
        noops = sum(1 for kind, _ in self._outcomes if kind == "recorded")
        if noops != len(self._history.noops):
            return f"there are {len(self._history.noops)} no-op records, the model has {noops}"
        return ""

    def _match(self, outcomes: list[dict[str, Any]], head: Signal | None) -> str | None:
        """Compare the model's outcomes of one step with what was published."""
        kinds = [kind for outcome in outcomes for kind in outcome]
        for outcome in outcomes:
            ((kind, expected),) = outcome.items()
            if kind == "event":
                problem = self._event(expected, head)
            else:
                assert head is not None
                problem = self._without_event(kind, expected, head)
            if problem:
                return problem
        if head is not None:
            if head.at in self._history.rejected and "rejected" not in kinds:
                return f"{shown(head.at)} was rejected, but should not be: {outcomes}"
            if head.at in self._history.noops and "no_op" not in kinds:
                return f"{shown(head.at)} has a no-op record, but should not: {outcomes}"
        return None

    def _without_event(self, kind: str, expected: dict[str, Any], head: Signal) -> str | None:
        """Compare a rejection, or a no-op: that of an API signal leaves a record, that of a media signal none."""
        reason = expected["reason"]
        found = (self._history.rejected if kind == "rejected" else self._history.noops).get(head.at)
        self._outcomes.append(("rejected" if kind == "rejected" else "no_ops", reason))
        if kind == "no_op" and expected["type"] not in API:
            return None if found is None else f"{shown(head.at)}, a media signal, has a no-op record: {found}"
        if kind == "no_op":
            self._outcomes.append(("recorded", reason))
        if found is None or {name: found[name] for name in expected} != expected:
            return f"{shown(head.at)} should be {kind} for {reason}: {found}"
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
