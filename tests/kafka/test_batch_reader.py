"""The batch reader, compared with aiokafka's own reader of the same bytes."""

from __future__ import annotations

from typing import Any

import google_crc32c
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.kafka.batch_reader import _FetchedBatches, records_of
from pipeline.kafka.record_batch import batches, encode, header

TP = TopicPartition("t", 0)
COMMIT, ABORT = b"\0\0\0\1", b"\0\0\0\0"
CONTROL = 0x20


def batch(offset: int, *values: bytes, producer: int = 7, control: bool = False) -> bytes:
    """Return a batch as the broker stores it, with its offset."""
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
    """Return the same records as after a call of `by_batch`."""
    held = _FetchedBatches()
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
"""First offset to batch."""
VISIBLE = ((0, b"a"), (1, b"b"), (2, b"c"), (5, b"d"), (8, b"e"), (9, b"f"))


def fetch(start: int) -> PartitionRecords:
    """Return the broker's answer to a fetch from `start`: everything from the batch that contains it."""
    first = max(offset for offset in LOG if offset <= start)
    return fetched(
        b"".join(data for offset, data in LOG.items() if offset >= first),
        start,
        [(8, 3)] if start <= 6 else [],
    )


@pytest.mark.parametrize("start", range(11))
def test_records_and_next_offset_are_those_of_aiokafka(start: int) -> None:
    theirs, ours = fetch(start), by_batch(fetch(start))
    one = [(r.offset, r.timestamp * 1000, r.key, r.value, tuple(r.headers)) for r in theirs]
    assert one == [(r.offset, r.time, r.key, r.value, r.headers) for r in records_of(ours)]
    assert [(offset, value) for offset, _, _, value, _ in one] == [seen for seen in VISIBLE if seen[0] >= start]
    assert theirs.next_fetch_offset == ours.next_fetch_offset == 11


def test_position_moves_past_each_returned_batch() -> None:
    ours = by_batch(fetch(1))
    assert [([r.value for r in one], ours.next_fetch_offset) for one in ours] == [
        ([b"b", b"c"], 3),
        ([b"d"], 6),
        ([b"e", b"f"], 10),
    ]


def test_damaged_batch_raises_after_the_batches_before_it() -> None:
    damaged = bytearray(batch(3, b"x"))
    damaged[-1] ^= 1
    ours = by_batch(fetched(batch(0, b"a") + bytes(damaged), 0, []))
    assert [r.value for r in next(ours)] == [b"a"]
    with pytest.raises(CorruptRecordException):
        next(ours)


def test_error_in_place_of_records_is_kept() -> None:
    held, error = _FetchedBatches(), object()
    held[TP] = error
    assert held[TP] is error
