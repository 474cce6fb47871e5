"""Records from the bytes of Kafka values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conference_events import Decoder, InvalidDataError, UnknownTypeError, events, schema
from conference_events.avro import CLASSES, header

from tests.samples import example, fields, framed, joined, value


def decoder(text: str) -> Decoder:
    return Decoder({7: text}.__getitem__)


@pytest.mark.parametrize("kind", events.EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_is_decoded(kind: type[events.Event]) -> None:
    event = example(kind)
    assert decoder(schema(kind.RECORD)).decode(value(event)) == event


def test_every_record_has_a_stand_alone_schema() -> None:
    for name in CLASSES:
        parsed = json.loads(schema(name))
        assert f"{parsed['namespace']}.{parsed['name']}" == name
    with pytest.raises(UnknownTypeError, match=r"record 'conference\.Renamed' is not known"):
        schema("conference.Renamed")


def changed(name: str, **field: Any) -> str:
    """Return the schema of a record with one more field, and another field inside its meta."""
    parsed = json.loads(schema(name))
    parsed["fields"][-1]["type"]["fields"].append({"name": "shard", "type": "int", "default": 0})
    parsed["fields"].append({"name": "region", "type": ["null", "string"], "default": None, **field})
    return json.dumps(parsed)


def test_fields_of_a_newer_schema_are_dropped() -> None:
    text = changed("conference.MemberJoined")
    values = fields(joined())
    values = {**values, "region": "eu", "meta": {**values["meta"], "shard": 3}}
    assert decoder(text).decode(framed(text, values)) == joined()


def test_fields_that_an_older_schema_lacks_have_defaults() -> None:
    parsed = json.loads(schema("conference.Room"))
    parsed["fields"] = [each for each in parsed["fields"] if each["name"] in ("room_id", "name")]
    found = decoder(json.dumps(parsed)).decode(framed(json.dumps(parsed), {"room_id": "r", "name": "Team"}))
    assert (found.name, found.playback_status, found.recent) == ("Team", "stopped", ())  # type: ignore[union-attr]


def test_an_unknown_record_is_named() -> None:
    text = schema("conference.MemberJoined").replace('"MemberJoined"', '"Renamed"')
    with pytest.raises(UnknownTypeError, match=r"'conference\.Renamed' is not known: skip it"):
        decoder(text).decode(value(joined()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "wire format"),
        (b"{}", "wire format"),
        (value(joined())[:-1], r"^conference\.MemberJoined with schema 7: "),
        (value(joined())[:9], r"^conference\.MemberJoined with schema 7: "),
    ],
)
def test_damaged_values_are_named(data: bytes, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        decoder(schema("conference.MemberJoined")).decode(data)


@pytest.mark.parametrize("text", ["", "{", '{"type":"record"}', '{"type":"nothing"}'])
def test_a_schema_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InvalidDataError, match=r"^schema 7 of the registry is not valid: "):
        decoder(text).decode(value(joined()))


def test_a_schema_is_asked_for_once() -> None:
    asked = []

    def schema_of(number: int) -> str:
        asked.append(number)
        return schema("conference.MemberJoined")

    made = Decoder(schema_of)
    assert not made.knows(value(joined()))
    assert [made.decode(value(joined(n))) for n in (1, 2)] == [joined(1), joined(2)]
    assert asked == [7]


def test_the_last_header_of_a_name_counts() -> None:
    assert header([("ce_type", b"a"), ("ce_type", b"b"), ("x", None)], "ce_type") == "b"
    assert header([("x", None)], "x") == header(None, "x") == ""
