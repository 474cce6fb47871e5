"""Records of other schema versions, and bytes that mean harm to a reader that believes a writer's schema."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import fastavro
import pytest

from pipeline.errors import SignalError
from pipeline.model import records, signal_ids, signals
from pipeline.model.avro import long
from pipeline.model.codec import decoder
from pipeline.model.decoders import SignalDecoder
from pipeline.model.schema_resolution import resolving
from pipeline.model.wire import SCHEMAS

NAME = "conference.signal.MemberJoined"
HEAD = b"\0\0\0\0\1"
NOW = 1_767_225_600_000_000
FIELDS = {
    "signal_id": "s",
    "room_id": "r",
    "occurred_at": NOW,
    "session_uuid": "a",
    "caller_id": "+1",
    "muted": True,
}
JOINED = signals.MemberJoined("s", "r", NOW, "a", "+1", True)


def schema(name: str = NAME) -> Any:
    return json.loads(SCHEMAS[name])


def changed(name: str = NAME, *, without: tuple[str, ...] = (), extra: tuple[Any, ...] = ()) -> Any:
    writer = schema(name)
    writer["fields"] = [*extra, *(field for field in writer["fields"] if field["name"] not in without)]
    return writer


def written(writer: Any, **fields: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(writer, _write_hint=False), {**FIELDS, **fields})
    return HEAD + out.getvalue()


def read(writer: Any, value: bytes) -> Any:
    signal_decoder = SignalDecoder()
    signal_decoder.learn(1, json.dumps(writer))
    return signal_decoder.decode(value)


COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "double"}]}
EXTRAS: dict[str, tuple[Any, Any]] = {
    "string": ("string", "é"),
    "bytes": ("bytes", b"\xff"),
    "fixed": ({"type": "fixed", "name": "Four", "size": 4}, b"1234"),
    "enum": (COLOUR, "BLUE"),
    "enum twice": ({"type": "record", "name": "Two", "fields": [{"name": "a", "type": COLOUR}, {"name": "b", "type": "Colour"}]},
                   {"a": "RED", "b": "BLUE"}),
    "union": (["null", "int", POINT], {"x": 1.5}),
    "map": ({"type": "map", "values": "long"}, {"a": -1, "b": 2**62}),
    "array": ({"type": "array", "items": POINT}, [{"x": 0.0}] * 3),
    "float": ("float", 0.5),
    "boolean": ("boolean", False),
    "null": ("null", None),
    "recursive": ({"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}, {"next": {"next": None}}),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), EXTRAS.values(), ids=EXTRAS)
def test_a_field_that_we_do_not_know_is_read_over(kind: Any, value: Any) -> None:
    writer = changed(extra=({"name": "extra", "type": kind},))
    assert read(writer, written(writer, extra=value)) == JOINED


def test_a_field_that_the_writer_does_not_know_takes_our_default() -> None:
    writer = changed(without=("muted",))
    assert read(writer, written(writer)) == signals.MemberJoined("s", "r", NOW, "a", "+1", False)
    old = changed("conference.Room", without=("recent", "urls", "deadline"))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old, {"room_id": "r", "sequence": 3})
    row = decoder(1, json.dumps(old), {"conference.Room": records.Room})(HEAD + out.getvalue())
    assert row == records.Room("r", sequence=3)


@pytest.mark.parametrize("remembered", [(), ("a",), ("a", "é" * 100, "c")])
def test_remembered_ids_of_another_schema_are_kept_as_ours_are(remembered: tuple[str, ...]) -> None:
    old = changed("conference.Room", without=("urls",))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old, {"room_id": "r", "sequence": 3, "recent": remembered})
    row = decoder(1, json.dumps(old), {"conference.Room": records.Room})(HEAD + out.getvalue())
    assert row == records.Room("r", sequence=3, recent=signal_ids.of(remembered))


def test_remembered_ids_that_are_no_strings_are_refused() -> None:
    odd = changed(
        "conference.Room",
        without=("recent",),
        extra=({"name": "recent", "type": {"type": "array", "items": "int"}},),
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, odd, {"room_id": "r", "recent": [1]})
    with pytest.raises(SignalError, match="recent"):
        decoder(1, json.dumps(odd), {"conference.Room": records.Room})(HEAD + out.getvalue())


def test_fields_in_another_order_and_times_as_plain_longs() -> None:
    writer = schema()
    writer["fields"].reverse()
    for field in writer["fields"]:
        if field["name"] == "occurred_at":
            field["type"] = "long"
    assert read(writer, written(writer)) == JOINED


def test_docs_and_rules_do_not_make_another_schema() -> None:
    writer = schema()
    for field in writer["fields"]:
        field.pop("doc"), field.pop("maxLength", None)
    writer["name"], writer["namespace"] = NAME, ""
    assert read(writer, written(writer)) == JOINED


EXTRA = {"name": "extra", "type": "int"}
BAD: dict[str, tuple[Any, Any, str]] = {
    "no session": (changed(without=("session_uuid",)), {}, "Object missing required field session_uuid"),
    "empty id": (changed(extra=(EXTRA,)), {"extra": 1, "room_id": ""}, "field room_id: Expected str of length >= 1, got ''"),
    "id of 256": (changed(extra=(EXTRA,)), {"extra": 1, "room_id": "x" * 256}, "field room_id: Expected str of length <= 255, got 'xx"),
    "before the year 1": (changed(extra=(EXTRA,)), {"extra": 1, "occurred_at": -(2**60)}, "occurred_at: Expected a time in the years 1 to 9999, got -1152921504606846976"),
}  # fmt: skip


@pytest.mark.parametrize(("writer", "fields", "expected"), BAD.values(), ids=BAD)
def test_our_rules_hold_for_other_versions(writer: Any, fields: Any, expected: str) -> None:
    with pytest.raises(SignalError) as caught:
        read(writer, written(writer, **fields))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{NAME}: ")


def test_urls_of_other_versions_are_checked_too() -> None:
    writer = changed("conference.signal.ConferencePlay", extra=(EXTRA,))
    play = {"extra": 1, "urls": ["http://x", "ftp://x"], "operation_id": "o"}
    with pytest.raises(SignalError, match=r"field urls\[1\]: Expected str matching regex .*, got 'ftp://x'$"):
        read(writer, written(writer, **play))
    fine = {**play, "urls": ["http://x"]}
    assert read(writer, written(writer, **fine)) == signals.ConferencePlay("s", "r", NOW, ("http://x",), "o")


def one(kind: Any) -> Any:
    """A writer's schema whose first field is of `kind`."""
    return {**schema(), "fields": [{"name": "x", "type": kind}]}


