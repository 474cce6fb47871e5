"""The FreeSWITCH adapter, against a real recording with hand-written signals, and against single events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo.scenario import MEDIA_MAP
from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.errors import SignalError
from pipeline.model import signals
from pipeline.model.codec import decode_json, signal_json
from tests.support.freeswitch import CAPTURES, ENVELOPE, TIME, all_of, event, hangup_complete, member

CAPTURE = CAPTURES / "freeswitch-mod_conference.jsonl"
EXPECTED = CAPTURES / "freeswitch.signals.expected.jsonl"


def only(adapter: Adapter, one: dict[str, Any]) -> Any:
    """Return the signal of an event, and of the end of the feed; None if there is none."""
    found = all_of(adapter, one).signals
    assert len(found) <= 1
    return found[0] if found else None


# --- the recording ---


def test_recording_gives_the_expected_signals() -> None:
    adapter = Adapter(MEDIA_MAP)
    found = all_of(adapter, *map(json.loads, CAPTURE.read_bytes().splitlines()))
    lines = [json.loads(signal_json(signal)) for signal in found.signals]
    assert found.reports == []
    assert lines == [json.loads(line) for line in EXPECTED.read_bytes().splitlines()]
    assert adapter.counts == {
        "api": 19,
        "CHANNEL_HANGUP_COMPLETE": 6,
        "HEARTBEAT": 4,
        "floor-change": 4,
        "kick-member": 1,
        "conference-create": 1,
        "conference-destroy": 1,
    }


# --- members ---


def test_ids_and_time_come_from_the_envelope() -> None:
    signal = only(Adapter(), member("add-member", Caller_Caller_ID_Number="+1555", Event_Sequence="1"))
    assert signal == signals.MemberJoined(
        "core/1",
        "room",
        signals.Micros(TIME),
        session_uuid="acW68-a",
        caller_id="+1555",
        muted=False,
    )


@pytest.mark.parametrize(("speak", "muted"), [("false", True), ("true", False), (None, False)])
def test_speak_false_means_joined_muted(speak: str | None, muted: bool) -> None:
    signal = only(Adapter(), member("add-member", Speak=speak))
    assert isinstance(signal, signals.MemberJoined)
    assert (signal.muted, signal.caller_id) == (muted, "")


@pytest.mark.parametrize(
    ("before", "headers", "reason"),
    [
        ([], {}, "removed"),
        ([], {"Hangup_Cause": "NORMAL_CLEARING"}, "hangup"),
        ([], {"Answer_State": "hangup"}, "hangup"),
        (["kick-member"], {}, "removed"),
        (["kick-member"], {"Hangup_Cause": "NORMAL_CLEARING"}, "removed"),
        (["hup-member"], {"Answer_State": "hangup"}, "removed"),
        (["transfer"], {"Answer_State": "hangup"}, "removed"),
    ],
)
def test_reason_of_leaving(before: list[str], headers: dict[str, str], reason: str) -> None:
    adapter = Adapter()
    for action in ["add-member", *before]:
        only(adapter, member(action))
    signal = only(adapter, member("del-member", **headers))
    assert isinstance(signal, signals.MemberLeft)
    assert (signal.session_uuid, signal.reason) == ("acW68-a", reason)


def reason_of_hangup(adapter: Adapter, **headers: Any) -> str | None:
    signal = only(adapter, member("del-member", Hangup_Cause="NORMAL_CLEARING", **headers))
    assert isinstance(signal, signals.MemberLeft)
    return signal.reason


def test_kick_applies_once_to_one_member_of_one_room() -> None:
    adapter = Adapter()
    only(adapter, member("kick-member"))
    assert reason_of_hangup(adapter, Unique_ID="b") == "hangup"
    assert reason_of_hangup(adapter, Conference_Name="other") == "hangup"
    assert reason_of_hangup(adapter) == "removed"
    assert reason_of_hangup(adapter) == "hangup"


@pytest.mark.parametrize(
    "after",
    [event("conference-destroy"), event("conference-create"), member("add-member"), hangup_complete()],
)
def test_late_transfer_is_forgotten(after: dict[str, Any]) -> None:
    adapter = Adapter()
    only(adapter, member("transfer"))
    only(adapter, after)
    assert reason_of_hangup(adapter) == "hangup"


def test_hangup_replaces_a_missing_del_member() -> None:
    adapter = Adapter()
    only(adapter, member("add-member"))
    signal = only(adapter, hangup_complete(Event_Sequence="8"))
    assert signal == signals.MemberLeft("core/8", "room", signals.Micros(TIME), session_uuid="acW68-a", reason="hangup")
    assert only(adapter, hangup_complete(Event_Sequence="9")) is None
    assert adapter.counts == {"CHANNEL_HANGUP_COMPLETE": 1}


def test_hangup_of_a_kicked_member_is_removed() -> None:
    adapter = Adapter()
    only(adapter, member("add-member"))
    only(adapter, member("kick-member"))
    signal = only(adapter, hangup_complete())
    assert isinstance(signal, signals.MemberLeft)
    assert signal.reason == "removed"


def test_transfer_may_enter_the_new_room_first() -> None:
    adapter = Adapter()
    only(adapter, member("add-member"))
    only(adapter, member("add-member", Conference_Name="new"))
    only(adapter, member("del-member"))
    signal = only(adapter, hangup_complete())
    assert signal is not None
    assert signal.room_id == "new"


@pytest.mark.parametrize(("action", "kind"), [("mute-member", "member.muted"), ("unmute-member", "member.unmuted")])
def test_mute_and_unmute_keep_room_and_type(action: str, kind: str) -> None:
    signal = only(Adapter(), member(action))
    assert signal is not None
    assert (signal.TYPE, signal.room_id) == (kind, "room")


# --- playback ---


def test_play_file_with_error_is_a_failure() -> None:
    adapter = Adapter()
    ok = only(adapter, event("play-file", File="/a.wav", Async="false"))
    bad = only(adapter, event("play-file", File="/a.wav", Error="File could not be played"))
    nameless = only(adapter, event("play-file", Error="File could not be played"))
    done = only(adapter, event("play-file-done", File="/a.wav"))
    assert isinstance(ok, signals.PlayProgress)
    assert isinstance(bad, signals.PlayFailed)
    assert isinstance(nameless, signals.PlayFailed)
    assert isinstance(done, signals.PlayFinished)
    assert (ok.url, bad.urls, nameless.urls, done.url) == ("/a.wav", ("/a.wav",), (), "/a.wav")
    assert {ok.operation_id, bad.operation_id, done.operation_id} == {None}


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/media/a.wav", "https://cdn/audio/a.wav"),
        ("/media/hold/a.wav", "https://hold/a.wav"),
        ("/media", "https://cdn/audio"),
        ("/media2/a.wav", "/media2/a.wav"),
        ("/sounds/a.wav", "https://sounds/a.wav"),
        ("http_cache://https://x/a.wav", "https://x/a.wav"),
        ("/slash/a b.wav", "https://slash/a b.wav"),
        ("", ""),
    ],
)
def test_media_map_replaces_the_longest_prefix(path: str, url: str) -> None:
    media_map = [
        ("/media", "https://cdn/audio"),
        ("/media/hold", "https://hold"),
        ("/sounds/", "https://sounds"),
        ("/slash", "https://slash/"),
        ("http_cache://", ""),
    ]
    signal = only(Adapter(media_map), event("play-file-done", File=path))
    assert isinstance(signal, signals.PlayFinished)
    assert signal.url == url


# --- ignored and invalid events ---


@pytest.mark.parametrize(
    ("ignored", "kind"),
    [
        (event("floor-change"), "floor-change"),
        (event("start-talking", Conference_Name=None), "start-talking"),
        (event("", Event_Subclass="sofia::register"), "sofia::register"),
        ({"Event-Name": "HEARTBEAT", "variable_x": ["a", "b"], "_body": "text"}, "HEARTBEAT"),
        ({"api": "status", "reply": "+OK"}, "api"),
    ],
)
def test_ignored_events_are_counted_by_kind(ignored: dict[str, Any], kind: str) -> None:
    adapter = Adapter()
    assert only(adapter, ignored) is None
    assert adapter.counts == {kind: 1}


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({}, "header Event-Name is missing"),
        (event("add-member", Event_Subclass=None), "header Event-Subclass is missing"),
        (event(""), "header Action: expected 1 to 255 characters, got 0"),
        (event("add-member"), "header Unique-ID is missing"),
        (event("kick-member"), "header Unique-ID is missing"),
        (
            member("add-member", Conference_Name=""),
            "header Conference-Name: expected 1 to 255 characters, got 0",
        ),
        (member("add-member", Conference_Name="x" * 256), "header Conference-Name: expected 1 to 255"),
        (
            member("add-member", Conference_Name=["x", "y"]),
            "header Conference-Name: expected one string, got an array",
        ),
        (
            member("add-member", Event_Date_Timestamp="now"),
            "header Event-Date-Timestamp: expected microseconds",
        ),
        (member("add-member", Event_Date_Timestamp="²"), "header Event-Date-Timestamp"),
        (member("add-member", Event_Date_Timestamp="9" * 18), "header Event-Date-Timestamp"),
        (member("add-member", Event_Date_Timestamp="9" * 9999), "header Event-Date-Timestamp"),
        (member("add-member", Core_UUID=None), "header Core-UUID is missing"),
        (member("add-member", Event_Sequence=7), "header Event-Sequence: expected one string, got a number"),
        (
            member("add-member", FreeSWITCH_Switchname="x" * 254),
            "headers FreeSWITCH-Switchname and Unique-ID",
        ),
        (event("play-file"), "header File is missing"),
        (event("play-file-done"), "header File is missing"),
    ],
)
def test_error_names_the_header(bad: dict[str, Any], text: str) -> None:
    adapter = Adapter()
    with pytest.raises(SignalError) as caught:
        only(adapter, bad)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)
    assert not adapter.counts


def test_id_may_have_255_characters() -> None:
    signal = only(Adapter(), member("mute-member", Conference_Name="\U0001f600" * 255, Unique_ID="x" * 249))
    assert decode_json(signal_json(signal)) == signal  # type: ignore[arg-type]


ACTIONS = ["add-member", "del-member", "mute-member", "unmute-member", "play-file", "play-file-done"]
MARKERS = ["kick-member", "hup-member", "transfer", "conference-create", "conference-destroy", "floor-change"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
HEADERS = [*ENVELOPE, "Action", "Unique-ID", "Speak", "File", "Error", "Hangup-Cause", "Answer-State"]
HEADERS += ["Caller-Caller-ID-Number", "api"]


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """Events with random or missing headers, and random objects."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.dictionaries(st.sampled_from(HEADERS) | st.text(), JSON))
    whole = member(draw(st.sampled_from([*ACTIONS, *MARKERS])), File="/a", Unique_ID=draw(st.sampled_from("ab")))
    if draw(st.integers(0, 4)) == 0:
        whole = hangup_complete()
    whole |= draw(st.dictionaries(st.sampled_from(HEADERS), JSON, max_size=2))
    for header in draw(st.sets(st.sampled_from(HEADERS), max_size=1)):
        whole.pop(header, None)
    return whole


