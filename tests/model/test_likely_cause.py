"""The likely causes in the texts of dead letters."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SignalError
from pipeline.model.codec import decode_json
from pipeline.model.likely_cause import likely_cause, nearest
from pipeline.model.schema_resolution import OtherFormat, decoder
from pipeline.model.signals import SIGNALS

RECORDS = {signal.RECORD: signal for signal in SIGNALS}
TYPES = tuple(signal.TYPE for signal in SIGNALS)


@pytest.mark.parametrize(
    ("value", "headers", "cause"),
    [
        (b'\xef\xbb\xbf{"type":"x"}', b"", "byte order mark"),
        ('{"type":"x"}'.encode("utf-16"), b"", "UTF-16"),
        (b"Obj\x01\x04", b"", "container file"),
        (b"\x1f\x8b\x08", b"", "gzip"),
        (b"[{}]", b"", "JSON array"),
        (b'"{}"', b"", "encoded twice"),
        (b"\n{}", b"", "without white space"),
        (b"\0\0\0\0\0\0\0\0\x07data", b"", "8-byte id"),
        (b"\x02a\x02b", b"", "wire format are missing"),
        (b"\x02a", b"\x02\x2eapicurio.value.globalId\x10\0\0\0\0\0\0\0\x07", "apicurio.registry.headers.enabled=false"),
        (b"\x02a", (("__value_schema_id", b"\x01"),), "PrefixSchemaIdSerializer"),
        (b'{"type":1}', b"", ""),
        (b"\0\0\0\0\x07data", b"", ""),
        (b"", b"", ""),
    ],
)
def test_a_value_names_its_likely_cause(value: bytes, headers: bytes, cause: str) -> None:
    found = likely_cause(value, headers)
    assert cause in found
    assert bool(cause) == bool(found) or value == b""


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("conference.crate", "conference.create"),
        ("conference.creat", "conference.create"),
        ("conference.creates", "conference.create"),
        ("Conference_Create", "conference.create"),
        ("create", "conference.create"),
        ("com.acme.Create", "conference.create"),
        ("conference.plya", "conference.play"),
        ("joined", "member.joined"),
        ("conference.member.joined", "member.joined"),
        ("play.finish", ""),
        ("room.opened", ""),
        ("", ""),
    ],
)
def test_a_misspelt_type_names_the_nearest(found: str, meant: str) -> None:
    assert nearest(found, TYPES) == meant


@given(st.sampled_from(TYPES), st.data())
def test_one_wrong_character_is_recognised(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    kind = data.draw(st.sampled_from(["lost", "changed", "added"]))
    wrong = {
        "lost": name[:at] + name[at + 1 :],
        "changed": name[:at] + "q" + name[at + 1 :],
        "added": name[:at] + "q" + name[at:],
    }
    found = nearest(wrong[kind], TYPES)
    assert found == name or (found and sum(a != b for a, b in zip(found, name, strict=False)) <= 3)


@given(st.text(max_size=300))
def test_any_text_is_harmless(text: str) -> None:
    assert nearest(text, TYPES) in (*TYPES, "")


def test_errors_carry_the_suggestion() -> None:
    with pytest.raises(SignalError, match=r"got 'conference.crate'; do you mean 'conference.create'\?$"):
        decode_json(b'{"type":"conference.crate"}')
    foreign = json.dumps({"type": "record", "name": "MemberLeft", "namespace": "com.acme", "fields": []})
    with pytest.raises(SignalError, match=r"found com.acme.MemberLeft; do you mean conference.signal.MemberLeft\?$"):
        decoder(7, foreign, RECORDS)(b"\0\0\0\0\x07")
    with pytest.raises(SignalError, match=r"schema id 7 is of type PROTOBUF: use the serializer of Avro"):
        decoder(7, OtherFormat("PROTOBUF"), RECORDS)(b"\0\0\0\0\x07")
