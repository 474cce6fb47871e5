"""The packed signal_ids of a room equal a list of the last `most` ids."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model import signal_ids
from pipeline.model.records import Room
from tests.model.test_wire import fast
from tests.support.state import remembered_ids

# Few short ids. Some contain the bytes between two others: \x02 and \x04 are also lengths.
IDS = st.text(st.sampled_from("ab\x02\x04é"), max_size=4) | st.sampled_from(["a" * 63, "a" * 64, "é" * 255])


@given(st.lists(IDS, max_size=40), IDS, st.integers(1, 20))
@example(["b\x02", "a"], "\x02\x02a", 16)
def test_it_equals_a_list_of_the_last_ids(given_ids: list[str], other: str, most: int) -> None:
    held, expected = signal_ids.NONE, list[str]()
    for signal_id in given_ids:
        assert signal_ids.remembers(held, signal_id) == (signal_id in expected)
        held = signal_ids.remember(held, signal_id, most)
        expected = [*expected, signal_id][-most:]
    assert remembered_ids(held) == tuple(expected)
    assert signal_ids.remembers(held, other) == (other in expected)
    assert held == signal_ids.of(expected)


def test_bytes_across_two_ids_are_not_an_id() -> None:
    held = signal_ids.of(["b\x04", "ac"])
    assert b"\x04\x04a" in held
    assert not signal_ids.remembers(held, "\x04a")


def test_it_is_the_last_field_of_the_row() -> None:
    room = Room("r", recent=signal_ids.of(["a", "b"]))
    assert fast(room).endswith(room.recent)


OTHER_FORMS = {
    "a count before the size in bytes": b"\x03\x08\x02a\x02b\x00",
    "two blocks": b"\x02\x02a\x02\x02b\x00",
    "a length in more bytes than it needs": b"\x04\x82\x00a\x02b\x00",
}


@pytest.mark.parametrize("data", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_other_encodings_of_an_array_are_normalized(data: bytes) -> None:
    read = fastavro.schemaless_reader(io.BytesIO(data), {"type": "array", "items": "string"}, None)
    assert read == ["a", "b"]
    assert signal_ids.read(data, 0) == (signal_ids.of(read), len(data))


@pytest.mark.parametrize(
    "data", [b"\x04\x02a\x00", b"\x02\x02a", b"\x03\x06\x02a\x00", b"\x82\x10\x00", b"\x02\x02\xff\x00", b""]
)
def test_invalid_arrays_are_errors(data: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        signal_ids.read(data, 0)
