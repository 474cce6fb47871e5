"""Records written with other versions of a schema, and hostile bytes for hostile schemas."""

from __future__ import annotations

import io
import json
import re
import time
from typing import Any

import fastavro
import pytest

from pipeline.errors import SignalError
from pipeline.model import records, signal_ids, signals
from pipeline.model.avro import long
from pipeline.model.decoders import SignalDecoder
from pipeline.model.schema_resolution import decoder, is_current_schema, resolving
from pipeline.model.times import FIRST_TIME, LAST_TIME
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
def test_an_extra_field_is_dropped(kind: Any, value: Any) -> None:
    writer = changed(extra=({"name": "extra", "type": kind},))
    assert read(writer, written(writer, extra=value)) == JOINED


def test_a_missing_field_takes_its_default() -> None:
    writer = changed(without=("muted",))
    assert read(writer, written(writer)) == signals.MemberJoined("s", "r", NOW, "a", "+1", False)
    old = changed("conference.Room", without=("recent", "urls", "deadline"))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old, {"room_id": "r", "sequence": 3})
    row = decoder(1, json.dumps(old), {"conference.Room": records.Room})(HEAD + out.getvalue())
    assert row == records.Room("r", sequence=3)


@pytest.mark.parametrize("remembered", [(), ("a",), ("a", "é" * 100, "c")])
def test_signal_ids_are_packed_whatever_the_schema(remembered: tuple[str, ...]) -> None:
    old = changed("conference.Room", without=("urls",))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old, {"room_id": "r", "sequence": 3, "recent": remembered})
    row = decoder(1, json.dumps(old), {"conference.Room": records.Room})(HEAD + out.getvalue())
    assert row == records.Room("r", sequence=3, recent=signal_ids.of(remembered))


def test_signal_ids_that_are_not_strings_are_errors() -> None:
    odd = changed(
        "conference.Room",
        without=("recent",),
        extra=({"name": "recent", "type": {"type": "array", "items": "int"}},),
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, odd, {"room_id": "r", "recent": [1]})
    with pytest.raises(SignalError, match="recent"):
        decoder(1, json.dumps(odd), {"conference.Room": records.Room})(HEAD + out.getvalue())


def timed(kind: Any) -> Any:
    """Return the schema with a time of this type."""
    writer = schema()
    for field in writer["fields"]:
        if field["name"] == "occurred_at":
            field["type"] = kind
    return writer


def test_fields_in_another_order_are_read() -> None:
    writer = schema()
    writer["fields"].reverse()
    assert read(writer, written(writer)) == JOINED


def time_of(unit: str, base: str = "long") -> Any:
    return {"type": base, "logicalType": unit}


