"""Random histories: `decide` gives what the independent model (testkit/model.py) gives, and keeps the promises.

There are few rooms, sessions, ids and urls, so that they collide, and times that jump around the deadlines.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.core.deadlines import NEVER
from pipeline.core.decision import GONE_FOR, Decision, NoOp, Rejection
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.codec import decode_json, event_json
from pipeline.model.events import EVENTS
from pipeline.model.records import Gone, Member, Room
from pipeline.model.signals import AnySignal
from pipeline.model.wire import DECODERS, ENCODERS
from testkit.model import API, Model, Outcome, line, rfc3339
from tests.support.state import as_dict, remembered_ids, table
from tests.support.untraced import untraced

Json = dict[str, Any]
START = 1_767_225_600_000_000
STEPS = (
    *(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1_000_000, 1_000_000, 1_000_000, 1_999_999, 2_000_000, 4_000_000),
    *(9_999_999, 10_000_000, 10_000_001, 40_000_000, 60_000_000, -3_000_000),
)
ROOMS, SESSIONS, OPERATIONS = ("r", "é"), ("a", "b", "c"), ("o1", "o2", "o3")
URLS = ("http://x/1", "http://x/2", "http://x/3")
FIELDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "conference.create": {"app_id": ("app", "other"), "name": ("", "Team")},
    "conference.destroy": {},
    "conference.play": {"urls": (URLS[:1], URLS[:2], URLS, (URLS[0], URLS[0])), "operation_id": OPERATIONS},
    "conference.pause": {"operation_id": OPERATIONS},
    "conference.stop": {"operation_id": OPERATIONS},
    "conference.volume": {"volume": (-51, -50, 0, 7, 8), "operation_id": OPERATIONS},
    "conference.join": {"session_uuid": SESSIONS},
    "conference.leave": {"session_uuid": SESSIONS},
    "conference.mute": {"session_uuid": SESSIONS},
    "conference.unmute": {"session_uuid": SESSIONS},
    "member.joined": {"session_uuid": SESSIONS, "caller_id": ("", "+1"), "muted": (True, False)},
    "member.left": {"session_uuid": SESSIONS, "reason": (None, "", "orphan")},
    "member.muted": {"session_uuid": SESSIONS},
    "member.unmuted": {"session_uuid": SESSIONS},
    "play.progress": {"operation_id": (None, *OPERATIONS), "url": (None, *URLS)},
    "play.finished": {"operation_id": (None, None, *OPERATIONS), "url": (*URLS, URLS[0], "/file")},
    "play.failed": {"operation_id": (None, *OPERATIONS), "urls": ((), ("/file",), URLS[:1], URLS[1:])},
}
OFTEN = ("member.joined", "conference.play", "play.finished", "conference.pause", "conference.create")
TYPES = (
    *FIELDS,
    *3 * OFTEN,
    *2 * ("conference.stop", "conference.pause", "play.progress", "conference.play", "play.finished", "play.failed"),
)


@st.composite
def signals(draw: Any, ids: int = 40) -> tuple[Json, int]:
    """Draw a signal without its time, and the microseconds since the one before it."""
    kind = draw(st.sampled_from(TYPES))
    signal = {
        "type": kind,
        "signal_id": f"s{draw(st.integers(0, ids))}",
        "room_id": draw(st.sampled_from(ROOMS)),
    }
    fields = {name: draw(st.sampled_from(values)) for name, values in FIELDS[kind].items()}
    return {**signal, **fields}, draw(st.sampled_from(STEPS))


def random_history(seed: int, length: int, ids: int = 10**6) -> list[tuple[Json, int]]:
    """Return signals without their times, each with the microseconds since the one before it."""
    chance = random.Random(seed)
    history = []
    for _ in range(length):
        kind = chance.choice(TYPES)
        fields = {name: chance.choice(values) for name, values in FIELDS[kind].items()}
        signal = {"type": kind, "signal_id": f"s{chance.randrange(ids)}", "room_id": chance.choice(ROOMS)}
        history.append(({**signal, **fields}, chance.choice(STEPS)))
    return history


class Both:
    """A partition and the model, given the same signals; every outcome is compared."""

    def __init__(self, mode: str = "dispatch") -> None:
        self.mode, self.at, self.now = mode, START, START
        self.partition = Partition(Rules(progress=mode == "progress"))
        self.model = Model(mode=mode)
        self.rows: dict[tuple[str, ...], bytes | None] = {}
        self.events: list[Json] = []

    def feed(self, signal: Json, step: int) -> list[Outcome]:
        self.at += step
        self.now = max(self.now, self.at)
        signal = {**signal, "occurred_at": rfc3339(self.at)}
        expected = self.model.due(self.now) + self.model.signal(signal, self.now)
        found: list[Outcome] = []
        for timeout in self.partition.due(self.now):
            found += self._outcomes(None, timeout.room_id, None, self.partition.expire(timeout))
        decoded = decode_json(json.dumps(signal).encode())
        before = self.partition.gone.get(decoded.room_id)
        found += self._outcomes(decoded, decoded.room_id, before, self.partition.apply(decoded, self.now))
        assert found == expected
        self.events += [outcome["event"] for outcome in found if "event" in outcome]
        return found

    def delete_gone(self) -> None:
        """Delete the records of gone rooms whose 60 s are over, as a worker does at some time."""
        while self.partition.gone_until <= self.now:
            self._write(("gone", self.partition.delete_gone()), None)

    def _outcomes(self, signal: AnySignal | None, room_id: str, gone: Gone | None, decision: Decision) -> list[Outcome]:
        self._write(("room", room_id), decision.room)
        if decision.gone is not None or (gone is not None and decision.room is not None):
            self._write(("gone", room_id), decision.gone)
        for session, member in decision.members:
            self._write(("member", room_id, session), member)
        lines = [event_json(event) for event in decision.events]
        found: list[Outcome] = [{"event": json.loads(text)} for text in lines]
        assert lines == [line(outcome["event"]) for outcome in found]  # the format of contract §3, byte for byte
        for outcome, reason in (("rejected", decision.rejected), ("no_op", decision.no_op)):
            if signal is not None and reason:
                fields = {"signal_id": signal.signal_id, "room_id": room_id}
                found.append({outcome: {**fields, "type": signal.TYPE, "reason": reason}})
        return found

    def _write(self, key: tuple[str, ...], row: Room | Member | Gone | None) -> None:
        self.rows[key] = None if row is None else ENCODERS[type(row)](row, b"")

    def restore(self) -> None:
        """Replace the partition by one that is restored from the rows, as after a crash."""
        self.partition = restored(self.rows, self.mode)

    def check_state(self) -> None:
        """Compare the whole state with the model's, as rows of the table."""
        partition = self.partition
        expected = self.model.rows().items()
        assert table(partition) == {key: row for key, row in expected if key[0] != "gone" or key[1] in partition.gone}
        assert set(self.model.gone) >= set(partition.gone)
        assert partition.members.keys() <= set(partition.rooms)
        assert partition.armed == sum(room.playback_status == "playing" for room in as_dict(partition.rooms).values())


