"""Signals and events as JSON: what contract §4 allows, and the errors for everything else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SignalError
from pipeline.model import events, signals
from pipeline.model.codec import MAX_VALUE, decode_json, event_json, signal_json
from pipeline.model.times import FIRST_TIME, LAST_TIME, format_time

BASE = {"signal_id": "s", "room_id": "r", "occurred_at": "2026-01-01T00:00:00Z"}
VOLUME = {"type": "conference.volume", **BASE, "volume": 2, "operation_id": "o"}
PLAY = {"type": "conference.play", **BASE, "urls": ["http://x"], "operation_id": "o"}
LEFT = {"type": "member.left", **BASE, "session_uuid": "a"}
FAILED = {"type": "play.failed", **BASE}
FINISHED = {"type": "play.finished", **BASE, "url": "/x"}
PROGRESS = {"type": "play.progress", **BASE, "url": "/x"}
CREATE = {"type": "conference.create", **BASE, "app_id": "a", "name": ""}
JOINED = {"type": "member.joined", **BASE, "session_uuid": "a", "caller_id": ""}


def raw(signal: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**signal, **changes}, ensure_ascii=False).encode("utf-8", "surrogatepass")


def with_unknown(value: bytes) -> bytes:
    return raw(VOLUME)[:-1] + b',"x":' + value + b"}"


def volume(text: str) -> bytes:
    return raw(VOLUME).replace(b'"volume": 2', b'"volume": ' + text.encode())


INVALID: dict[str, tuple[bytes, str]] = {
    "float": (volume("1.0"), "volume: Expected int, got float"),
    "exponent": (volume("2e0"), "volume: Expected int, got float"),
    "string": (volume('"2"'), "volume: Expected int, got str"),
    "true": (volume("true"), "volume: Expected int, got bool"),
    "null": (volume("null"), "volume: Expected int, got null"),
    "33 bits": (volume("2147483648"), "volume: Expected int <= 2147483647, got 2147483648"),
    "-33 bits": (volume("-2147483649"), "volume: Expected int >= -2147483648, got -2147483649"),
    "100 bits": (volume("9" * 30), "volume: Expected int <= 2147483647, got 999999999999999999999999999999"),
    "10000 digits": (volume("9" * 10_000), "volume: Integer value out of range"),
    "NaN": (volume("NaN"), "no JSON object (RFC 8259): JSON is malformed: invalid character (byte"),
    "Infinity": (volume("-Infinity"), "no JSON object (RFC 8259)"),
    "leading zero": (volume("02"), "no JSON object (RFC 8259)"),
    "NaN in an unknown field": (with_unknown(b"NaN"), "no JSON object (RFC 8259)"),
    "comma in an unknown field": (with_unknown(b"[1,]"), "no JSON object (RFC 8259)"),
    "missing": (raw({"type": "conference.volume"}), "Object missing required field signal_id"),
    "no type": (raw(BASE), "Object missing required field type"),
    "type of none": (raw(VOLUME, type="conference.none"), "type: Expected the type of a signal, got 'conference.none'"),
    "type is a number": (raw(VOLUME, type=5), "type: Expected str, got 5"),
    "type with a path": (raw(VOLUME, type="x - at `$.b[1].c"), "type: Expected the type of a signal, got 'x - at $.b[1].c'"),
    "type of lines": (raw(VOLUME, type="x\n\u2028y"), "type: Expected the type of a signal, got 'x y'"),
    "empty id": (raw(VOLUME, signal_id=""), 'signal_id: Expected str of length >= 1, got ""'),
    "id of 256": (raw(VOLUME, room_id="x" * 256), 'room_id: Expected str of length <= 255, got "xxx'),
    "id of 256 beyond the BMP": (raw(VOLUME, operation_id="😀" * 256), "operation_id: Expected str of length <= 255"),
    "id is a number": (raw(VOLUME, signal_id=5), "signal_id: Expected str, got int"),
    "null session": (raw(LEFT, session_uuid=None), "session_uuid: Expected str, got null"),
    "null muted": (raw(JOINED, muted=None), "muted: Expected bool, got null"),
    "muted is 1": (raw(JOINED, muted=1), "muted: Expected bool, got int"),
    "null urls": (raw(FAILED, urls=None), "urls: Expected array, got null"),
    "null in urls": (raw(FAILED, urls=["", None]), "urls[1]: Expected str, got null"),
    "no urls": (raw(PLAY, urls=[]), "urls: Expected array of length >= 1, got []"),
    "129 urls": (raw(PLAY, urls=["http://x"] * 129), 'urls: Expected array of length <= 128, got ["http://x"'),
    "ftp": (raw(PLAY, urls=["http://x", "ftp://x"]), 'urls[1]: Expected str matching regex '),
    "no host": (raw(PLAY, urls=["https://"]), 'got "https://"'),
    "space before": (raw(PLAY, urls=[" http://x"]), 'got " http://x"'),
    "url of 2049": (raw(PLAY, urls=["http://" + "é" * 2042]), "urls[0]: Expected str of length <= 2048, got"),
    "name of 1025": (raw(CREATE, name="😀" * 1025), 'name: Expected str of length <= 1024, got "😀'),
    "media url of 2049": (raw(FINISHED, url="é" * 2049), 'url: Expected str of length <= 2048, got "é'),
    "url of 2049 in progress": (raw(PROGRESS, url="x" * 2049), 'url: Expected str of length <= 2048, got "x'),
    "media url of 2049 in a list": (raw(FAILED, urls=["x", "x" * 2049]), 'urls[1]: Expected str of length <= 2048, got "x'),
    "129 media urls": (raw(FAILED, urls=["x"] * 129), 'urls: Expected array of length <= 128, got ["x"'),
    "129 long media urls": (raw(FAILED, urls=["x" * 600] * 129), "urls: Expected array of length <= 128, got more"),
    "url is a number": (raw(PLAY, urls=[1]), "urls[0]: Expected str, got int"),
    "empty optional id": (raw(FAILED, operation_id=""), 'operation_id: Expected str of length >= 1, got ""'),
    "array": (b"[]", "Expected object, got array"),
    "two objects": (raw(VOLUME) * 2, "no JSON object (RFC 8259)"),
    "cut": (raw(VOLUME)[:-1], "no JSON object (RFC 8259): Input data was truncated"),
    "line end in a string": (raw(VOLUME).replace(b'"s"', b'"a\nb"'), "no JSON object (RFC 8259)"),
    "not UTF-8": (raw(VOLUME).replace(b'"s"', b'"\xff"'), "the text is not UTF-8: invalid start byte at byte 44"),
    "not UTF-8 in an unknown key": (raw(VOLUME)[:-1] + b',"\xff":1}', "the text is not UTF-8"),
    "surrogate in UTF-8": (raw(VOLUME, signal_id="\ud800"), "the text is not UTF-8"),
    "lone surrogate": (raw(VOLUME).replace(b'"s"', b'"\\ud800"'), "the text holds a lone surrogate"),
    "lone low surrogate": (raw(VOLUME).replace(b'"s"', b'"\\uDC00x"'), "the text holds a lone surrogate"),
    "two faults": (b'{"type":"conference.volume","volume":"x" garbage', "volume: Expected int, got str"),
    "a fault, then no JSON": (b'{"type":"conference.volume","volume":2147483648 garbage', "volume: Expected int <= 2147483647, got"),
    "a fault, then another": (
        b'{"type":"conference.play","urls":["http://a","b"],"urls":[]}',
        "urls[1]: Expected str matching regex '^[Hh][Tt][Tt][Pp][Ss]?://[\\\\s\\\\S]', got something else",
    ),
    "time is a number": (raw(VOLUME, occurred_at=1767225600), "occurred_at: Expected an RFC 3339 time, got int"),
    "time is null": (raw(VOLUME, occurred_at=None), "occurred_at: Expected an RFC 3339 time, got null"),
    "time with a path": (raw(VOLUME, occurred_at="x - at `$.y"), "occurred_at: Expected an RFC 3339 time with an offset, got 'x - at $.y'"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), INVALID.values(), ids=INVALID)
def test_invalid_json_is_explained(value: bytes, expected: str) -> None:
    with pytest.raises(SignalError) as caught:
        decode_json(value)
    text = str(caught.value)
    assert expected in text
    assert text.isprintable()
    assert len(text) < 400


VALID: dict[str, bytes] = {
    "64 levels": with_unknown(b"[" * 64 + b"]" * 64),
    "unknown fields": with_unknown(b'{"a":[null,true,1e999,"\\u0000"]}'),
    "a huge unknown number": with_unknown(b"9" * 5000),
    "a repeated key": with_unknown(b'1,"volume":2'),
    "-0": volume("-0"),
    "space around": b" \t\r\n" + raw(VOLUME) + b" \r\n",
    "lowest": volume("-2147483648"),
    "id of 255 beyond the BMP": raw(VOLUME, signal_id="😀" * 255, room_id="\x7f", operation_id=" "),
    "escapes": raw(VOLUME).replace(b'"s"', b'"\\u0000\\ud83d\\ude00\\/"'),
    "null reason": raw(LEFT, reason=None),
    "empty reason": raw(LEFT, reason=""),
    "null operation_id": raw(FAILED, operation_id=None, urls=["", "/x" * 1024]),
    "128 urls of 2048": raw(FAILED, urls=["😀" * 2048] * 128),
    "url of 2048": raw(FINISHED, url="é" * 2048),
    "name of 1024": raw(CREATE, name="😀" * 1024),
    "caller_id of 1025": raw(JOINED, caller_id="é" * 1025),
    "reason of 900 kB": raw(LEFT, reason="x" * 900_000),
    "HTTP": raw(PLAY, urls=["HTTP://\n", "hTTps://é", "http://" + "😀" * 2041] * 42),
}


@pytest.mark.parametrize("value", VALID.values(), ids=VALID)
def test_valid_json_round_trips(value: bytes) -> None:
    signal = decode_json(value)
    assert decode_json(signal_json(signal)) == signal


def test_missing_optional_fields_take_their_defaults() -> None:
    assert decode_json(raw(JOINED)) == signals.MemberJoined("s", "r", 1_767_225_600_000_000, "a", "", False)
    assert decode_json(raw(LEFT)) == signals.MemberLeft("s", "r", 1_767_225_600_000_000, "a", None)
    assert decode_json(raw(FAILED)) == signals.PlayFailed("s", "r", 1_767_225_600_000_000, None, ())


def fault(value: bytes) -> str:
    """Return the error of `value`, "" for a signal."""
    try:
        decode_json(value)
    except SignalError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists), st.data())
def test_any_value_in_any_field_decodes_or_is_explained(value: Any, data: Any) -> None:
    signal = data.draw(st.sampled_from([VOLUME, PLAY, LEFT, FAILED, JOINED]))
    field = data.draw(st.sampled_from(sorted({*signal, "muted", "reason", "url"})))
    text = json.dumps({**signal, field: value}).encode()
    assert fault(text).isprintable()


MIB = 1 << 20
HOSTILE = {
    "open arrays": b'{"x":' + b"[" * (MIB - 5),
    "an id": raw(VOLUME, signal_id="x" * (MIB - 200)),
    "escaped emoji": json.dumps({**VOLUME, "signal_id": "😀" * 87_000}).encode(),
    "a type": raw(VOLUME, type="ab" * 500_000),
    "a time": raw(VOLUME, occurred_at="2026-01-01T00:00:00." + "9" * (MIB - 300)),
    "a time of arrays": raw(VOLUME, occurred_at=[[]] * 200_000),
    "a number": volume("9" * (MIB - 200)),
    "urls": raw(PLAY, urls=["http://a"] * 80_000),
    "bad urls": raw(PLAY, urls=["x"] * 200_000),
    "keys": b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
    "nothing but keys before a fault": raw({**{str(n): [] for n in range(70_000)}, **VOLUME}, volume=2**31),
}  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_fails_quickly(value: bytes) -> None:
    assert len(value) <= MAX_VALUE
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        with pytest.raises(SignalError) as caught:
            decode_json(value)
        best = min(best, time.process_time() - began)
    assert len(str(caught.value)) < 400
    assert best < 0.03  # takes about 5 ms; the bound allows for a busy machine


def test_deep_nesting_is_ignored_or_explained() -> None:
    for depth in (1_000, 100_000):
        for pair in ((b"[", b"]"), (b'{"a":', b"}")):
            deep = with_unknown(pair[0] * depth + b"1" + pair[1] * depth)
            # contract §4 allows both results
            assert fault(deep) in {"", "the JSON is nested too deeply: expected at most 64 levels"}


# --- events ---


@settings(deadline=None)
@given(st.text(), st.integers(FIRST_TIME, LAST_TIME), st.none() | st.text(), st.booleans())
def test_an_event_is_one_compact_line(text: str, time: int, playback: str | None, flag: bool) -> None:
    meta = events.Meta(text, 7, time, text, text, playback, flag, not flag)
    event = events.PlayFailed(text, text, (text, ',"occurred_at":1,'), f',"occurred_at":{time},', meta)
    fields = {
        "room_id": text,
        "operation_id": text,
        "urls": [text, ',"occurred_at":1,'],
        "error": event.error,
    }
    written = {
        "event_id": text,
        "sequence": 7,
        "occurred_at": format_time(time),
        "app_id": text,
        "cause": text,
    }
    written |= {"playback_id": playback, "ends_playback": flag, "synthetic": not flag}
    wanted = {"event": "conference.play.failed", **fields, "meta": written}
    assert event_json(event) == json.dumps(wanted, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("micros", [FIRST_TIME - 1, LAST_TIME + 1, -(2**63), 2**63 - 1])
def test_an_event_outside_years_1_to_9999_is_an_error(micros: int) -> None:
    event = events.MemberMuted("s", "r", "c", events.Meta("e", 1, micros, "a", "c", None, False, False))
    expected = rf"^meta\.occurred_at: expected a time in the years 1 to 9999, found {micros}$"
    with pytest.raises(SignalError, match=expected):
        event_json(event)
