"""Parsing any value of up to 1 MiB takes at most 10 ms of CPU."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines.freeswitch.adapter import MAX_KINDS, OTHER_KINDS, Adapter, EventReader, read_event
from pipeline.engines.freeswitch.adapter.rooms import MAX_MEMBERS
from pipeline.errors import SignalError
from pipeline.model.avro import long
from pipeline.model.avro_reader import MAX_VALUES
from pipeline.model.codec import MAX_URLS, decode_json
from pipeline.model.schema_resolution import MAX_SCHEMA, decoder, resolving
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from tests.fuzz import hostile
from tests.fuzz.hostile import Value
from tests.support.slowness import slowness
from tests.support.untraced import untraced

NUMBERS = itertools.count(7)
HEAD = b"\0\0\0\0\1"
CLASSES: dict[str, Any] = {signal.RECORD.rpartition(".")[2]: signal for signal in SIGNALS}
KNOWN: dict[str, Any] = {signal.RECORD: signal for signal in SIGNALS}
MOST = 0.01
"""Bound in CPU seconds. The most expensive values take up to 8 ms on a machine of 2020, most take 2."""


def costs_little(read: Callable[[bytes], object], value: bytes) -> None:
    """Assert that `read` is quick and gives a value or a one-line SignalError; the best of 20 attempts counts."""
    assert len(value) <= hostile.MIB
    best, text = 1.0, ""
    for _ in range(20):
        with untraced():
            slow = slowness()
            began = time.thread_time()
            try:
                read(value)
            except SignalError as error:
                text = str(error)
            best = min(best, (time.thread_time() - began) / slow)
        assert len(text) < 400
        assert text.isprintable()
        if best <= MOST / 2:
            return
    assert best <= MOST


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in hostile.json_values()])
def test_hostile_json_costs_little(value: Value) -> None:
    costs_little(decode_json, value())


@pytest.mark.parametrize(("record", "body"), [pytest.param(*rest, id=name) for name, *rest in hostile.avro_values()])
def test_hostile_avro_costs_little(record: str, body: Value) -> None:
    costs_little(decoder(1, SCHEMAS[f"conference.signal.{record}"], KNOWN), HEAD + body())


@pytest.mark.parametrize(
    ("record", "schema", "body"), [pytest.param(*rest, id=name) for name, *rest in hostile.foreign_values()]
)
def test_hostile_avro_of_another_writer_costs_little(record: str, schema: Any, body: Value) -> None:
    costs_little(resolving(schema, CLASSES[record]), HEAD + body())


@pytest.mark.parametrize("line", [pytest.param(value, id=name) for name, value in hostile.engine_events()])
def test_hostile_engine_event_costs_little(line: Value) -> None:
    adapter = Adapter([("/a", "http://x"), ("/", "http://y/")])
    costs_little(lambda line: adapter.feed(read_event(line)), line())


@pytest.mark.parametrize("name", ["objects in File", "deep arrays in File", "empty strings in x", "repeated headers"])
def test_hostile_engine_event_in_an_array_costs_little(name: str) -> None:
    """Its brackets and strings are searched: 0.5 s for 1 MiB of brackets. Only a recording can be so expensive."""
    line = dict(hostile.engine_events())[name]
    text = b"[" + line()[: hostile.MIB - 2] + b"]"
    with untraced():
        began = time.thread_time()
        reader = EventReader()
        assert [*reader.push(text), *reader.end()]
        assert time.thread_time() - began < 2 * slowness()


# --- the bounds ---


def failed(urls: int, size: int = 1, /, **more: Any) -> bytes:
    fields = {"signal_id": "s", "room_id": "r", "occurred_at": "2026-01-01T00:00:00Z"}
    return json.dumps({"type": "play.failed", **fields, "urls": ["x" * size] * urls} | more).encode()


@pytest.mark.parametrize("size", [1, 500])
def test_play_failed_has_at_most_128_urls(size: int) -> None:
    assert len(decode_json(failed(MAX_URLS, size)).urls) == MAX_URLS  # type: ignore[union-attr]
    with pytest.raises(SignalError, match=r"^urls: Expected array of length <= 128, got "):
        decode_json(failed(MAX_URLS + 1, size))
    schema = json.loads(SCHEMAS["conference.signal.PlayFailed"])
    (field,) = (field for field in schema["fields"] if field["name"] == "urls")
    assert field["maxItems"] == MAX_URLS


def test_long_values_follow_the_same_rules_as_short_ones() -> None:
    padding = {"x": "x" * 70_000}
    assert decode_json(failed(2, **padding)) == decode_json(failed(2))
    other = {"type": "member.left", "session_uuid": "a", "volume": [1], "muted": None}
    assert decode_json(failed(5000, 20, **other)) == decode_json(failed(5000, **other))  # member.left has no urls
    faults: tuple[dict[str, Any], ...] = (
        {"type": "play"}, {"type": 5}, {"type": None}, {"type": "x" * 5000}, {"urls": {}}, {"urls": [None]}, {"urls": 7},
        {"room_id": ""}, {"room_id": [["r"]]}, {"occurred_at": []}, {"occurred_at": {"a": 1}}, {"occurred_at": 7},
        {"operation_id": 1.5}, {"type": "conference.play", "urls": ["http://x"] * (MAX_URLS + 1), "operation_id": "o"},
    )  # fmt: skip
    for fault in faults:
        texts = []
        for value in (failed(0, **fault), failed(0, **fault, **padding)):
            with pytest.raises(SignalError) as caught:
                decode_json(value)
            texts.append(str(caught.value).partition(", got ")[0])
        assert texts[0] == texts[1]
    with pytest.raises(SignalError, match='room_id: Expected str of length <= 255, got "aaa'):
        decode_json(failed(0, room_id="a" * 70_000))
    assert decode_json(failed(0, room_id="\U0001f600" * 255, **padding)).room_id == "\U0001f600" * 255


def test_last_value_of_a_repeated_key_counts() -> None:
    again = b',"room_id":"z"' * 6_000
    assert decode_json(failed(1)[:-1] + again[:14] + b"}").room_id == "z"
    assert decode_json(failed(1)[:-1] + again + b"}").room_id == "z"


def test_record_of_another_writer_has_at_most_2048_values() -> None:
    schema = json.loads(SCHEMAS["conference.signal.MemberMuted"])
    schema["fields"].append({"name": "x", "type": {"type": "array", "items": "boolean"}})
    read = resolving(schema, CLASSES["MemberMuted"])
    count = MAX_VALUES - 6  # the record, its four fields, the array
    body = HEAD + hostile.FOUR + b"\2a" + long(count) + b"\0" * count + b"\0"
    assert read(body).session_uuid == "a"
    body = HEAD + hostile.FOUR + b"\2a" + long(count + 1) + b"\0" * (count + 2)
    with pytest.raises(SignalError, match="field x: expected at most 2048 values in a record, found more"):
        read(body)


NO_SCHEMAS: tuple[Any, ...] = (
    {"type": {"type": "fixed", "name": "F", "size": "1"}}, {"type": {"type": "enum", "name": "E", "symbols": 5}},
    {"type": {"type": "record", "name": "R"}}, {"type": {"type": "array"}}, {"type": 7}, {"type": [7]}, {},
)  # fmt: skip


@pytest.mark.parametrize("kind", NO_SCHEMAS, ids=str)
def test_invalid_schema_from_the_registry_is_a_signal_error(kind: Any) -> None:
    schema = hostile._first("null")
    schema["fields"][0] = {"name": "x", **kind}
    with pytest.raises(SignalError):
        decoder(1, json.dumps(schema), KNOWN)(HEAD + b"\2" * 100)


def test_unparsable_deep_or_long_schema_is_a_signal_error() -> None:
    large = json.dumps({**hostile._first("null"), "doc": "x" * MAX_SCHEMA})
    with pytest.raises(SignalError, match=r"^schema id 7: a schema of 13.... characters, more than 131072$"):
        decoder(7, large, KNOWN)(HEAD)
    deep = b"[" * 100_000
    for text, reason in (
        ("syntax = proto3;", "can't be read"),
        (deep.decode(), "can't be read"),
        ("[]", "no record"),
    ):
        with pytest.raises(SignalError, match=reason):
            decoder(7, text, KNOWN)(HEAD)
    nested: Any = "int"
    for _ in range(400):
        nested = {"type": "array", "items": nested}
    with pytest.raises(SignalError):
        decoder(7, json.dumps(hostile._first(nested)), KNOWN)(HEAD + b"\2" * 500)


def member(action: str, unique_id: str, **more: str) -> dict[str, str]:
    return {
        "Event-Name": "CUSTOM", "Event-Subclass": "conference::maintenance", "Core-UUID": "core",
        "FreeSWITCH-Switchname": "sw", "Event-Date-Timestamp": "1795354386106600", "Event-Sequence": str(next(NUMBERS)),
        "Conference-Name": "room", "Action": action, "Unique-ID": unique_id, **more,
    }  # fmt: skip


def test_adapter_drops_the_oldest_members_when_ends_are_lost() -> None:
    adapter = Adapter()
    members, removing = adapter._rooms._room_of, adapter._rooms._removing
    for action, held in (("add-member", members), ("kick-member", removing)):
        for number in range(MAX_MEMBERS):
            adapter.feed(member(action, str(number)))
        adapter.feed(member(action, "0"))  # seen again: no longer the oldest
        adapter.feed(member(action, "new"))
        assert len(held) == MAX_MEMBERS
        assert {"sw-0", "sw-2", "sw-new"} <= held.keys()
        assert "sw-1" not in held
    with untraced():
        began = time.thread_time()
        gone = adapter.feed(member("conference-destroy", "x")).signals
        took = time.thread_time() - began
    assert len(gone) == MAX_MEMBERS
    assert took < MAX_MEMBERS * 20e-6 * slowness()
    assert not members
    assert not removing


def test_adapter_counts_a_bounded_number_of_event_kinds() -> None:
    adapter = Adapter()
    for number in range(MAX_KINDS + 5):
        adapter.feed({"Event-Name": f"kind {number}"})
    adapter.feed({"Event-Name": "kind 1"})
    assert (adapter.counts[OTHER_KINDS], adapter.counts["kind 1"]) == (5, 2)
    assert len(adapter.counts) == MAX_KINDS + 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b" [1]", "expected a JSON object, got an array"), (b'"x"', "got a string"), (b"1", "got a number"),
        (b"null", "got null"), (b"true", "got a boolean"), (b'{"a":x}', "not a JSON object: "), (b"", "not a JSON object: "),
        (b"{" + b" " * hostile.MIB + b"}", "the event has 1048578 bytes, more than 1048576"),
    ],
)  # fmt: skip
def test_invalid_engine_event_is_a_signal_error(line: bytes, reason: str) -> None:
    with pytest.raises(SignalError, match=reason):
        read_event(line)


def test_only_known_event_headers_are_parsed() -> None:
    line = b'{"File":["a"],"api":null,"Speak":{"a":1},"Action":1.5,"Error":false,"x":"y","Unique-ID":"\\u00e9"}'
    found: dict[str, object] = {
        "File": [],
        "api": None,
        "Speak": {},
        "Action": 0,
        "Error": False,
        "Unique-ID": "é",
    }
    assert read_event(line) == found
