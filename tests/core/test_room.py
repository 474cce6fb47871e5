"""Every row of contract §5 by example, and the examples of the product page byte for byte."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pipeline.core.decision import Decision
from pipeline.core.event_id import event_id
from pipeline.core.partition import Partition
from pipeline.core.room import MEMBERLESS, decide
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model import events
from pipeline.model.codec import decode_json, event_json
from pipeline.model.records import Member, Room
from testkit.model import Model, micros, replay
from tests.support.examples import ROOM, Example, expected, timed
from tests.support.rows import ROWS
from tests.support.samples import ADDED, SAMPLES
from tests.support.state import as_tuple, remembered_ids

NAMES = [f"{number:03} {example.row}: {example.signal['type']}" for number, example in enumerate(ROWS)]


def run(signals: list[dict[str, Any]], mode: str) -> tuple[Partition, list[Decision]]:
    """Return the partition after the signals, and the decisions of the last signal and of the deadlines before it."""
    partition, now, decisions = Partition(Rules(progress=mode == "progress")), 0, []
    for signal in signals:
        now = max(now, micros(signal["occurred_at"]))
        decisions = [partition.expire(timeout) for timeout in partition.due(now)]
        decisions.append(partition.apply(decode_json(json.dumps(signal).encode()), now))
    return partition, decisions


def assert_fields(found: Mapping[str, Any], fields: dict[str, Any]) -> None:
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize("example", ROWS, ids=NAMES)
def test_decision_and_room_match_the_example(example: Example) -> None:
    signals = timed(example)
    before = run(signals[:-1], example.mode)[0].rooms.get(ROOM) if example.given else None
    partition, decisions = run(signals, example.mode)
    last = decisions[-1]
    lines = [event_json(event) for decision in decisions for event in decision.events]
    wanted = expected(example, before.sequence if before else 0)
    assert [list(json.loads(line).items()) for line in lines] == [list(event.items()) for event in wanted]
    assert [list(json.loads(line)["meta"]) for line in lines] == [list(event["meta"]) for event in wanted]
    assert (last.rejected, last.no_op) == (example.rejected, example.no_op)
    room = partition.rooms.get(ROOM)
    gone = partition.gone.get(ROOM)
    assert (gone is None) == (example.gone is None)
    if gone is not None:
        assert_fields({**msgspec.structs.asdict(gone), "recent": remembered_ids(gone.recent)}, example.gone or {})
    if example.room is None:
        assert room is None
        assert ROOM not in partition.members
        return
    assert room is not None
    assert_fields({**msgspec.structs.asdict(room), "recent": remembered_ids(room.recent)}, example.room)
    if not last.rejected:
        assert room.sequence == (wanted[-1]["meta"]["sequence"] if wanted else before.sequence if before else 0)
    members = partition.members.get(ROOM, {})
    for session, fields in example.members.items():
        assert_fields(msgspec.structs.asdict(members[session]), fields)


class UnreadableMembers(Mapping[str, Member]):
    """Members that fail the test when they are read."""

    def _fail(self, *_: object) -> Any:
        pytest.fail("the members were read")

    __getitem__ = __iter__ = __len__ = __contains__ = _fail


@pytest.mark.parametrize("example", [example for example in ROWS if example.signal["type"] in MEMBERLESS])
def test_memberless_signals_read_no_members(example: Example) -> None:
    *before, last = timed(example)
    partition, now = run(before, example.mode)[0], micros(last["occurred_at"])
    rules = Rules(progress=example.mode == "progress")
    decide(
        partition.rooms.get(ROOM),
        partition.gone.get(ROOM),
        UnreadableMembers(),
        decode_json(json.dumps(last).encode()),
        now,
        rules,
    )


@pytest.mark.parametrize("example", ROWS, ids=NAMES)
def test_model_matches_the_example(example: Example) -> None:
    signals = timed(example)
    outcomes = replay(signals, Model(mode=example.mode))
    count = len(example.events) if example.events else 1
    if example.rejected:
        assert [outcome["rejected"]["reason"] for outcome in outcomes[-1:]] == [example.rejected]
    elif example.no_op:
        assert [outcome["no_op"]["reason"] for outcome in outcomes[-1:]] == [example.no_op]
    else:
        first = outcomes[-count]["event"]["meta"]["sequence"]
        assert [outcome["event"] for outcome in outcomes[-count:]] == expected(example, first - 1)


def test_every_event_rejection_and_no_op_has_an_example() -> None:
    text = " ".join(str(example) for example in ROWS)
    assert {name for name in SAMPLES if name not in text} == set()
    found = {example.rejected for example in ROWS} | {example.no_op for example in ROWS}
    assert found - {None} == {
        *("room_unknown", "room_exists", "playback_active", "playback_inactive", "volume_out_of_range"),
        *("not_a_member", "repeated", "join", "leave", "already_member", "already_muted", "already_unmuted"),
        *("progress", "after_stop", "already_ended", "room_gone"),
    }


# --- the examples of the product page ---

AT = {"room_id": "acW68-room-abc123", "occurred_at": "2026-11-22T19:00:00Z"}
SESSION = "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479"
OPERATION = "d4e5f6a7-b8c9-0123-4567-89abcdef0123"
URL = "https://cdn.example.com/audio/announcement.wav"
CREATE = {"type": "conference.create", "app_id": "my-app", "name": "Team Standup"}
JOINED = {"type": "member.joined", "session_uuid": SESSION, "caller_id": "+15551234567"}
PLAY = {"type": "conference.play", "urls": [URL], "operation_id": OPERATION}
PAUSE = {"type": "conference.pause", "operation_id": OPERATION}
RESUME = {"type": "conference.pause", "operation_id": "e5f6a7b8-c9d0-1234-5678-9abcdef01234"}
HISTORIES: dict[str, list[dict[str, Any]]] = {
    "conference.created": [CREATE],
    "conference.destroyed": [CREATE, {"type": "conference.destroy"}],
    "conference.member.joined": [CREATE, JOINED],
    "conference.member.left": [CREATE, JOINED, {"type": "member.left", "session_uuid": SESSION}],
    "conference.member.muted": [CREATE, JOINED, {"type": "conference.mute", "session_uuid": SESSION}],
    "conference.member.unmuted": [
        {**JOINED, "muted": True},
        {"type": "conference.unmute", "session_uuid": SESSION},
    ],
    "conference.play.started": [CREATE, PLAY],
    "conference.play.paused": [CREATE, PLAY, PAUSE],
    "conference.play.resumed": [{**CREATE, "app_id": "app_abc123"}, PLAY, PAUSE, RESUME],
    "conference.play.stopped": [CREATE, PLAY, {"type": "conference.stop", "operation_id": OPERATION}],
    "conference.play.volume_changed": [
        CREATE,
        {"type": "conference.volume", "volume": 2, "operation_id": OPERATION},
    ],
    "conference.play.finished": [CREATE, PLAY, {"type": "play.finished", "url": URL}],
    "conference.play.failed": [CREATE, PLAY, {**JOINED, "occurred_at": "2026-11-22T19:00:10Z"}],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_page_example_is_published_with_meta_appended(name: str) -> None:
    history = [{"signal_id": f"s{n}", **AT, **signal} for n, signal in enumerate(HISTORIES[name])]
    _, decisions = run(history, "dispatch")
    line = event_json(decisions[0].events[0]).decode()
    page = re.sub(r'(?<=[{",:\]])\s+(?=["\[])|(?<=[:,])\s+(?=[\d"])', "", SAMPLES[name])  # without the page's spaces
    assert line.startswith(page.removesuffix("}") + ',"meta":{"event_id":"')
    added = ADDED.get(name, {})
    assert list(json.loads(line)) == [*json.loads(SAMPLES[name]), "meta", *added]
    assert json.loads(line).items() >= added.items()


# --- decide as a function ---


def test_decide_does_not_change_its_arguments() -> None:
    members = {"a": Member("r", "a", "+1", sequence=1)}
    room = Room("r", app_id="app", sequence=1)
    signal = decode_json(
        b'{"type":"conference.mute","signal_id":"s","room_id":"r","occurred_at":"2026-01-01T00:00:00Z","session_uuid":"a"}'
    )
    first = decide(room, None, members, signal, 5, Rules())
    assert members == {"a": Member("r", "a", "+1", sequence=1)}
    assert room == Room("r", app_id="app", sequence=1)
    assert as_tuple(decide(room, None, members, signal, 5, Rules())) == as_tuple(first)
    assert first.members == (("a", Member("r", "a", "+1", muted=True, sequence=1, muted_at=5)),)


def test_watchdog_uses_the_time_of_the_rules() -> None:
    start = decode_json(json.dumps({"signal_id": "s", **AT, **PLAY}).encode())
    room = decide(Room(AT["room_id"], app_id="app"), None, {}, start, 100, Rules(watchdog=7)).room
    assert room is not None
    assert room.deadline == 107
    late = decide(room, None, {}, Timeout(room.room_id, 107, OPERATION), 107, Rules(watchdog=7))
    assert isinstance(late.events[0], events.PlayFailed)
    assert late.events[0].meta.occurred_at == 107


@pytest.mark.parametrize("room", ["r", "é/1", "", "\x00", "😀" * 255])
def test_event_id_matches_the_uuid_module(room: str) -> None:
    for sequence in range(1, 40):  # all variants of the 16th digit
        wanted = uuid.uuid5(uuid.NAMESPACE_URL, f"{room}/{sequence}/cause")
        assert event_id(room, sequence, "cause") == str(wanted)
