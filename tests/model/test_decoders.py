"""Decoders by schema id, for signals and for other records."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import SignalError
from pipeline.model import signals
from pipeline.model.codec import MAX_VALUE, decode_json
from pipeline.model.decoders import Decoders, SignalDecoder, UnknownSchemaError
from pipeline.model.framing import head
from pipeline.model.records import Member, Room
from pipeline.model.wire import ENCODERS, SCHEMAS
from tests.model.test_codec import VOLUME, raw

LEFT_SCHEMA = SCHEMAS["conference.signal.MemberLeft"]
A_LEFT = signals.MemberLeft("s", "r", 1_767_225_600_000_000, "a", "why")


def test_a_schema_id_is_learnt_and_forgotten() -> None:
    decoder, value = SignalDecoder(), ENCODERS[signals.MemberLeft](A_LEFT, b"\0\0\0\1\2")
    with pytest.raises(UnknownSchemaError) as caught:
        decoder.decode(value)
    assert caught.value.schema_id == 258
    decoder.learn(258, LEFT_SCHEMA)
    assert decoder.decode(value) == A_LEFT
    decoder.forget(258)
    with pytest.raises(UnknownSchemaError):
        decoder.decode(value)
    decoder.learn(258, None)
    with pytest.raises(SignalError, match="the registry has no schema with id 258"):
        decoder.decode(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "the value is null"),
        (b"", "the value is empty"),
        (b"\1\0\0\0\1", "expected magic byte 0 or a JSON object, got first byte 0x01"),
        (b"\xef\xbb\xbf{}", "got first byte 0xef"),
        (b" {}", "got first byte 0x20"),
        (b"\0\0\0\0", "the value has 4 bytes, too few for magic byte and schema id"),
        (b"{" + b" " * MAX_VALUE, "the value has 1048577 bytes, more than 1048576"),
        (b"{}", "Object missing required field type"),
        (b"\0\0\0\0\1", "conference.signal.MemberLeft: field signal_id: expected a string, found the end of the data"),
        (ENCODERS[signals.MemberLeft](A_LEFT, b"\0\0\0\0\1") + b"\0", "expected the end of the record, found 1 more bytes"),
        (ENCODERS[signals.MemberLeft](A_LEFT, b"\0\0\0\0\2"), "schema id 2: expected a record of this topic, found conference.Room"),
        (ENCODERS[signals.MemberLeft](A_LEFT, b"\0\0\0\0\3"), "schema id 3: expected a record of this topic, found no record"),
    ],
)  # fmt: skip
def test_values_that_are_not_signals_are_explained(value: bytes | None, expected: str) -> None:
    decoder = SignalDecoder()
    decoder.learn(1, LEFT_SCHEMA)
    decoder.learn(2, SCHEMAS["conference.Room"])
    decoder.learn(3, '"string"')
    with pytest.raises(SignalError) as caught:
        decoder.decode(value)
    assert expected in str(caught.value)


def test_json_needs_no_schema() -> None:
    assert SignalDecoder().decode(raw(VOLUME)) == decode_json(raw(VOLUME))


MEMBER = Member("room", "alice")
A_MEMBER = ENCODERS[Member](MEMBER, head(7))


def test_only_the_given_records_are_decoded() -> None:
    decoders = Decoders([Member])
    decoders.learn(7, SCHEMAS["conference.Member"])
    assert decoders.decode(A_MEMBER) == MEMBER
    decoders.learn(7, SCHEMAS["conference.Room"])
    with pytest.raises(SignalError, match=r"expected a record of this topic, found conference\.Room"):
        decoders.decode(A_MEMBER)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\0\0\0\0"])
def test_unframed_records_are_errors(value: bytes | None) -> None:
    with pytest.raises(SignalError):
        Decoders([Member]).decode(value)


def test_large_records_are_decoded() -> None:
    decoders, room = Decoders([Room]), Room("room", urls=("é" * MAX_VALUE,))
    decoders.learn(7, SCHEMAS["conference.Room"])
    assert decoders.decode(ENCODERS[Room](room, head(7))) == room


def test_a_schema_with_other_docs_is_current() -> None:
    decoders = Decoders([Member])
    assert not decoders.is_current(A_MEMBER)
    schema = json.loads(SCHEMAS["conference.Member"])
    decoders.learn(7, json.dumps(schema | {"doc": "Another text."}))
    assert decoders.is_current(A_MEMBER)
    assert decoders.decode(A_MEMBER) == MEMBER


def test_a_schema_with_another_field_is_not_current() -> None:
    decoders, schema = Decoders([Member]), json.loads(SCHEMAS["conference.Member"])
    schema["fields"].append({"name": "more", "type": "string", "default": ""})
    decoders.learn(7, json.dumps(schema))
    assert not decoders.is_current(A_MEMBER)
    assert decoders.decode(A_MEMBER + b"\6new") == MEMBER
