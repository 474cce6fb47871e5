"""A consumer that reads by the batch, beside aiokafka's own way through the same bytes."""

from __future__ import annotations

from typing import Any

import google_crc32c
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.kafka.batch_reader import _Bare, records_of
from pipeline.kafka.record_batch import batches, encode, header

TP = TopicPartition("t", 0)
COMMIT, ABORT = b"\0\0\0\1", b"\0\0\0\0"
CONTROL = 0x20


def batch(offset: int, *values: bytes, producer: int = 7, control: bool = False) -> bytes:
    """A batch as the broker keeps it: it has given it its offset."""
    key = values[0] if control else b"k"
    [made] = batches([encode(key, value, [header("h", b"v")]) for value in values])
    made._set_producer_state(producer, 0, 0)
    data = bytearray(bytes(made._build()))
    data[:8] = offset.to_bytes(8)
    if control:
        data[22] |= CONTROL
        data[17:21] = google_crc32c.value(bytes(data[21:])).to_bytes(4)
    return bytes(data)


def fetched(data: bytes, start: int, aborted: list[tuple[int, int]]) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(data), aborted, start, None, None, True, READ_COMMITTED)


def by_batch(records: PartitionRecords) -> Any:
    """The same, as a fetcher holds it that `by_batch` was called for."""
    held = _Bare()
    held[TP] = FetchResult(TP, assignment=None, partition_records=records, backoff=0)
    return held[TP]._partition_records


LOG = {
    0: batch(0, b"a", b"b", b"c"),
    3: batch(3, b"lost", b"lost too", producer=8),
    5: batch(5, b"d"),
    6: batch(6, ABORT, producer=8, control=True),
    7: batch(7, COMMIT, control=True),
    8: batch(8, b"e", b"f", producer=8),
    10: batch(10, COMMIT, producer=8, control=True),
}
"""By the offset that they begin at."""
VISIBLE = ((0, b"a"), (1, b"b"), (2, b"c"), (5, b"d"), (8, b"e"), (9, b"f"))


def fetch(start: int) -> PartitionRecords:
    """What the broker answers to a fetch from `start`: all from the batch on that holds it."""
    first = max(offset for offset in LOG if offset <= start)
    return fetched(
        b"".join(data for offset, data in LOG.items() if offset >= first),
        start,
        [(8, 3)] if start <= 6 else [],
    )


@pytest.mark.parametrize("start", range(11))
def test_it_finds_what_aiokafka_finds_and_ends_where_it_ends(start: int) -> None:
    theirs, ours = fetch(start), by_batch(fetch(start))
    one = [(r.offset, r.timestamp * 1000, r.key, r.value, tuple(r.headers)) for r in theirs]
    assert one == [(r.offset, r.time, r.key, r.value, r.headers) for r in records_of(ours)]
    assert [(offset, value) for offset, _, _, value, _ in one] == [
        seen for seen in VISIBLE if seen[0] >= start
    ]
    assert theirs.next_fetch_offset == ours.next_fetch_offset == 11


def test_the_position_is_behind_each_batch_as_it_is_taken() -> None:
    ours = by_batch(fetch(1))
    assert [([r.value for r in one], ours.next_fetch_offset) for one in ours] == [
        ([b"b", b"c"], 3),
        ([b"d"], 6),
        ([b"e", b"f"], 10),
    ]


def test_a_damaged_batch_is_an_error_behind_what_came_before_it() -> None:
    damaged = bytearray(batch(3, b"x"))
    damaged[-1] ^= 1
    ours = by_batch(fetched(batch(0, b"a") + bytes(damaged), 0, []))
    assert [r.value for r in next(ours)] == [b"a"]
    with pytest.raises(CorruptRecordException):
        next(ours)


def test_an_error_in_place_of_records_is_left_alone() -> None:
    held, error = _Bare(), object()
    held[TP] = error
    assert held[TP] is error
