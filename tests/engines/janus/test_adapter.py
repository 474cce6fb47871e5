"""Events of the AudioBridge → media signals: recordings of a real Janus, and each rule."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.janus import adapter as module
from pipeline.engines.janus.adapter import Adapter, PlayedFile, played_file, read_events
from pipeline.engines.rules.ids import Node
from pipeline.errors import SignalError
from pipeline.model import signals as s
from tests.support.janus import TIME, captured, core, event, fed, short, signals_of

ROOM = "n1-room-1"
RULES = [
    "1 joined s-a +15550100101",
    "1 joined s-b +15550100102 muted",
    "1 muted s-a",  # of two requests
    "1 unmuted s-a",
    "1 muted s-a",  # by itself
    "1 unmuted s-a",
    "1 progress op-1",
    "1 finished op-1",
    "1 progress op-1f",
    "1 finished op-1f",
    "1 progress op-2",
    "1 finished op-2",  # it was stopped: Janus reports that alike
    "1 progress op-3",
    "1 progress op-4",
    "1 finished op-3",
    "1 finished op-4",
    "1 progress e85f4a0b-ad21-4383-93cd-2648b3eb1fe0",  # an id that Janus made
    "1 finished e85f4a0b-ad21-4383-93cd-2648b3eb1fe0",
    "1 progress op-loop",
    "1 left s-b hangup",  # the session timed out
    "1 finished op-loop",
    "1 joined s-c +15550100103",
    "1 left s-c removed",  # the request leave
    "1 joined s-d +15550100104",
    "1 left s-a hangup",
    "1 left s-d hangup",  # the session was destroyed
    "1 joined s-e +15550100105",
    "1 left s-e hangup",  # detached
    "1 joined s-f +15550100106",
    "1 left s-f hangup",  # the request hangup
    "1 joined s-f +15550100106",
    "1 left s-f removed",  # changeroom
    "2 joined s-f +15550100106",
    "1 joined s-a dup",
    "1 progress op-5",
    "1 finished op-5",
    "1 joined s-h +15550100108",
    "1 progress op-6",
    "1 failed op-6",  # the room was destroyed, and Janus reports nothing else
    "1 left s-a removed",
    "1 left s-h removed",
    "2 joined s-i +15550100109",
    "2 left s-f removed",  # kick_all, 22 s before
    "2 left s-i hangup",
]
LOSS = [
    "3 joined s-a +15550100111",
    "3 joined s-b +15550100112",
    "3 joined s-c +15550100113",
    "3 left s-a removed",  # kick of b, kick_all
    "3 left s-b removed",
    "3 left s-c removed",
    "3 joined s-d +15550100114",
    *["3 muted s-d", "3 unmuted s-d"] * 30,
    "3 unmuted s-d",  # 2 s without a receiver: a mute before it was lost
    "3 muted s-d",
    "3 muted s-d",  # 15 s without a receiver: all three of that time were lost
    "3 progress op-kill",
    "3 failed op-kill",  # Janus was killed
    "3 left s-d orphan",
]
WEBSOCKET = ["ws joined w1 +15550100901", *["ws muted w1", "ws unmuted w1"] * 4]
AUDIOBRIDGE = [
    "abc123 joined f47ac10b +15551234567",
    "abc123 muted f47ac10b",
    "abc123 unmuted f47ac10b",
    "abc123 progress op-1",
    "abc123 finished op-1",
    "abc123 progress op-3",
    "abc123 finished op-3",
    "abc123 left f47ac10b removed",
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rules", RULES), ("loss-restart", LOSS), ("websocket", WEBSOCKET), ("audiobridge", AUDIOBRIDGE)],
)
def test_a_recording_gives_its_timeline(name: str, expected: list[str]) -> None:
    assert short(signals_of("acW68", *captured(f"janus-{name}.jsonl"))) == expected


def test_the_same_events_give_the_same_ids() -> None:
    events = list(captured("janus-rules.jsonl"))
    first, second = signals_of("acW68", *events), signals_of("acW68", *events)
    assert first == second
    ids = [one.signal_id for one in first]
    assert len(set(ids)) == len(ids)


def test_a_group_is_its_events_in_order() -> None:
    group = json.dumps([event("joined", id="a"), event("left", TIME + 1, id="a")]).encode()
    adapter = Adapter(Node("n1"))
    found = [
        one for item in read_events(group) if not isinstance(item, SignalError) for one in adapter.apply(item).signals
    ]
    assert short(found) == ["1 joined a", "1 left a hangup"]


def test_one_bad_event_does_not_hide_the_others() -> None:
    bad: list[Any] = [1, {"type": 64, "timestamp": -1}, {"type": 64, "event": {"plugin": "janus.plugin.audiobridge"}}]
    found = list(read_events(json.dumps([*bad, event("joined", id="a")]).encode()))
    assert [isinstance(one, SignalError) for one in found] == [True, True, True, False]


def test_fields_become_those_of_the_signal() -> None:
    [joined] = signals_of("n1", event("joined", room="lobby", id="a", display="x" * 2000, muted=True))
    assert joined == s.MemberJoined(f"n1/{TIME}/joined/a", "n1-room-lobby", s.Micros(TIME), "n1-a", "x" * 1024, True)
    [left] = signals_of("n1", event("left", room=12, id=34))
    assert left == s.MemberLeft(f"n1/{TIME}/left/34", "n1-room-12", s.Micros(TIME), "n1-34", "hangup")


def test_a_file_has_its_number_and_its_url() -> None:
    adapter = Adapter(Node("n1"), lambda room_id, file: f"{room_id}/{file.number}")
    started, stopped = fed(
        adapter, event("announcement-started", file_id="op#2"), event("announcement-stopped", file_id="op#2")
    )
    at = s.Micros(TIME)
    assert started.signals == [s.PlayProgress(f"n1/{TIME}/announcement-started/op#2", ROOM, at, "op", f"{ROOM}/2")]
    assert stopped.signals == [s.PlayFinished(f"n1/{TIME}/announcement-stopped/op#2", ROOM, at, f"{ROOM}/2", "op")]
    assert stopped.ended == (ROOM, PlayedFile("op", 2))
    assert adapter.files(ROOM) == []


def test_what_plays_is_remembered_until_it_ends() -> None:
    adapter = Adapter(Node("n1"))
    fed(adapter, event("announcement-started", file_id="op#0"), event("announcement-started", file_id="op#1"))
    assert adapter.files(ROOM) == ["op#0", "op#1"]
    fed(adapter, event("announcement-stopped", file_id="op#0"))
    assert adapter.files(ROOM) == ["op#1"]


@pytest.mark.parametrize(
    "events",
    [
        [event("created")], [event("mute_room")], [event("configured", id="a")], [event("kicked", id="a")],
        [event("unheard-of", id="a")], [event("joined", id="x" * 255)], [event("joined", id="")], [core(2)],
        [event("joined", room="x" * 255, id="a")], [event("destroyed")], [event("announcement-started")],
    ],
)  # fmt: skip
def test_other_events_are_counted(events: list[dict[str, Any]]) -> None:
    adapter = Adapter(Node("n1"))
    assert fed(adapter, *events)[0].signals == []
    assert adapter.counts.total() == 1


def test_events_of_other_plugins_and_types_give_nothing() -> None:
    other = {"type": 64, "timestamp": TIME, "event": {"plugin": "janus.plugin.sip", "data": {"event": 1}}}
    assert signals_of("n1", other, {"type": 128, "event": [1]}, {"type": 1}) == []


def test_a_kick_of_all_without_ids_marks_everyone() -> None:
    events = [event("joined", id="a"), event("joined", id="b"), event("kicked_all"), event("left", id="a")]
    assert short(signals_of("n1", *events))[2:] == ["1 left a removed"]


def test_a_mark_counts_for_one_left_only() -> None:
    again = [event("joined", id="a"), event("kicked", id="a"), event("left", id="a")]
    assert short(signals_of("n1", *again, event("joined", id="a"), event("left", id="a")))[-1] == "1 left a hangup"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 10)
    monkeypatch.setattr(module, "MAX_ROOMS", 5)
    monkeypatch.setattr(module, "MAX_KICKED", 3)
    monkeypatch.setattr(module, "MAX_FILES", 2)
    monkeypatch.setattr(module, "MAX_KINDS", 4)
    adapter = Adapter(Node("n1"))
    for number in range(100):
        text = str(number)
        fed(adapter, event("joined", room=text, id="a"), event("joined", room="1", id=text), event(f"k{text}", id="a"))
        fed(adapter, event("kicked", room=text, id=text), event("announcement-started", room="f", file_id=text))
    assert len(adapter._rooms) <= 5
    assert adapter._members == sum(len(room.members) for room in adapter._rooms.values()) <= 10
    assert len(adapter._kicked) == 3
    assert len(adapter.files("n1-room-f")) <= 2
    assert len(adapter.counts) <= 5


@given(st.text(min_size=1, max_size=255), st.integers(0, 127))
def test_a_file_id_names_its_file(operation_id: str, number: int) -> None:
    file = PlayedFile(operation_id, number)
    assert played_file(file.file_id) == file


@pytest.mark.parametrize(
    ("file_id", "expected"),
    [
        ("op", PlayedFile("op", 0)), ("op#", PlayedFile("op#", 0)), ("#1", PlayedFile("#1", 0)), ("", None),
        ("op#01", PlayedFile("op#01", 0)), ("op#128", PlayedFile("op#128", 0)), ("op#²", PlayedFile("op#²", 0)),
        ("x" * 256, None), ("x" * 256 + "#1", None), ("a#1#2", PlayedFile("a#1", 2)),
    ],
)  # fmt: skip
def test_other_file_ids_are_operation_ids(file_id: str, expected: PlayedFile | None) -> None:
    assert played_file(file_id) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
KEYS = ("emitter", "type", "subtype", "timestamp", "session_id", "event")
FIELDS = ("event", "room", "id", "display", "muted", "file_id")
kinds = st.sampled_from(
    ["joined", "left", "kicked", "kicked_all", "mute", "unmute", "configured", "announcement-started",
     "announcement-stopped", "destroyed", "created"]
)  # fmt: skip
hostile = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda one: json.dumps(one).encode()),
    st.dictionaries(st.sampled_from(KEYS), json_values).map(lambda one: json.dumps([one]).encode()),
    st.builds(
        lambda kind, data: json.dumps(event(kind) | {"event": {"plugin": "janus.plugin.audiobridge", "data": data}}).encode(),
        kinds, st.dictionaries(st.sampled_from(FIELDS), json_values),
    ),
    st.builds(lambda kind, data: json.dumps(event(kind, **data)).encode(), kinds,
              st.fixed_dictionaries({}, optional={"room": st.text(max_size=300), "id": st.text(max_size=300),
                                                  "file_id": st.text(max_size=300), "display": st.text(max_size=9)})),
)  # fmt: skip


@given(st.lists(hostile, max_size=8))
def test_hostile_texts_raise_only_the_declared_error(texts: list[bytes]) -> None:
    adapter = Adapter(Node("n1"))
    for text in texts:
        try:
            found = list(read_events(text))
        except SignalError as error:
            found = [error]
        for one in found:
            if isinstance(one, SignalError):
                assert str(one).isprintable()
                continue
            for signal in adapter.apply(one).signals:
                assert signal.room_id.startswith("n1-room-")
                assert len(signal.signal_id) <= 255


def test_deep_nesting_is_an_error() -> None:
    for text in (b"[" * 100_000, b'{"event":' * 100_000, b'[{"event":' + b"[" * 100_000):
        with pytest.raises(SignalError):
            raise next(iter(read_events(text)))