NULLS = {"type": "array", "items": "null"}
DEEP = {"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "nothing": (one("string"), b"", "field x: expected 1 bytes, 0 are left"),
    "a long string": (one("string"), long(2**40), "expected 1099511627776 bytes, 0 are left"),
    "a negative length": (one("bytes"), long(-5), "expected -5 bytes"),
    "a huge fixed": (one({"type": "fixed", "name": "F", "size": 2**40}), b"", "0 are left"),
    "not UTF-8": (one("string"), b"\x02\xff", "can't decode byte 0xff"),
    "11 bytes": (one("long"), b"\x80" * 11, "found more than 10 bytes"),
    "65 bits": (one("long"), b"\xff" * 9 + b"\x7f", "expected a number of 64 bits"),
    "33 bits": (one("int"), long(2**31), "expected a number of 32 bits, found 2147483648"),
    "boolean 2": (one("boolean"), b"\x02", "expected a boolean (0 or 1), found 2"),
    "branch 2": (one(["null", "int"]), b"\x04", "expected a branch of 0 to 1, found 2"),
    "symbol 2": (one(COLOUR), b"\x04", "expected a symbol of 0 to 1, found 2"),
    "half a float": (one("float"), b"\0\0", "expected 4 bytes, 2 are left"),
    "2**60 items": (one(NULLS), long(2**60), "expected items, found a count of 1152921504606846976"),
    "items of no bytes": (one(NULLS), long(10**6) * 250_000, "expected items, found a count of 1000000"),
    "empty records": (one({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}), long(-(2**20)) + long(9), "expected items"),
    "deep": (one(DEEP), b"\x02" * (1 << 20), "the value is nested too deeply"),
    "trailing": (one("null"), b"\0", "1 bytes behind the end of the record"),
    "an unknown type": (one("Elsewhere"), b"", "the writer's schema has a type 'Elsewhere' that is not known"),
}  # fmt: skip


@pytest.mark.parametrize(("writer", "data", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes(writer: Any, data: bytes, expected: str) -> None:
    began = time.process_time()
    with pytest.raises(SignalError) as caught:
        resolving(writer, signals.MemberJoined)(HEAD + data)
    assert time.process_time() - began < 2
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
