"""The promises of contract §6, held against the logs and the naive model (testkit/model.py).

Room by room: the two signal logs of a room are run through the model in the order of their append times. The
contract leaves one thing to chance: a straggler, a signal that was appended before another one of the other topic but
seen after it, is applied when it comes. So where that run does not give what was published, the checker looks for
an order of the two logs that does; each log's own order always stands, and how far the topics were out of step is
reported. A timeout may come before a signal that was appended earlier than the deadline only if that signal was
acknowledged after deadline + grace.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from testkit.chaos.logs import API, MEDIA, Event, Key, PartitionLog, Signal
from testkit.chaos.scan import caught_up, scan, shown
from testkit.model import Model, micros

GRACE_US: Final = 250_000
MAX_STEPS: Final = 20_000
"""Model steps, over those of one run, that the search for an order may take per room."""
MAX_MEMBERS: Final = 20_000
"""Members that are copied for coming back, in all; the earliest ways back of a large room are forgotten."""
MAX_VIOLATIONS: Final = 4


@dataclass
class Verdict:
    """What was counted and what was found to be wrong."""

    signals: int = 0
    poisoned: int = 0
    events: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(events, type), (rejected, reason), (no_ops, reason), (dead, topic): what the model and the logs say."""
    violations: list[str] = field(default_factory=list)
    timeouts: list[tuple[int, int]] = field(default_factory=list)
    """(deadline, append time of its event) of all timeouts, in microseconds."""
    caught_up: list[int] = field(default_factory=list)
    """By how many microseconds timeouts were late whose partitions were caught up."""
    overtaken: list[int] = field(default_factory=list)
    """By how many microseconds signals overtook older ones of the other topic."""
    excused: int = 0
    """Timeouts that came before a signal whose acknowledgement came too late."""

    def add(self, other: Verdict) -> None:
        self.signals += other.signals
        self.poisoned += other.poisoned
        self.events += other.events
        self.counts += other.counts
        self.violations += other.violations
        self.timeouts += other.timeouts
        self.caught_up += other.caught_up
        self.overtaken += other.overtaken
        self.excused += other.excused


@dataclass
class Story:
    """All of one room."""

    room_id: str
    api: list[Signal] = field(default_factory=list)
    media: list[Signal] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    rejected: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def tell(self, most: int = 400) -> str:
        """The room's life, in the order of the append times; the last `most` lines."""
        lines: list[tuple[int, str]] = [
            (signal.time, f"{signal.time} signal {shown(signal.at)} {json.dumps(signal.value)}")
            for signal in (*self.api, *self.media)
        ]
        for event in self.events:
            cause = shown(event.cause) if event.cause else "a deadline"
            lines.append(
                (event.time, f"{event.time} EVENT {shown(event.at)} of {cause} {json.dumps(event.json)}")
            )
        for where, said in self.rejected.items():
            lines.append((0, f"rejected {shown(where)} {said['reason']}"))
        return "\n".join(text for _, text in sorted(lines)[-most:])


def check(log: PartitionLog, until: int, watchdog_us: int, late: Mapping[Key, int]) -> Verdict:
    """Check one partition number.

    Args:
        log: all that stands in its logs.
        until: all deadlines before this time (microseconds) must have fired, and none behind it.
        watchdog_us: the watchdog's microseconds.
        late: signals whose acknowledgement came late, and when (microseconds).
    """
    verdict = Verdict(violations=[f"partition {log.number}: {problem}" for problem in log.problems])
    verdict.violations += scan(log)
    _account(log, verdict)
    for story in _stories(log, verdict).values():
        if len(verdict.violations) > MAX_VIOLATIONS:
            verdict.violations.append(f"partition {log.number}: and more, not looked at")
            break
        run = Run(story, watchdog_us, until, late)
        problem = run.solve()
        if problem:
            run = Run(story, watchdog_us, until, late, search=True)
            problem = run.solve()
        if problem:
            verdict.violations.append(
                f"partition {log.number}, room {story.room_id!r}: {problem}\n{story.tell()}"
            )
            continue
        verdict.counts += run.counts
        verdict.timeouts += run.timeouts
        verdict.overtaken += run.overtaken
        verdict.excused += run.excused
        for problem in _state(log, story.room_id, run.model):
            verdict.violations.append(
                f"partition {log.number}, room {story.room_id!r}: {problem}\n{story.tell()}"
            )
    verdict.caught_up = caught_up(log, verdict.timeouts)
    return verdict


