"""The FreeSWITCH adapter, against a real recording with hand-written signals, and against single events."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo.scenario import MEDIA_MAP
from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.errors import SignalError
from pipeline.model import signals
from pipeline.model.codec import decode_json, signal_json
from testkit import fork_server

CAPTURES = Path(__file__).parents[2] / "captures"
CAPTURE = CAPTURES / "freeswitch-mod_conference.jsonl"
EXPECTED = CAPTURES / "freeswitch.signals.expected.jsonl"

ENVELOPE = {
    "Event-Name": "CUSTOM",
    "Event-Subclass": "conference::maintenance",
    "Core-UUID": "core",
    "FreeSWITCH-Switchname": "acW68",
    "Event-Date-Timestamp": "1795354386106600",
    "Event-Sequence": "7",
    "Conference-Name": "room",
}


def event(action: str, **headers: Any) -> dict[str, Any]:
    """Return an event; `Unique_ID="a"` sets the header `Unique-ID`, None omits a header."""
    values = {
        **ENVELOPE,
        "Action": action,
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    return {key: value for key, value in values.items() if value is not None}


def member(action: str, **headers: Any) -> dict[str, Any]:
    return event(action, **{"Unique_ID": "a", "Answer_State": "answered", "Speak": "true", **headers})


def hangup_complete(**headers: Any) -> dict[str, Any]:
    bare = {"Event_Name": "CHANNEL_HANGUP_COMPLETE", "Event_Subclass": None, "Conference_Name": None}
    return member("", **{**bare, "Hangup_Cause": "NORMAL_CLEARING", "Answer_State": "hangup", **headers})


# --- the recording ---


def test_recording_gives_the_expected_signals() -> None:
    adapter = Adapter(MEDIA_MAP)
    found = [adapter.signal(json.loads(line)) for line in CAPTURE.read_bytes().splitlines()]
    lines = [json.loads(signal_json(signal)) for signal in found if signal is not None]
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
    assert adapter._room_of == adapter._removing == {}


# --- members ---


def test_ids_and_time_come_from_the_envelope() -> None:
    signal = Adapter().signal(member("add-member", Caller_Caller_ID_Number="+1555"))
    assert signal == signals.MemberJoined(
        "core/7",
        "room",
        signals.Micros(1795354386106600),
        session_uuid="acW68-a",
        caller_id="+1555",
        muted=False,
    )


@pytest.mark.parametrize(("speak", "muted"), [("false", True), ("true", False), (None, False)])
def test_speak_false_means_joined_muted(speak: str | None, muted: bool) -> None:
    signal = Adapter().signal(member("add-member", Speak=speak))
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
        adapter.signal(member(action))
    signal = adapter.signal(member("del-member", **headers))
    assert isinstance(signal, signals.MemberLeft)
    assert (signal.session_uuid, signal.reason) == ("acW68-a", reason)


def reason_of_hangup(adapter: Adapter, **headers: Any) -> str | None:
    signal = adapter.signal(member("del-member", Hangup_Cause="NORMAL_CLEARING", **headers))
    assert isinstance(signal, signals.MemberLeft)
    return signal.reason


def test_kick_applies_once_to_one_member_of_one_room() -> None:
    adapter = Adapter()
    adapter.signal(member("kick-member"))
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
    adapter.signal(member("transfer"))
    adapter.signal(after)
    assert reason_of_hangup(adapter) == "hangup"


def test_hangup_replaces_a_missing_del_member() -> None:
    adapter = Adapter()
    adapter.signal(member("add-member"))
    signal = adapter.signal(hangup_complete(Event_Sequence="8"))
    assert signal == signals.MemberLeft(
        "core/8", "room", signals.Micros(1795354386106600), session_uuid="acW68-a", reason="hangup"
    )
    assert adapter.signal(hangup_complete(Event_Sequence="9")) is None
    assert adapter.counts == {"CHANNEL_HANGUP_COMPLETE": 1}


def test_hangup_of_a_kicked_member_is_removed() -> None:
    adapter = Adapter()
    adapter.signal(member("add-member"))
    adapter.signal(member("kick-member"))
    signal = adapter.signal(hangup_complete())
    assert isinstance(signal, signals.MemberLeft)
    assert signal.reason == "removed"


def test_transfer_may_enter_the_new_room_first() -> None:
    adapter = Adapter()
    adapter.signal(member("add-member"))
    adapter.signal(member("add-member", Conference_Name="new"))
    adapter.signal(member("del-member"))
    signal = adapter.signal(hangup_complete())
    assert signal is not None
    assert signal.room_id == "new"


@pytest.mark.parametrize(("action", "kind"), [("mute-member", "member.muted"), ("unmute-member", "member.unmuted")])
def test_mute_and_unmute_keep_room_and_type(action: str, kind: str) -> None:
    signal = Adapter().signal(member(action))
    assert signal is not None
    assert (signal.TYPE, signal.room_id) == (kind, "room")


# --- playback ---


def test_play_file_with_error_is_a_failure() -> None:
    adapter = Adapter()
    ok = adapter.signal(event("play-file", File="/a.wav", Async="false"))
    bad = adapter.signal(event("play-file", File="/a.wav", Error="File could not be played"))
    nameless = adapter.signal(event("play-file", Error="File could not be played"))
    done = adapter.signal(event("play-file-done", File="/a.wav"))
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
    signal = Adapter(media_map).signal(event("play-file-done", File=path))
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
    assert adapter.signal(ignored) is None
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
        (
            member("add-member", Caller_Caller_ID_Number="\ud800"),
            "header Caller-Caller-ID-Number: contains half",
        ),
        (event("play-file"), "header File is missing"),
        (event("play-file-done"), "header File is missing"),
    ],
)
def test_error_names_the_header(bad: dict[str, Any], text: str) -> None:
    adapter = Adapter()
    with pytest.raises(SignalError) as caught:
        adapter.signal(bad)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)
    assert not adapter.counts
    assert adapter._room_of == adapter._removing == {}


def test_id_may_have_255_characters() -> None:
    signal = Adapter().signal(member("mute-member", Conference_Name="\U0001f600" * 255, Unique_ID="x" * 249))
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
@given(st.lists(objects(), max_size=8))
def test_any_object_gives_a_signal_nothing_or_signal_error(events: list[dict[str, Any]]) -> None:
    adapter = Adapter([("/a", "https://cdn")])
    for one in events:
        before, rooms = adapter.counts.total(), (dict(adapter._room_of), dict(adapter._removing))
        try:
            signal = adapter.signal(one)
        except SignalError:
            assert (adapter._room_of, adapter._removing) == rooms
            assert adapter.counts.total() == before
            continue
        if signal is None:
            assert adapter.counts.total() == before + 1
        else:
            assert decode_json(signal_json(signal)) == signal


# --- the command ---


def run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return fork_server.run("import", "freeswitch", *arguments, stdin=data)


def test_import_writes_signals_and_a_summary(tmp_path: Path) -> None:
    output = tmp_path / "signals.jsonl"
    mapping = "--media-map=/var/lib/media=https://cdn.example.com/audio"
    done = run(str(CAPTURE), mapping, "--output", str(output))
    assert (done.returncode, done.stdout) == (0, b"")
    assert [json.loads(line) for line in output.read_bytes().splitlines()] == [
        json.loads(line) for line in EXPECTED.read_bytes().splitlines()
    ]
    summary = done.stderr.decode().splitlines()
    assert summary[0] == "52 lines: 16 signals, 36 ignored, 0 bad"
    assert "play.finished 3" in summary[1]
    assert "HEARTBEAT 4" in summary[2]


def test_import_reports_bad_lines_and_continues() -> None:
    good = json.dumps(member("mute-member")).encode()
    bad = [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"a":' * 5000,
        b"1" * 5000,
        json.dumps(event("add-member")).encode(),
    ]
    done = run("-", data=b"\n".join([*bad, good]))
    assert done.returncode == 0
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["member.muted"]
    errors = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in errors[:8]] == [f"line {number}" for number in range(1, 9)]
    assert "expected a JSON object, got an array" in errors[2]
    assert "header Unique-ID is missing" in errors[7]
    assert errors[8] == "9 lines: 1 signals, 0 ignored, 8 bad"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["/nowhere/capture.jsonl"], "can't open /nowhere/capture.jsonl"),
        (["-", "--media-map", "nonsense"], "expected PREFIX=URL"),
        (["-", "--media-map", "=https://cdn"], "expected PREFIX=URL"),
        (["-", "--output", "/nowhere/out.jsonl"], "can't open /nowhere/out.jsonl"),
    ],
)
def test_import_reports_invalid_arguments(arguments: list[str], text: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.decode().replace("│", " ").split())
    assert b"Traceback" not in done.stderr
