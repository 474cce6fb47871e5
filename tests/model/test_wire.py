"""The generated codecs against fastavro, Apache Avro and hostile bytes."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import avro.io
import avro.schema
import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SignalError
from pipeline.model import events, records, signal_ids, signals
from pipeline.model.avro import long
from pipeline.model.avro_reader import explain
from pipeline.model.wire import DECODERS, ENCODERS, SCHEMAS
from tests.support.state import remembered_ids

CLASSES: dict[str, Any] = {cls.RECORD: cls for cls in ENCODERS}
NOW = 1_763_842_000_123_456
YEAR_1, YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999
LIMITS = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


def plain(schema: Any) -> Any:
    """Return `schema` without logical types, so that the libraries return times as numbers."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, str):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    if schema["type"] == "array":
        return {"type": "array", "items": plain(schema["items"])}
    return {**schema, "fields": [{**field, "type": plain(field["type"])} for field in schema["fields"]]}


PLAIN = {name: plain(json.loads(text)) for name, text in SCHEMAS.items()}
FAST = {name: fastavro.parse_schema(schema) for name, schema in PLAIN.items()}
APACHE = {name: avro.schema.parse(json.dumps(schema)) for name, schema in PLAIN.items()}


def values(schema: Any, rules: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Generate values of `schema` within `rules`, as the generated classes hold them."""
    if isinstance(schema, list):
        return st.none() | values(schema[1], rules)
    if isinstance(schema, dict):
        if schema["type"] == "array":
            items = values(schema["items"], rules.get("items", {}))
            return st.lists(items, min_size=rules.get("minItems", 0), max_size=9).map(tuple)
        return record(schema)
    if schema in LIMITS:
        low, high = rules.get("minimum", LIMITS[schema][0]), rules.get("maximum", LIMITS[schema][1])
        near = st.integers(max(low, -(2**20)), min(high, 2**20)) | st.integers(low, high)
        return near if schema == "int" else near | st.integers(NOW - 10**9, NOW + 10**9)
    if "pattern" in rules:
        return st.builds("{}://{}".format, st.sampled_from(["http", "HTTPS", "hTTp"]), st.text(min_size=1))
    long_text = st.sampled_from([63, 64, 255]).map(lambda n: "é" * n)
    strings = st.text(min_size=rules.get("minLength", 0), max_size=rules.get("maxLength")) | long_text
    return {"string": strings, "boolean": st.booleans(), "bytes": st.binary()}[schema]


def record(schema: Any) -> st.SearchStrategy[Any]:
    wanted = {f["name"]: values(f["type"], f) for f in schema["fields"] if "const" not in f}
    if "recent" in wanted:
        wanted["recent"] = wanted["recent"].map(signal_ids.of)
    return st.builds(CLASSES[f"{schema['namespace']}.{schema['name']}"], **wanted)


def as_dict(value: Any) -> dict[str, Any]:
    """Return a generated record as the libraries represent it."""
    found: dict[str, Any] = {"event": value.EVENT} if isinstance(value, events.Event) else {}
    for name, item in msgspec.structs.asdict(value).items():
        if isinstance(item, msgspec.Struct):
            found[name] = as_dict(item)
        elif name == "recent":
            found[name] = list(remembered_ids(item))
        elif isinstance(item, tuple):
            found[name] = [as_dict(i) if isinstance(i, msgspec.Struct) else i for i in item]
        else:
            found[name] = item
    return found


def fast(value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, FAST[value.RECORD], as_dict(value))
    return out.getvalue()


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_records_round_trip_with_the_bytes_of_fastavro(name: str, data: Any) -> None:
    value = data.draw(record(PLAIN[name]))
    written = ENCODERS[type(value)](value, b"\x00\x00\x00\x00\x07")
    assert written == b"\x00\x00\x00\x00\x07" + fast(value)
    assert DECODERS[name](written, 5) == value


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_apache_avro_agrees_in_both_directions(name: str, data: Any) -> None:
    value = data.draw(record(PLAIN[name]))
    written = ENCODERS[type(value)](value, b"")
    reader = avro.io.DatumReader(APACHE[name])
    assert reader.read(avro.io.BinaryDecoder(io.BytesIO(written))) == as_dict(value)
    out = io.BytesIO()
    avro.io.DatumWriter(APACHE[name]).write(as_dict(value), avro.io.BinaryEncoder(out))
    assert DECODERS[name](out.getvalue(), 0) == value


@pytest.mark.parametrize("name", [c.RECORD for c in signals.SIGNALS] + ["conference.PlayFailed", "conference.Position"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_explained_or_read_as_by_fastavro(name: str, data: Any) -> None:
    good = fast(data.draw(record(PLAIN[name])))
    at = data.draw(st.integers(0, len(good)))
    bad = good[:at] + data.draw(st.binary(max_size=12)) + good[data.draw(st.integers(at, len(good))) :]
    try:
        value = DECODERS[name](bad, 0)
    except SignalError as error:
        text = str(error)
    else:
        assert fastavro.schemaless_reader(io.BytesIO(bad), FAST[name], None) == as_dict(value)
        return
    assert text.startswith((f"{name}: field ", f"{name}: expected the end of the record, found "))
    assert "found 0 more" not in text
    assert "found -" not in text or "field" in text
    assert len(text) < 300


@pytest.mark.parametrize("micros", [0, -1, 1, 2**26, 2**27 - 1, 2**27, NOW, 2**54, 2**55, YEAR_1, YEAR_9999])
def test_times_of_every_length_round_trip(micros: int) -> None:
    signal = signals.ConferenceDestroy("s", "r", micros)
    assert ENCODERS[type(signal)](signal, b"") == fast(signal) == b"\x02s\x02r" + long(micros)
    assert DECODERS[signal.RECORD](fast(signal), 0) == signal


def test_optional_fields_of_play_finished_come_last_in_the_class() -> None:
    signal = signals.PlayFinished("s", "r", 1, "url", "op")
    assert (signal.url, signal.operation_id) == ("url", "op")
    assert signals.PlayFinished("s", "r", 1, "url").operation_id is None


S, R, T = b"\x02s", b"\x02r", long(NOW)
FOUR = S + R + T
JOINED, LEFT, PLAY, FAILED = (
    f"conference.signal.{n}" for n in ("MemberJoined", "MemberLeft", "ConferencePlay", "PlayFailed")
)
VOLUME, DESTROY = "conference.signal.ConferenceVolume", "conference.signal.ConferenceDestroy"
URL = b"\x12http://ab"
HOSTILE = {
    "nothing": (DESTROY, b"", "field signal_id: expected a string, found the end of the data"),
    "cut length": (DESTROY, b"\x80", "field signal_id: expected a string, found the end of the data"),
    "cut string": (
        DESTROY,
        b"\x0aab",
        "field signal_id: expected a string, found a length of 5, 2 bytes are left",
    ),
    "cut time": (DESTROY, FOUR[:-1], "field occurred_at: expected a long from"),
    "cut last string": (
        JOINED,
        FOUR + b"\x02s\x08+1",
        "field caller_id: expected a string, found a length of 4",
    ),
    "trailing byte": (DESTROY, FOUR + b"\x00", "expected the end of the record, found 1 more bytes"),
    "negative length": (DESTROY, b"\x01" + FOUR, "field signal_id: expected a string, found a length of -1"),
    "length 2**62": (DESTROY, long(2**62) + FOUR, f"found a length of {2**62}, 12 bytes are left"),
    "11 byte number": (DESTROY, b"\x80" * 10 + b"\x01" + FOUR, "found a number of more than 10 bytes"),
    "65 bit number": (
        DESTROY,
        S + R + b"\xff" * 9 + b"\x02",
        "occurred_at: expected a long from -62135596800000000",
    ),
    "endless number": (
        DESTROY,
        b"\xff" * 1_000_000,
        "signal_id: expected a string, found a number of more than 10",
    ),
    "not UTF-8": (
        DESTROY,
        b"\x04\xff\xfe" + R + T,
        "signal_id: expected a string, found bytes that are not UTF-8",
    ),
    "surrogate": (
        DESTROY,
        S + b"\x06\xed\xa0\x80" + T,
        "room_id: expected a string, found bytes that are not UTF-8",
    ),
    "boolean 2": (
        JOINED,
        FOUR + S + S + b"\x02",
        "field muted: expected a boolean (byte 0 or 1), found byte 2",
    ),
    "no boolean": (
        JOINED,
        FOUR + S + S,
        "field muted: expected a boolean (byte 0 or 1), found the end of the data",
    ),
    "branch 2": (LEFT, FOUR + S + b"\x04", "field reason: expected null or string, found branch 2"),
    "branch -1": (LEFT, FOUR + S + b"\x01", "field reason: expected null or string, found branch -1"),
    "branch 2**62": (
        LEFT,
        FOUR + S + long(2**62),
        f"field reason: expected null or string, found branch {2**62}",
    ),
    "33 bit volume": (
        VOLUME,
        FOUR + long(2**31) + S,
        f"field volume: expected an int from {-(2**31)} to {2**31 - 1}",
    ),
    "-33 bit volume": (VOLUME, FOUR + long(-(2**31) - 1) + S, f"to {2**31 - 1}, found {-(2**31) - 1}"),
    "2**60 items": (
        FAILED,
        FOUR + b"\x00" + long(2**60),
        f"found a block of {2**60} items, 0 bytes are left",
    ),
    "-2**63 items": (
        FAILED,
        FOUR + b"\x00" + long(-(2**63)) + b"\x00",
        f"found a block of {2**63} items, 0 bytes",
    ),
    "items cut off": (
        FAILED,
        FOUR + b"\x00" + long(2) + b"\x04ab",
        "field urls[1]: expected a string, found the end",
    ),
    "block beyond": (
        FAILED,
        FOUR + b"\x00" + long(-1) + long(99) + URL,
        "found a block of 99 bytes, 10 are left",
    ),
    "block of -1": (
        FAILED,
        FOUR + b"\x00" + long(-1) + long(-1) + URL,
        "found a block of -1 bytes, 10 are left",
    ),
    "block too long": (
        FAILED,
        FOUR + b"\x00" + long(-1) + long(11) + URL + b"\x00\x00",
        "found its end -1 bytes from there",
    ),
    "no end of array": (
        FAILED,
        FOUR + b"\x00" + long(1) + URL,
        "field urls: expected a block of items, found the end",
    ),
    "a million items": (
        FAILED,
        FOUR + b"\x00" + long(10**6) + b"\x00" * 10**6,
        "field urls: expected 0 to 128 items, found 1000000",
    ),
    "a million blocks": (
        FAILED,
        FOUR + b"\x00" + b"\x02\x00" * 500_000,
        "field urls: expected 0 to 128 items, found 129",
    ),
}


@pytest.mark.parametrize(("name", "data", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_explained_quickly(name: str, data: bytes, expected: str) -> None:
    began = time.perf_counter()
    with pytest.raises(SignalError) as caught:
        DECODERS[name](b"head" + data, 4)
    assert time.perf_counter() - began < 0.5  # takes a millisecond; the bound allows for a busy machine
    assert str(caught.value).startswith(f"{name}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def array(*items: bytes) -> bytes:
    return long(len(items)) + b"".join(items) + b"\x00" if items else b"\x00"


def string(text: str) -> bytes:
    return long(len(text.encode())) + text.encode()


LONGEST = "https://" + "é" * 2040
RULES = {
    "empty signal_id": (
        DESTROY,
        b"\x00" + R + T,
        "field signal_id: expected 1 to 255 characters, found 0: ''",
    ),
    "room_id of 256": (
        DESTROY,
        S + string("x" * 256) + T,
        "field room_id: expected 1 to 255 characters, found 256",
    ),
    "before year 1": (
        DESTROY,
        S + R + long(YEAR_1 - 1),
        f"field occurred_at: expected a long from {YEAR_1} to",
    ),
    "after year 9999": (DESTROY, S + R + long(YEAR_9999 + 1), f"to {YEAR_9999}, found {YEAR_9999 + 1}"),
    "no urls": (PLAY, FOUR + array() + S, "field urls: expected 1 to 128 items, found 0"),
    "129 urls": (PLAY, FOUR + array(*[URL] * 129) + S, "field urls: expected 1 to 128 items, found 129"),
    "ftp": (
        PLAY,
        FOUR + array(URL, string("ftp://x")) + S,
        "field urls[1]: expected a string that matches ^[Hh]",
    ),
    "no host": (
        PLAY,
        FOUR + array(string("http://")) + S,
        "matches ^[Hh][Tt][Tt][Pp][Ss]?://[\\s\\S], found 'http://'",
    ),
    "url behind a space": (
        PLAY,
        FOUR + array(string(" http://x")) + S,
        "field urls[0]: expected a string that matches",
    ),
    "long s is no s": (
        PLAY,
        FOUR + array(string("httpſ://x")) + S,
        "field urls[0]: expected a string that matches",
    ),
    "url of 2049": (
        PLAY,
        FOUR + array(string(LONGEST + "x")) + S,
        "urls[0]: expected 0 to 2048 characters, found 2049",
    ),
    "empty operation_id": (
        PLAY,
        FOUR + array(URL) + b"\x00",
        "field operation_id: expected 1 to 255 characters",
    ),
    "empty optional id": (
        FAILED,
        FOUR + b"\x02\x00\x00",
        "field operation_id: expected 1 to 255 characters, found 0",
    ),
}


@pytest.mark.parametrize(("name", "data", "expected"), RULES.values(), ids=RULES)
def test_rules_of_the_contract_are_checked(name: str, data: bytes, expected: str) -> None:
    with pytest.raises(SignalError) as caught:
        DECODERS[name](data, 0)
    assert expected in str(caught.value)
    assert explain(SCHEMAS[name], data) == str(caught.value)


def test_values_at_the_edges_of_the_rules_pass() -> None:
    ids = "é" * 255
    play = signals.ConferencePlay(ids, ids, YEAR_1, (LONGEST, "HTTP://\n", *["http://x"] * 126), ids)
    assert DECODERS[PLAY](ENCODERS[type(play)](play, b""), 0) == play
    failed = signals.PlayFailed(" ", "\x00", YEAR_9999, None, ("", "/file", "é" * 2048) + ("a",) * 125)
    assert DECODERS[FAILED](ENCODERS[type(failed)](failed, b""), 0) == failed


def test_sized_blocks_and_padded_numbers_are_read() -> None:
    blocks = long(-1) + long(len(URL)) + URL + long(2) + URL + URL + b"\x80\x00"
    expected = signals.PlayFailed("s", "r", NOW, None, ("http://ab",) * 3)
    assert DECODERS[FAILED](FOUR + b"\x80\x00" + blocks, 0) == expected
    assert DECODERS[DESTROY](b"\x82\x00s" + R + T, 0) == signals.ConferenceDestroy("s", "r", NOW)


def test_an_event_with_another_name_is_an_error() -> None:
    meta = events.Meta("e", 1, NOW, "a", "c", None, False, False)
    data = ENCODERS[events.MemberMuted](events.MemberMuted("s", "r", "c", meta), b"")
    with pytest.raises(SignalError, match=r"event: expected 'conference.member.unmuted', found 'conference.member.m"):
        DECODERS["conference.MemberUnmuted"](data, 0)


def test_json_is_checked_by_the_same_rules() -> None:
    decoder = msgspec.json.Decoder(signals.AnySignal, dec_hook=lambda _, text: signals.Micros(len(text)))
    signal = {"type": "conference.play", "signal_id": "s", "room_id": "r", "occurred_at": "1234"}
    good = {**signal, "operation_id": "o", "urls": [LONGEST]}
    assert decoder.decode(msgspec.json.encode(good)) == signals.ConferencePlay("s", "r", 4, (LONGEST,), "o")
    changes: tuple[dict[str, Any], ...] = (
        {"urls": []},
        {"urls": ["http://x"] * 129},
        {"urls": [LONGEST + "x"]},
        {"urls": ["ftp://x"]},
        {"signal_id": ""},
        {"room_id": "x" * 256},
        {"operation_id": None},
    )
    for change in changes:
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(msgspec.json.encode({**good, **change}))


def test_records_take_the_defaults_of_their_schemas() -> None:
    room = records.Room("r")
    assert (room.playback_status, room.urls, room.deadline, room.sequence) == ("stopped", (), None, 0)
    assert records.Position("worker").positions == ()