def _account(log: PartitionLog, verdict: Verdict) -> None:
    """Poison is in the dead letters, all of it, once; nothing else is."""
    signals = [signal for records in log.signals.values() for signal in records]
    poison = {signal.at: signal.raw for signal in signals if signal.value is None}
    verdict.signals += len(signals)
    verdict.poisoned += len(poison)
    verdict.events += len(log.events)
    dead = Counter(place for place, _ in log.dead)
    reasons = {
        place: dict(letter.headers())["__connect.errors.exception.message"] for place, letter in log.dead
    }
    for place in sorted(poison.keys() | dead.keys()):
        if dead[place] != (place in poison) and len(verdict.violations) <= MAX_VIOLATIONS:
            why = f"{dead[place]} dead letters ({reasons.get(place)!r}), poison: {place in poison}"
            verdict.violations.append(f"{shown(place)}: {why}")
    for place, letter in log.dead:
        verdict.counts["dead", place[0]] += 1
        if place in poison and len(poison[place] or b"") <= 1 << 20 and letter.value() != poison[place]:
            verdict.violations.append(f"{shown(place)}: its dead letter has another value")
    for name, records in log.signals.items():
        said = [offset for topic, offset in log.positions.items() if topic.endswith(name)]
        if records and said != [records[-1].at[2] + 1]:
            verdict.violations.append(f"{shown(records[-1].at)} is the last signal, the position is {said}")


def _stories(log: PartitionLog, verdict: Verdict) -> dict[str, Story]:
    stories: dict[str, Story] = {}
    for name in (API, MEDIA):
        for signal in log.signals[name]:
            if signal.value is not None:
                story = stories.setdefault(signal.value["room_id"], Story(signal.value["room_id"]))
                (story.api if name == API else story.media).append(signal)
    for event in log.events:
        stories.setdefault(event.json["room_id"], Story(event.json["room_id"])).events.append(event)
    raw = {s.at: s.raw for records in log.signals.values() for s in records}
    for place, said in log.rejected:
        story = stories.setdefault(said["room_id"], Story(said["room_id"]))
        if place in story.rejected:
            verdict.violations.append(f"{shown(place)} was rejected twice\n{story.tell()}")
        if said["signal"] != raw.get(place):
            verdict.violations.append(f"{shown(place)}: the rejected signal is not what stands there")
        story.rejected[place] = said
    return stories


_ROOM: Final = {
    "app_id": "app_id", "name": "name", "sequence": "sequence", "playback_status": "status",
    "operation_id": "operation_id", "urls": "urls", "files_finished": "finished", "deadline": "deadline",
    "recent": "recent",
}  # fmt: skip


def _state(log: PartitionLog, room_id: str, model: Model) -> Iterable[str]:
    """The table's last row of the room is the model's room; no row when the room is forgotten."""
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
    wanted = [tuple(member[name] for name in names) for member in room["members"]]
    if has != wanted:
        yield f"the table's members differ from the model's: {set(has) ^ set(wanted) or 'in their order'}"


_SEEN: Final = "seen before"


@dataclass(slots=True)
class _Choice:
    """Where the search can come back to: then the other topic's head is first, or the timeout is, with an excuse."""

    excuse: bool
    api: int
    media: int
    said: int
    model: dict[str, Any]
    outcomes: int
    overtaken: int
    timeouts: int
    excused: int


