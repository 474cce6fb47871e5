"""The registry's wire format, byte by byte."""

from __future__ import annotations

import pytest

from pipeline.errors import SignalError
from pipeline.model.framing import HEAD, head, schema_id


@pytest.mark.parametrize(
    ("number", "data"),
    [(0, b"\0\0\0\0\0"), (258, b"\0\0\0\1\2"), (2**32 - 1, b"\0\xff\xff\xff\xff")],
)
def test_a_head_is_magic_byte_and_big_endian_id(number: int, data: bytes) -> None:
    assert head(number) == data
    assert len(data) == HEAD
    assert schema_id(data) == schema_id(data + b"avro") == number


@pytest.mark.parametrize(
    ("value", "fault"),
    [(b"", "empty"), (b"{}", "found 0x7b"), (b"\1\0\0\0\1", "found 0x01"), (b"\0\0\0\1", "has 4 bytes")],
)
def test_other_values_are_errors(value: bytes, fault: str) -> None:
    with pytest.raises(SignalError, match=fault):
        schema_id(value)
