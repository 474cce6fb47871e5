"""Record batches, read with aiokafka's reader. Tests with a broker prove that brokers accept them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kafka.record_batch import (
    MAX_BATCH,
    OVERHEAD,
    Batch,
    Batches,
    batches,
    encode,
    encode_row,
    header,
)

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
BYTES = st.none() | st.binary(max_size=300)
RECORDS = st.lists(
    st.tuples(BYTES, BYTES, st.lists(st.tuples(st.text(max_size=9), BYTES), max_size=9)),
    min_size=1,
    max_size=100,
)


def read(made: Iterable[Batch]) -> list[Any]:
    """Return the records that aiokafka reads from these batches."""
    found = []
    for batch in made:
        log = MemoryRecords(bytes(batch.build()))
        while (one := log.next_batch()) is not None:
            assert one.validate_crc()
            found += list(one)
    return found


def encoded(records: Iterable[Record]) -> list[bytes]:
    return [encode(key, value, [header(*one) for one in headers]) for key, value, headers in records]


@settings(deadline=None)
@given(RECORDS)
def test_encoded_records_are_read_back(records: list[Record]) -> None:
    found = read(batches(encoded(records)))
    assert [(r.key, r.value, [*r.headers]) for r in found] == records
    assert [r.offset for r in found] == list(range(len(records)))


@settings(deadline=None)
@given(RECORDS)
def test_batch_equals_that_of_aiokafkas_builder(records: list[Record]) -> None:
    """Byte for byte, except for the times, which the broker replaces."""
    theirs = BatchBuilder(1 << 20, 0, is_transactional=True)
    for key, value, headers in records:
        assert theirs.append(timestamp=1, key=key, value=value, headers=headers)
    theirs._set_producer_state(77, 5, 1234)
    [ours] = batches(encoded(records))
    ours.set_producer(77, 5, 1234)
    one, other = bytes(ours.build()), bytes(theirs._build())
    fields = (
        slice(0, 12),
        slice(16, 17),
        slice(21, 27),
        slice(43, None),
    )  # without the leader epoch, the CRC, two times
    assert [one[part] for part in fields] == [other[part] for part in fields]
    assert ours.record_count() == theirs.record_count() == len(records)
    assert ours.size() == len(one)


@pytest.mark.parametrize("value", [None, b"", b"value"])
def test_row_is_a_record_without_headers(value: bytes | None) -> None:
    assert encode_row(b"key", value) == encode(b"key", value)


@settings(deadline=None)
@given(RECORDS, st.sets(st.integers(0, 100)))
def test_packing_in_between_makes_the_same_batch(records: list[Record], packed: set[int]) -> None:
    collected = Batches()
    for number, record in enumerate(encoded(records)):
        if number in packed:
            collected.pack()
        collected.add(record)
    [one], [other] = collected.close(), batches(encoded(records))
    assert bytes(one._records) == bytes(other._records)
    assert one.record_count() == other.record_count() == len(records)


def test_batches_stay_below_the_limit_and_keep_all_records() -> None:
    sizes = [10, MAX_BATCH // 2, MAX_BATCH // 2, 3 * MAX_BATCH, 5, MAX_BATCH]
    made = batches(encoded([(b"k", bytes(size), []) for size in sizes]))
    assert [batch.record_count() for batch in made] == [2, 1, 1, 1, 1]
    assert all(batch.size() <= MAX_BATCH + OVERHEAD for batch in made if batch.record_count() > 1)
    assert [len(r.value) for r in read(batches(encoded([(b"k", bytes(size), []) for size in sizes])))] == sizes


def test_no_records_make_no_batch() -> None:
    assert not batches([])