MICROS, MILLIS, NANOS = (time_of(f"timestamp-{unit}") for unit in ("micros", "millis", "nanos"))
TIMES: dict[str, tuple[Any, int, int]] = {
    "micros": (MICROS, NOW, NOW),
    "millis": (MILLIS, NOW // 1000, NOW),
    "nanos": (NANOS, NOW * 1000 + 999, NOW),
    "millis before 1970": (MILLIS, -1, -1000),
    "nanos before 1970": (NANOS, -1, -1),
    "the first microsecond of the year 1": (MICROS, FIRST_TIME, FIRST_TIME),
    "the first millisecond of the year 1": (MILLIS, FIRST_TIME // 1000, FIRST_TIME),
    "the last millisecond of the year 9999": (MILLIS, LAST_TIME // 1000, LAST_TIME - 999),
    "the first nanosecond": (NANOS, -(2**63), -(2**63) // 1000),
    "the last nanosecond": (NANOS, 2**63 - 1, (2**63 - 1) // 1000),
    "a branch of a union": (["null", MILLIS], NOW // 1000, NOW),
    "one branch of two times": ([MILLIS, "null"], NOW // 1000, NOW),
    "with another attribute": ({**MILLIS, "x": 1}, NOW // 1000, NOW),
}


def encoded_time(writer: Any, value: int) -> bytes:
    """Encode the signal with this number as its time, whatever the unit."""
    plain = json.loads(json.dumps(writer).replace('"logicalType"', '"x-logicalType"'))
    return written(plain, occurred_at=value)


@pytest.mark.parametrize(("kind", "value", "expected"), TIMES.values(), ids=TIMES)
def test_a_time_has_the_unit_of_its_writer(kind: Any, value: int, expected: int) -> None:
    writer = timed(kind)
    found = read(writer, encoded_time(writer, value))
    assert found == signals.MemberJoined("s", "r", expected, "a", "+1", True)


NO_TIMES: dict[str, tuple[Any, int, str]] = {
    "a plain long": ("long", NOW, "Expected a long with the logicalType timestamp-millis, -micros or -nanos, got"),
    "a plain int": ("int", 5, "Expected a long with the logicalType"),
    "an int of seconds": (time_of("timestamp-millis", "int"), 5, "Expected a long with the logicalType"),
    "a local time": (time_of("local-timestamp-micros"), NOW, "Expected a long with the logicalType"),
    "a time of the day": (time_of("time-micros"), 5, "Expected a long with the logicalType"),
    "an unknown logical type": (time_of("timestamp-seconds"), 5, "Expected a long with the logicalType"),
    "no logical type": ({"type": "long", "logicalType": {"x": []}}, NOW, "Expected a long with the logicalType"),
    "a null": (["null", MICROS], -1, "Expected a long with the logicalType"),
    "a long of a union": (["null", "long"], NOW, "Expected a long with the logicalType"),
    "the year 0": (MILLIS, FIRST_TIME // 1000 - 1, "Expected a time in the years 1 to 9999, got -62135596800001000"),
    "the year 10000": (MILLIS, LAST_TIME // 1000 + 1, "Expected a time in the years 1 to 9999, got 253402300800000000"),
    "the year 292277": (MILLIS, 2**63 - 1, "Expected a time in the years 1 to 9999"),
}


@pytest.mark.parametrize(("kind", "value", "expected"), NO_TIMES.values(), ids=NO_TIMES)
def test_what_is_no_time_is_an_error(kind: Any, value: int, expected: str) -> None:
    writer = timed(kind)
    is_null = isinstance(kind, list) and value == -1
    with pytest.raises(SignalError, match=rf"field occurred_at: {re.escape(expected)}"):
        read(writer, written(writer, occurred_at=None) if is_null else encoded_time(writer, value))


@pytest.mark.parametrize("unit", ["millis", "nanos", "micro"])
def test_another_unit_is_another_schema(unit: str) -> None:
    assert not is_current_schema(timed(time_of(f"timestamp-{unit}")), NAME)
    assert not is_current_schema(timed("long"), NAME)


def test_times_of_rows_have_the_unit_of_their_writer() -> None:
    old = json.loads(SCHEMAS["conference.Room"].replace("timestamp-micros", "timestamp-millis"))
    out = io.BytesIO()
    fastavro.schemaless_writer(
        out,
        json.loads(SCHEMAS["conference.Room"].replace('"logicalType":"timestamp-micros"', '"x":1')),
        {"room_id": "r", "deadline": 5, "remaining": 6},
    )
    row = decoder(1, json.dumps(old), {"conference.Room": records.Room})(HEAD + out.getvalue())
    assert row == records.Room("r", deadline=5000, remaining=6)
    assert type(row.deadline) is int


def test_other_docs_and_rules_are_the_same_schema() -> None:
    writer = schema()
    for field in writer["fields"]:
        field.pop("doc"), field.pop("maxLength", None)
    writer["name"], writer["namespace"] = NAME, ""
    assert is_current_schema(writer, NAME)
    assert read(writer, written(writer)) == JOINED


EXTRA = {"name": "extra", "type": "int"}
BAD: dict[str, tuple[Any, Any, str]] = {
    "no session": (changed(without=("session_uuid",)), {}, "Object missing required field session_uuid"),
    "empty id": (changed(extra=(EXTRA,)), {"extra": 1, "room_id": ""}, "field room_id: Expected str of length >= 1, got ''"),
    "id of 256": (changed(extra=(EXTRA,)), {"extra": 1, "room_id": "x" * 256}, "field room_id: Expected str of length <= 255, got 'xx"),
    "before the year 1": (changed(extra=(EXTRA,)), {"extra": 1, "occurred_at": -(2**60)}, "occurred_at: Expected a time in the years 1 to 9999, got -1152921504606846976"),
}  # fmt: skip


@pytest.mark.parametrize(("writer", "fields", "expected"), BAD.values(), ids=BAD)
def test_the_rules_apply_to_other_versions(writer: Any, fields: Any, expected: str) -> None:
    with pytest.raises(SignalError) as caught:
        read(writer, written(writer, **fields))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{NAME}: ")


def test_urls_of_other_versions_are_checked() -> None:
    writer = changed("conference.signal.ConferencePlay", extra=(EXTRA,))
    play = {"extra": 1, "urls": ["http://x", "ftp://x"], "operation_id": "o"}
    with pytest.raises(SignalError, match=r"field urls\[1\]: Expected str matching regex .*, got 'ftp://x'$"):
        read(writer, written(writer, **play))
    fine = {**play, "urls": ["http://x"]}
    assert read(writer, written(writer, **fine)) == signals.ConferencePlay("s", "r", NOW, ("http://x",), "o")


def one(kind: Any) -> Any:
    """Return a writer's schema whose only field is of `kind`."""
    return {**schema(), "fields": [{"name": "x", "type": kind}]}


NULLS = {"type": "array", "items": "null"}
DEEP = {"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "nothing": (one("string"), b"", "field x: expected a string, found the end of the data"),
    "a long string": (one("string"), long(2**40), "expected a string, found a length of 1099511627776, 0 bytes are left"),
    "a negative length": (one("bytes"), long(-5), "expected bytes, found a length of -5, 0 bytes are left"),
    "a huge fixed": (one({"type": "fixed", "name": "F", "size": 2**40}), b"", "field x: expected 1099511627776 bytes, found 0 bytes"),
    "not UTF-8": (one("string"), b"\x02\xff", "field x: expected a string, found bytes that are not UTF-8 (invalid start byte)"),
    "11 bytes": (one("long"), b"\x80" * 11, f"expected a long from {-(2**63)} to {2**63 - 1}, found a number of more than 10 bytes"),
    "65 bits": (one("long"), b"\xff" * 9 + b"\x7f", "field x: expected a long from -9223372036854775808 to 9223372036854775807, found a number of more than 64 bits"),
    "33 bits": (one("int"), long(2**31), "field x: expected an int from -2147483648 to 2147483647, found 2147483648"),
    "boolean 2": (one("boolean"), b"\x02", "field x: expected a boolean (byte 0 or 1), found byte 2"),
    "branch 2": (one(["null", "int"]), b"\x04", "field x: expected null or int, found branch 2"),
    "symbol 2": (one(COLOUR), b"\x04", "field x: expected a symbol from 0 to 1, found 2"),
    "half a float": (one("float"), b"\0\0", "field x: expected 4 bytes, found 2 bytes"),
    "2**60 items": (one(NULLS), long(2**60), "field x: expected a block of items, found a block of 1152921504606846976 items, more than there are bytes"),
    "items of no bytes": (one(NULLS), long(10**6) * 250_000, "expected a block of items, found a block of 1000000 items, more than there are bytes"),
    "empty records": (one({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}), long(-(2**20)) + long(9), "expected a block of items, found a block of 1048576 items, more than there are bytes"),
    "the second item": (one({"type": "array", "items": "string"}), b"\x04\x02a\x02\xff", "field x[1]: expected a string, found"),
    "an item of an item": (one({"type": "array", "items": {"type": "array", "items": POINT}}), b"\x06\x00\x00\x04" + b"\0" * 8, "field x[2][1].x: expected 8 bytes, found 0 bytes"),
    "a map's second value": (one({"type": "map", "values": "boolean"}), b"\x04\x02a\x00\x02b\x03", "field x[1]: expected a boolean (byte 0 or 1), found byte 3"),
    "a branch that is no schema": (one(["null", {"name": "x"}]), b"\x04", "field x: expected null or None, found branch 2"),
    "deep": (one(DEEP), b"\x02" * (1 << 20), "the value is nested too deeply"),
    "trailing": (one("null"), b"\0", "expected the end of the record, found 1 more bytes"),
    "an unknown type": (one("Elsewhere"), b"", "field x: expected a type that the writer's schema defines, found 'Elsewhere'"),
}  # fmt: skip


@pytest.mark.parametrize(("writer", "data", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_explained_quickly(writer: Any, data: bytes, expected: str) -> None:
    began = time.process_time()
    with pytest.raises(SignalError) as caught:
        resolving(writer, signals.MemberJoined)(HEAD + data)
    assert time.process_time() - began < 2
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


RULES = {"name": "x", "type": "string", "maxLength": 1, "pattern": "^a$", "const": "a"}


def test_rules_in_a_writers_schema_mean_nothing() -> None:
    writer = changed(extra=(RULES,))
    assert read(writer, written(writer, x="bbb")) == JOINED
