"""The codec of Kafka's messages: the bytes and values of aiokafka's own, for every message that it defines."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import protocol
from aiokafka.protocol import types
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.struct import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kafka import protocol as own
from pipeline.kafka.fast_codec import decode, encode
from pipeline.kafka.produce_request import JoinedProduce

BITS = {types.Int8: 8, types.Int16: 16, types.Int32: 32, types.Int64: 64}
MARK = b"\x07\x07\x07"
"""What is in front of a message: its header."""


def subclasses(kind: Any) -> Iterator[Any]:
    for one in kind.__subclasses__():
        yield from subclasses(one)
        yield one


def messages() -> list[Any]:
    for module in pkgutil.iter_modules(protocol.__path__):
        importlib.import_module(f"aiokafka.protocol.{module.name}")
    assert own.TxnOffsetCommit
    assert JoinedProduce
    found = [one for base in (RequestStruct, Response) for one in subclasses(base) if hasattr(one, "SCHEMA")]
    return sorted({one for one in found if one.encode is Struct.encode}, key=lambda one: one.__name__)


def values(field: Any) -> st.SearchStrategy[Any]:
    """Return what aiokafka can encode and decode as this field."""
    if field in BITS:
        return st.integers(-(1 << BITS[field] - 1), (1 << BITS[field] - 1) - 1)
    if isinstance(field, types.Schema):
        return st.tuples(*map(values, field.fields))
    if isinstance(field, types.Array):
        return st.none() | st.lists(values(field.array_of), max_size=3)
    if isinstance(field, types.String):
        return st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    if field is types.Boolean:
        return st.booleans()
    if field is types.Float64:
        return st.floats(allow_nan=False)
    if field is types.TaggedFields:
        return st.just({})  # aiokafka writes others without their lengths
    if field in {types.UInt32, types.UnsignedVarInt32}:
        return st.integers(0, (1 << 32) - 1)
    assert field in {types.Bytes, types.CompactBytes}, field
    return st.none() | st.binary(max_size=5)


MESSAGES = messages()


def test_all_messages_of_the_protocol_are_compared() -> None:
    assert len(MESSAGES) > 150
    assert any(one.__name__ == "FetchResponse_v11" for one in MESSAGES)


@pytest.mark.parametrize("kind", MESSAGES, ids=[one.__name__ for one in MESSAGES])
@settings(max_examples=20)
@given(data=st.data())
def test_bytes_and_values_are_those_of_aiokafka(kind: Any, data: st.DataObject) -> None:
    made = kind(*(data.draw(values(field)) for field in kind.SCHEMA.fields))
    whole = made.encode()
    assert encode(made) == whole
    read = decode(kind, MARK + whole + b"rest", len(MARK))
    assert read.__dict__ == kind.decode(whole).__dict__
    assert type(read) is kind
    cut = data.draw(st.integers(0, max(0, len(whole) - 1)))
    try:
        expected = kind.decode(whole[:cut])
    except Exception:  # of several kinds
        with pytest.raises((ValueError, types.error)):
            decode(kind, whole[:cut], 0)
    else:
        assert decode(kind, whole[:cut], 0) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in (one for one in MESSAGES if one.__name__ in {"FetchResponse_v11", "ProduceResponse_v8"}):
        with contextlib.suppress(ValueError):
            decode(kind, data, 0)


def test_values_out_of_bounds_are_refused() -> None:
    [kind] = (one for one in MESSAGES if one.__name__ == "HeartbeatRequest_v1")
    with pytest.raises(ValueError, match="HeartbeatRequest_v1"):
        encode(kind("group", 1 << 40, "member"))
    [kind] = (one for one in MESSAGES if one.__name__ == "FetchRequest_v4")
    with pytest.raises(ValueError, match="2 fields of 3"):
        encode(kind(-1, 1, 1, 1, 0, [("topic", [(1, 2)])]))