class Run:
    """One room through the model, in the order of time, or in another that fits what was published."""

    def __init__(
        self, story: Story, watchdog_us: int, until: int, late: Mapping[Key, int], *, search: bool = False
    ) -> None:
        """Without `search`, the order of time is the only one that is tried."""
        self._story, self._until, self._late, self._search = story, until, late, search
        self.model = Model(watchdog_us)
        self._api = self._media = self._said = 0
        self._outcomes: list[tuple[str, str]] = []
        self._choices: deque[_Choice] = deque()
        self._limit = len(story.api) + len(story.media) + MAX_STEPS
        self.overtaken: list[int] = []
        self.timeouts: list[tuple[int, int]] = []
        self.excused = 0
        self._seen: set[tuple[int, int, int, bytes]] = set()

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """What the model says that was counted."""
        return Counter(self._outcomes)

    def solve(self) -> str | None:
        """What does not fit, None when all does. Of several attempts, the problem that was met latest in the log."""
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
            if found is not _SEEN and self._said > furthest:
                furthest, problem = self._said, found
            if not self._choices or steps > self._limit:
                return problem
            back = self._back()

    def _back(self) -> _Choice:
        choice = self._choices.pop()
        self._api, self._media, self._said = choice.api, choice.media, choice.said
        self.model.rooms = choice.model
        del self._outcomes[choice.outcomes :]
        del self.overtaken[choice.overtaken :]
        del self.timeouts[choice.timeouts :]
        self.excused = choice.excused
        return choice

    def _step(self, back: _Choice | None) -> str | None:
        """Apply the next signal, or try what `back` names. "" at the end, None to go on, else the mismatch."""
        story = self._story
        api = story.api[self._api] if self._api < len(story.api) else None
        media = story.media[self._media] if self._media < len(story.media) else None
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
        # A straggler of this room finds deadlines that its own time does not reach; the other topic's reached them.
        return self._match(self.model.signal(head.value, head.time), head)

    def _been_here(self) -> bool:
        """Whether another order of the same signals has come to the same: what follows has been tried, or will be."""
        # As a digest: a room of 1,000 members would be held in 100 KB for each of its steps.
        state = hashlib.sha256(repr(self.model.rooms).encode()).digest()
        here = self._api, self._media, self._said, state
        seen = here in self._seen
        self._seen.add(here)
        return seen

    def _remember(self, *, excuse: bool = False) -> None:
        room = self.model.rooms.get(self._story.room_id)
        members = len(room["members"]) if room else 0
        while len(self._choices) * (members + 1) > MAX_MEMBERS:
            self._choices.popleft()
        copied = {
            name: {**room, "members": [dict(m) for m in room["members"]], "recent": list(room["recent"])}
            | ({"ended": dict(room["ended"])} if room["ended"] else {})
            for name, room in self.model.rooms.items()
        }
        counts = len(self._outcomes), len(self.overtaken), len(self.timeouts), self.excused
        self._choices.append(_Choice(excuse, self._api, self._media, self._said, copied, *counts))

    def _deadline(self) -> int | None:
        room = self.model.rooms.get(self._story.room_id)
        return room["deadline"] if room is not None and room["status"] == "playing" else None

    def _excuse(self, head: Signal) -> bool:
        """A timeout was published where the model still has an earlier signal: may it have come before that, which was
        acknowledged too late? It need not: a signal that says nothing is seen by nobody."""
        deadline = self._deadline()
        said = self._story.events[self._said] if self._said < len(self._story.events) else None
        if deadline is None or said is None or said.cause is not None or head.time >= deadline:
            return False
        return self._late.get(head.at, 0) > deadline + GRACE_US

    def _fire(self, deadline: int | None) -> str | None:
        assert deadline is not None
        return self._match(self.model.due(deadline), None)

    def _end(self) -> str:
        """All signals are in: the deadlines until the end of the run, then nothing more."""
        problem = self._match(self.model.due(self._until), None)
        if problem:
            return problem
        if self._said < len(self._story.events):
            event = self._story.events[self._said]
            return f"{shown(event.at)} has an event that nothing caused: {json.dumps(event.json)}"
        rejected = sum(1 for kind, _ in self._outcomes if kind == "rejected")
        if rejected != len(self._story.rejected):
            return f"{len(self._story.rejected)} signals were rejected, {rejected} by the model"
        return ""

    def _match(self, outcomes: list[dict[str, Any]], head: Signal | None) -> str | None:
        """Hold what the model says against what was published."""
        for outcome in outcomes:
            if "event" in outcome:
                problem = self._event(outcome["event"], head)
                if problem:
                    return problem
            elif "rejected" in outcome:
                assert head is not None
                said = self._story.rejected.get(head.at)
                reason = outcome["rejected"]["reason"]
                if said is None or said["reason"] != reason:
                    return f"{shown(head.at)} should be rejected as {reason}: {said and said['reason']}"
                self._outcomes.append(("rejected", reason))
            else:
                self._outcomes.append(("no_ops", outcome["no_op"]))
        if (
            head is not None
            and head.at in self._story.rejected
            and not any("rejected" in o for o in outcomes)
        ):
            return f"{shown(head.at)} was rejected, and should not be: {outcomes}"
        return None

    def _event(self, wanted: dict[str, Any], head: Signal | None) -> str | None:
        timeout = wanted.get("error") == "playback_timeout"
        if self._said >= len(self._story.events):
            return f"an event is missing: {json.dumps(wanted)}"
        event = self._story.events[self._said]
        cause = None if timeout or head is None else head.at
        if event.json != wanted or event.cause != cause:
            return f"{shown(event.at)} should be {json.dumps(wanted)} of {cause and shown(cause)}"
        self._said += 1
        self._outcomes.append(("events", wanted["event"]))
        if timeout:
            self.timeouts.append((event_deadline(event), event.time))
        return None


def event_deadline(event: Event) -> int:
    """A timeout occurs at its deadline."""
    return micros(event.json["meta"]["occurred_at"])
