"""The fast paths for times agree with the general ones, in their range and at its edges."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model.avro import LONG_MAX, LONG_MIN, long, read_long, read_time, time

EDGES = [0, 1, -1, 2**48 - 1, 2**48, 2**53 - 1, 2**53, 2**55 - 1, 2**55, LONG_MAX, LONG_MIN]
"""Microseconds. Eight bytes hold 2^48 (1978-12-02) to 2^55 - 1 (3111); the encoder's fast path ends at 2^53 - 1 (2255)."""
NOW = 1_790_000_000_123_456


@pytest.mark.parametrize("micros", EDGES)
def test_times_at_the_edges_round_trip(micros: int) -> None:
    _agrees(micros, b"", b"")


@given(st.integers(LONG_MIN, LONG_MAX) | st.integers(2**47, 2**56), st.binary(max_size=9), st.binary(max_size=9))
@example(NOW, b"", b"")
@example(NOW, b"before", b"\xff" * 9)
def test_times_are_encoded_and_decoded_as_longs(micros: int, before: bytes, after: bytes) -> None:
    _agrees(micros, before, after)


def _agrees(micros: int, before: bytes, after: bytes) -> None:
    data = time(micros)
    assert data == long(micros)
    found = read_time(before + data + after, len(before))
    usual = micros >= 0 and len(data) == 8
    assert found == (micros if usual else -1)


@given(st.binary(max_size=12))
def test_fast_and_general_decoder_agree_on_any_bytes(data: bytes) -> None:
    found = read_time(data, 0)
    if found >= 0:
        assert read_long(data, 0) == (found, 8)


@pytest.mark.parametrize("micros", [LONG_MAX + 1, LONG_MIN - 1])
def test_numbers_beyond_64_bits_overflow(micros: int) -> None:
    with pytest.raises(OverflowError):
        time(micros)
