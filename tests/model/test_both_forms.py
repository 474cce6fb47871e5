"""JSON and Avro are checked by the same rules (contract §4): both forms of a signal are read alike, or neither."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SignalError
from pipeline.model.codec import decode_json
from pipeline.model.decoders import SignalDecoder
from pipeline.model.signals import SIGNALS, AnySignal
from pipeline.model.times import FIRST_TIME, LAST_TIME, format_time
from pipeline.model.wire import SCHEMAS

CHARACTERS = st.sampled_from(["x", "é", "😀", "\0", " ", "/", "\u2028", '"'])
LENGTHS = st.sampled_from([0, 1, 2, 63, 64, 254, 255, 256, 1023, 1024, 1025, 2047, 2048, 2049])
TEXT = st.builds(lambda character, length: character * length, CHARACTERS, LENGTHS) | st.text(max_size=9)
URL = st.builds(
    lambda scheme, text: scheme + text, st.sampled_from(["http://", "HttpS://", "ftp://", "", "http:/"]), TEXT
)
URLS = st.lists(URL, max_size=3) | st.builds(
    lambda url, count: [url] * count, st.sampled_from(["http://x", "x"]), st.sampled_from([0, 1, 127, 128, 129])
)
VOLUME = st.integers(-60, 60) | st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**62])
TIME = st.integers(FIRST_TIME, LAST_TIME) | st.sampled_from([FIRST_TIME, LAST_TIME, -1, 0])
SPECIAL = {"occurred_at": TIME, "volume": VOLUME, "muted": st.booleans(), "url": URL, "urls": URLS}


def written(schema: Any) -> Any:
    """Return the schema without logical types and bounds of an int, so that any number can be written."""
    return json.loads(json.dumps(schema).replace('"logicalType"', '"x"').replace('"int"', '"long"'))


class Forms:
    """The three ways to a signal: JSON, Avro of the built-in schema, Avro of a writer with another field."""

    def __init__(self, kind: Any) -> None:
        self.kind, schema = kind, json.loads(SCHEMAS[kind.RECORD])
        other = {**schema, "fields": [{"name": "other", "type": "string"}, *schema["fields"]]}
        self.schemas = [fastavro.parse_schema(written(each)) for each in (schema, other)]
        self.decoder = SignalDecoder()
        self.decoder.learn(0, json.dumps(schema))
        self.decoder.learn(1, json.dumps(other))

    def read(self, fields: dict[str, Any]) -> list[AnySignal | None]:
        text = {**fields, "type": self.kind.TYPE, "occurred_at": format_time(fields["occurred_at"])}
        return [self._json(text), self._avro(0, fields), self._avro(1, {**fields, "other": ""})]

    def _json(self, fields: dict[str, Any]) -> AnySignal | None:
        try:
            return decode_json(json.dumps(fields).encode())
        except SignalError:
            return None

    def _avro(self, number: int, fields: dict[str, Any]) -> AnySignal | None:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self.schemas[number], fields)
        try:
            return self.decoder.decode(b"\0\0\0\0" + bytes([number]) + out.getvalue())
        except SignalError:
            return None


FORMS = {kind.TYPE: Forms(kind) for kind in SIGNALS}


def fields_of(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    given = {}
    for field in json.loads(SCHEMAS[kind.RECORD])["fields"]:
        values = SPECIAL.get(field["name"], TEXT)
        given[field["name"]] = st.none() | values if isinstance(field["type"], list) else values
    return st.fixed_dictionaries(given)


@pytest.mark.parametrize("kind", SIGNALS, ids=lambda kind: kind.TYPE)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_json_and_avro_are_read_alike(kind: Any, data: Any) -> None:
    found = FORMS[kind.TYPE].read(data.draw(fields_of(kind)))
    assert found[0] == found[1] == found[2]


BASE = {"signal_id": "s", "room_id": "r", "occurred_at": 0}
BOUNDS = [
    ("conference.create", {"app_id": "a"}, "name", "x", 1024),
    ("conference.create", {"name": ""}, "app_id", "é", 255),
    ("member.joined", {"session_uuid": "a", "muted": False}, "caller_id", "😀", None),
    ("member.left", {"session_uuid": "a"}, "reason", "x", None),
    ("play.progress", {"operation_id": None}, "url", "é", 2048),
    ("play.finished", {"operation_id": None}, "url", "😀", 2048),
    ("play.finished", {"url": "x"}, "operation_id", "😀", 255),
]


@pytest.mark.parametrize(("name", "others", "field", "character", "most"), BOUNDS)
def test_texts_have_the_bounds_of_the_contract(
    name: str, others: dict[str, Any], field: str, character: str, most: int | None
) -> None:
    def read(length: int) -> list[AnySignal | None]:
        return FORMS[name].read({**BASE, **others, field: character * length})

    if most is None:
        assert None not in read(100_000)
    else:
        assert None not in read(most)
        assert read(most + 1) == [None] * 3


@pytest.mark.parametrize(
    ("name", "more"), [("conference.play", {"operation_id": "o"}), ("play.failed", {"operation_id": None})]
)
def test_urls_have_the_bounds_of_the_contract(name: str, more: dict[str, Any]) -> None:
    def read(*urls: str) -> list[AnySignal | None]:
        return FORMS[name].read({**BASE, **more, "urls": list(urls)})

    longest = "http://" + "é" * 2041
    assert None not in read(*[longest] * 128)
    assert read(*["http://x"] * 129) == [None] * 3
    assert read("http://x", longest + "x") == [None] * 3