@settings(deadline=None)
@given(st.lists(objects(), max_size=8), st.sampled_from([0, 250_000]))
def test_any_object_gives_signals_nothing_or_signal_error(events: list[dict[str, Any]], reorder: int) -> None:
    adapter = Adapter([("/a", "https://cdn")], reorder=reorder)
    found: list[Any] = []
    texts: list[str] = []
    for one in events:
        before = adapter.counts.total()
        try:
            found += adapter.feed(one).signals
        except SignalError as error:
            texts.append(str(error))
            assert adapter.counts.total() == before
    found += adapter.end().signals
    assert not adapter.waits
    assert all(text.isprintable() and len(text) < 400 for text in texts)
    for signal in found:
        assert decode_json(signal_json(signal)) == signal
    ids = [signal.signal_id for signal in found]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("text", ["\ud800", "Jos\ufffd"])
def test_half_of_a_surrogate_pair_is_replaced(text: str) -> None:
    signal = only(Adapter(), member("add-member", Caller_Caller_ID_Number=text))
    assert signal.caller_id.endswith("\ufffd")


def test_texts_are_cut_to_the_bounds_of_the_contract() -> None:
    adapter = Adapter()
    joined = only(adapter, member("add-member", Caller_Caller_ID_Number="\U0001f600" * 2000))
    done = only(adapter, event("play-file-done", File="/" + "x" * 5000))
    assert (len(joined.caller_id), len(done.url)) == (1024, 2048)


def test_node_begins_the_ids_of_rooms_and_sessions() -> None:
    adapter = Adapter(node="fs1")
    rooms = [only(adapter, member("mute-member", Conference_Name=name)) for name in ("fs1-room-a", "a", "fs2-room-a")]
    assert [signal.room_id for signal in rooms] == ["fs1-room-a", "fs1-room-a", "fs1-room-fs2-room-a"]
    assert {signal.session_uuid for signal in rooms} == {"fs1-a"}
    with pytest.raises(SignalError, match="header Conference-Name: expected 1 to 255 characters, got 264"):
        adapter.feed(member("mute-member", Conference_Name="x" * 255))
