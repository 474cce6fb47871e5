"""The forms in which events are read."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engines.freeswitch.adapter import EventReader
from pipeline.engines.freeswitch.adapter.event_reader import FORMS, Found
from pipeline.engines.freeswitch.adapter.headers import HEADERS, MAX_EVENT
from pipeline.errors import SignalError
from tests.support.freeswitch import captured, event, member

EVENTS = captured("freeswitch-rules.jsonl")[:12]
LINE = json.dumps(member("add-member", Event_Sequence="1")).encode()


def read(data: bytes, chunk: int = 1 << 16) -> list[Found]:
    reader = EventReader()
    found = [one for start in range(0, len(data), chunk) for one in reader.push(data[start : start + chunk])]
    return [*found, *reader.end()]


def events(found: list[Found]) -> list[Any]:
    return [headers for _, headers in found]


def used(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name in HEADERS}


def plain(one: dict[str, Any], *, encoded: bool) -> bytes:
    from urllib.parse import quote

    return "".join(f"{name}: {quote(value) if encoded else value}\n" for name, value in one.items()).encode() + b"\n"


def socket_frame(kind: str, body: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-%b\n\n%b" % (len(body), kind.encode(), body)


def respelled(one: dict[str, Any], case: Any) -> bytes:
    return json.dumps({case(name): value for name, value in one.items()}).encode()


def go_case(name: str) -> str:
    return "-".join(map(str.capitalize, name.split("-")))


def enveloped(one: dict[str, Any], field: str = "payload", **rest: Any) -> bytes:
    return json.dumps({"topic": "fs", "partition": 0, "key": None, **rest, field: json.dumps(one)}).encode()


LINES = [json.dumps(one).encode() for one in EVENTS]
FORM_TEXTS = {
    "lines": b"\n".join(LINES),
    "lines with CR": b"\r\n".join(LINES) + b"\r\n\r\n",
    "BOM": b"\xef\xbb\xbf" + b"\n".join(LINES),
    "BOM of each file": b"".join(b"\xef\xbb\xbf" + line + b"\n" for line in LINES),
    "several in a line": b"".join(LINES),
    "array in a line": json.dumps(EVENTS).encode(),
    "array of lines": b"[\n" + b",\n".join(LINES) + b"\n]\n",
    "pretty array": json.dumps(EVENTS, indent=2).encode(),
    "pretty": "\n".join(json.dumps(one, indent=4) for one in EVENTS).encode(),
    "Go": b"\n".join(respelled(one, go_case) for one in EVENTS),
    "lower case": b"\n".join(respelled(one, str.lower) for one in EVENTS),
    "upper case": b"\n".join(respelled(one, str.upper) for one in EVENTS),
    "kcat -J": b"\n".join(enveloped(one, tstype="create", ts=1) for one in EVENTS),
    "rpk": b"\n".join(enveloped(one, "value", offset=1) for one in EVENTS),
    "kcat -J, plain": b"\n".join(
        json.dumps({"topic": "fs", "payload": plain(one, encoded=True).decode()}).encode() for one in EVENTS
    ),
    "plain": b"".join(plain(one, encoded=True) for one in EVENTS),
    "fs_cli": b"".join(b"RECV EVENT\n" + plain(one, encoded=False) for one in EVENTS),
    "socket, plain": b"".join(socket_frame("plain", plain(one, encoded=True)) for one in EVENTS),
    "socket, JSON": b"".join(socket_frame("json", line) for line in LINES),
}


@pytest.mark.parametrize("form", FORM_TEXTS)
@pytest.mark.parametrize("chunk", [7, 1 << 16])
def test_each_form_gives_the_events(form: str, chunk: int) -> None:
    assert events(read(FORM_TEXTS[form], chunk)) == [used(one) for one in EVENTS]


@pytest.mark.parametrize("form", FORM_TEXTS)
def test_form_may_follow_another(form: str) -> None:
    found = events(read(LINE + b"\n" + FORM_TEXTS[form] + b"\n\n" + LINE))
    assert found == [json.loads(LINE), *(used(one) for one in EVENTS), json.loads(LINE)]


def test_array_in_a_line_may_be_longer_than_a_line() -> None:
    many = EVENTS * 700
    data = json.dumps(many).encode()
    assert len(data) > 3 << 20
    assert events(read(data, 10_007)) == [used(one) for one in many]


def test_body_of_a_plain_event_is_skipped() -> None:
    body = b"+OK\nEvent-Name: FAKE\n"
    job = b"Event-Name: BACKGROUND_JOB\nContent-Length: %d\n\n%b" % (len(body), body)
    found = events(read(job + plain(EVENTS[0], encoded=True)))
    assert [one["Event-Name"] for one in found] == ["BACKGROUND_JOB", "CUSTOM"]


@pytest.mark.parametrize(
    "frame",
    [
        b"Content-Type: auth/request\n\n",
        b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n",
        b"Content-Type: api/response\nContent-Length: 9\n\n{not:json",
        b"Content-Type: text/disconnect-notice\nContent-Length: 21\n\nDisconnected, goodbye",
    ],
)
def test_other_frames_of_the_event_socket_are_skipped(frame: bytes) -> None:
    assert events(read(frame + socket_frame("json", LINE))) == [json.loads(LINE)]


def test_percent_sign_without_two_digits_stays() -> None:
    one = event("play-file", File="tone_stream://%(500,0,440)")
    assert events(read(plain(one, encoded=False))) == [one]


@pytest.mark.parametrize("header", ["Caller-Caller-ID-Name", "variable_x", "_body"])
def test_bytes_of_unused_headers_are_ignored(header: str) -> None:
    for text in (b"Jos\xe9 \xed\xa0\x80\xff", b"\\ud800 \\ud800\\ud83d\\ude00", b"\\ude00", b"\x00\x1b\t\x85"):
        line = LINE[:-1] + b', "%b": "%b"}' % (header.encode(), text)
        assert events(read(line)) == [json.loads(LINE)]


def test_invalid_bytes_of_used_headers_are_replaced() -> None:
    for text in (b"Jos\xe9", b"Jos\\ud800", b"Jos\\udc00"):
        line = LINE[:-1] + b', "Caller-Caller-ID-Number": "%b"}' % text
        assert events(read(line))[0]["Caller-Caller-ID-Number"] == "Jos\ufffd"
    assert events(read(b"Event-Name: CUSTOM\nFile: /Jos\xe9 Jos%E9\n\n"))[0]["File"] == "/Jos\ufffd Jos\ufffd"


@pytest.mark.parametrize(
    ("data", "line", "error"),
    [
        (b"hello", 1, f"no event: expected {FORMS}; got hello"),
        (b"\n\n\x1b[31m\xff", 3, f"no event: expected {FORMS}; got  [31m\ufffd"),
        (b"INFO: started\nDEBUG: x\n\n", 1, f"no event: header Event-Name is missing; expected {FORMS}"),
        (b"[1, 2]", 1, "the JSON array holds something else than events"),
        (b'["a"]', 1, "the JSON array holds something else than events"),
        (b'{"Event-Name": "CUS', 1, "not JSON: a string does not end in its line"),
        (b'{"Event-Name": "CUSTOM",', 1, "the input ends within a JSON text"),
        (b'{"Event-Name": CUSTOM}', 1, "not JSON: text without quotes"),
        (b'{"a": [1}', 1, "not JSON: a bracket closes none"),
        (b'{"a": 1,}', 1, "not a JSON object: JSON is malformed: trailing comma in object (byte 8)"),
        (b"[" * 100, 1, "not an event: nested more than 64 deep"),
        (b'{"topic": "fs", "payload": "text"}', 1, "the record in the envelope is not an event of FreeSWITCH"),
        (b'{"topic": "fs", "payload": "[1]"}', 1, "the record in the envelope is not an event of FreeSWITCH"),
        ("\ufeff{}".encode("utf-16-le"), 1, "the input is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8"),
    ],
)
def test_error_names_the_line_and_the_remedy(data: bytes, line: int, error: str) -> None:
    [(number, found)] = read(data)
    assert isinstance(found, SignalError)
    assert (number, str(found)) == (line, error)


@pytest.mark.parametrize("cut", [20, len(LINE) // 2, LINE.index(b", ") + 1, len(LINE) - 1])
@pytest.mark.parametrize("indent", [None, 2])
def test_cut_off_event_costs_no_other(cut: int, indent: int | None) -> None:
    text = json.dumps(json.loads(LINE), indent=indent).encode()
    found = events(read(text[:cut] + b"\n" + text + b"\n" + text))
    assert [one for one in found if not isinstance(one, SignalError)] == [json.loads(LINE)] * 2


LONG = [b'{"File": "%b"}', b"%b", b'[{"File": "%b"}]', b'{"File":\n"%b"}', b"Event-Name: CUSTOM\nFile: %b\n\n"]


@pytest.mark.parametrize("form", LONG)
@pytest.mark.parametrize("size", [MAX_EVENT + 1, 5 * MAX_EVENT])
def test_event_beyond_the_bound_is_an_error(form: bytes, size: int) -> None:
    found = events(read(form % (b"x" * size) + b"\n" + LINE))
    assert [type(one) for one in found] == [SignalError, dict]
    assert found[1] == json.loads(LINE)


@pytest.mark.parametrize("unit", [b"a", b"[", b"{", b'"', b"\\", b",", b'["', b'{"a":', b"Event-Name: ", b"\xff"])
def test_endless_line_costs_bounded_memory(unit: bytes) -> None:
    reader, chunk = EventReader(), (unit * (1 << 16))[: 1 << 16]
    tracemalloc.start()
    try:
        for _ in range(400):  # 25 MB
            for found in reader.push(chunk):
                assert isinstance(found[1], SignalError)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 25 << 20
    assert json.loads(LINE) in events([*reader.push(b"\n" + LINE + b"\n"), *reader.end()])


def test_many_objects_in_a_line_cost_little() -> None:
    assert events(read(b"{}" * 100_000 + LINE)) == [{}] * 100_000 + [json.loads(LINE)]


PARTS = [*FORM_TEXTS.values(), b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b"\r", b",", b": ", b"\xff", b"\xef\xbb\xbf"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=60), max_size=12), st.integers(1, 5000))
def test_any_bytes_give_events_or_signal_errors(parts: list[bytes], chunk: int) -> None:
    data = b"".join(part[: len(part) // 2] if n % 3 == 1 else part for n, part in enumerate(parts))
    found = read(data, chunk)
    assert found == read(data, chunk + 1) or [str(one) for one in found] == [str(one) for one in read(data, chunk + 1)]
    for number, one in found:
        assert 1 <= number <= data.count(b"\n") + 1
        if isinstance(one, SignalError):
            assert len(str(one)) < 400
            assert str(one).isprintable()