def restored(rows: dict[tuple[str, ...], bytes | None], mode: str) -> Partition:
    partition = Partition(Rules(progress=mode == "progress"))
    shuffled = list(rows.items())
    random.Random(len(rows)).shuffle(shuffled)  # compaction keeps no order between keys
    for key, data in shuffled:
        if key[0] == "room":
            partition.restore_room(key[1], None if data is None else DECODERS["conference.Room"](data, 0))
        elif key[0] == "gone":
            partition.restore_gone(key[1], None if data is None else DECODERS["conference.Gone"](data, 0))
        else:
            member = None if data is None else DECODERS["conference.Member"](data, 0)
            partition.restore_member(key[1], key[2], member)
    partition.restored()
    return partition


@settings(max_examples=250, deadline=None)
@given(st.lists(signals(), max_size=60), st.sampled_from(["dispatch", "progress"]))
def test_any_history_matches_the_model(history: list[tuple[Json, int]], mode: str) -> None:
    both = Both(mode)
    for signal, step in history:
        both.feed(signal, step)
    both.check_state()


@pytest.mark.parametrize("mode", ["dispatch", "progress"])
@untraced()
def test_a_thousand_random_histories_match_the_model(mode: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(1000):
        both = Both(mode)
        for signal, step in random_history(seed, 60, ids=10**6 if seed % 2 else 30):
            for outcome in both.feed(signal, step):
                event = outcome.get("event")
                seen[event["event"] if event else next(iter(outcome.values()))["reason"]] += 1
        both.check_state()
    assert set(seen) == {event.EVENT for event in EVENTS} | {*get_args(Rejection), *get_args(NoOp)}
    assert min(seen.values()) > 50


@settings(max_examples=100, deadline=None)
@given(st.lists(signals(), max_size=60), st.data())
def test_restored_partition_continues_like_the_original(history: list[tuple[Json, int]], data: Any) -> None:
    both = Both()
    crashes = data.draw(st.sets(st.integers(0, max(0, len(history) - 1)), max_size=4))
    for at, (signal, step) in enumerate(history):
        if at in crashes:
            before = both.partition
            both.restore()
            assert as_dict(both.partition.rooms) == as_dict(before.rooms)
            assert both.partition.members == before.members
            assert both.partition.gone == before.gone
            assert both.partition.gone_until == before.gone_until
            if data.draw(st.booleans()):
                both.delete_gone()
        both.feed(signal, step)
    both.check_state()


def check_promises(events: list[Json]) -> None:
    """Check promises 1, 3 and 4 of contract §6. Each play must have a unique operation_id."""
    sequence: Counter[str] = Counter()
    open_: dict[str, str | None] = {}
    paused: dict[str, bool] = defaultdict(bool)
    ends: Counter[str] = Counter()
    started = set()
    for event in events:
        room, name, meta = event["room_id"], event["event"], event["meta"]
        assert meta["sequence"] in {sequence[room] + 1, 1}
        if meta["sequence"] == 1:  # the room was forgotten and is new: its playback must have ended
            assert open_.get(room) is None
        sequence[room] = meta["sequence"]
        live = open_.get(room)
        if name == "conference.play.started":
            assert live is None
            open_[room], paused[room] = event["operation_id"], False
            started.add(event["operation_id"])
        elif name in {"conference.play.paused", "conference.play.resumed"}:
            assert paused[room] is (name == "conference.play.resumed")
            assert meta["playback_id"] == live is not None
            paused[room] = not paused[room]
        elif meta["ends_playback"]:
            assert meta["playback_id"] == live is not None
            ends[live] += 1
            open_[room] = None
        elif name.startswith("conference.play."):
            assert meta["playback_id"] in {live, None}
        else:
            assert meta["playback_id"] is None
    assert set(ends.values()) <= {1}
    assert started - {live for live in open_.values() if live} == set(ends)


@untraced()
def test_promises_hold_for_random_histories() -> None:
    for seed in range(300):
        both = Both("progress" if seed % 2 else "dispatch")
        for at, (signal, step) in enumerate(random_history(seed, 80, ids=60)):
            own = {"operation_id": f"play-{at}"} if signal["type"] == "conference.play" else {}
            both.feed({**signal, **own}, step)
        check_promises(both.events)


@untraced()
def test_destroyed_rooms_leave_no_state() -> None:
    for seed in range(100):
        both = Both()
        for signal, step in random_history(seed, 60):
            both.feed(signal, step)
        for room_id in ROOMS:
            both.feed(
                {
                    "type": "conference.create",
                    "signal_id": "last create",
                    "room_id": room_id,
                    "app_id": "a",
                    "name": "",
                },
                0,
            )
            both.feed({"type": "conference.destroy", "signal_id": "last destroy", "room_id": room_id}, 0)
        assert set(both.partition.gone) == set(ROOMS)
        both.now += GONE_FOR
        both.delete_gone()
        assert (both.partition.gone, both.partition.gone_until) == ({}, NEVER)
        assert (as_dict(both.partition.rooms), both.partition.members, both.partition.armed) == ({}, {}, 0)
        assert set(both.rows.values()) == {None}
        assert both.partition.next_timeout() is None
        assert both.partition.earliest is None  # next_timeout dropped the stale deadlines


def test_room_remembers_only_the_last_16_requests() -> None:
    both = Both()
    both.feed({"type": "conference.create", "signal_id": "c", "room_id": "r", "app_id": "a", "name": ""}, 0)
    for n in range(200):
        signal = {"type": "conference.volume", "signal_id": f"v{n}", "room_id": "r", "volume": 0}
        both.feed({**signal, "operation_id": "o"}, 1)
    assert remembered_ids(both.partition.rooms["r"].recent) == tuple(f"v{n}" for n in range(184, 200))


class Histories(RuleBasedStateMachine):
    """Steps that Hypothesis chooses one by one, so that it can shrink a difference to a few."""

    @initialize(mode=st.sampled_from(["dispatch", "progress"]))
    def begin(self, mode: str) -> None:
        self.both = Both(mode)

    @rule(signal=signals(ids=30))
    def any_signal(self, signal: tuple[Json, int]) -> None:
        self.both.feed(*signal)

    @rule(room_id=st.sampled_from(ROOMS), operation=st.sampled_from(OPERATIONS), n=st.integers(0, 99))
    def play(self, room_id: str, operation: str, n: int) -> None:
        signal = {"type": "conference.play", "signal_id": f"p{n}", "room_id": room_id}
        self.both.feed({**signal, "operation_id": operation, "urls": URLS}, 0)

    @rule()
    def crash(self) -> None:
        self.both.restore()

    @rule()
    def delete_gone(self) -> None:
        self.both.delete_gone()

    @invariant()
    def same_state(self) -> None:
        if hasattr(self, "both"):
            self.both.check_state()


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
assert {kind for kind in FIELDS if kind.startswith("conference.")} == API
