"""The batch reader: which batches it returns from a response, compared with aiokafka's own reader of the same bytes."""

from __future__ import annotations

from typing import Any

import google_crc32c
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.kafka.batch_reader import _FetchedBatches, _raise, records_of
from pipeline.kafka.record_batch import batches, encode, header
from pipeline.kafka.record_reader import find_headers
from testkit import raw_batches

TP = TopicPartition("t", 0)
COMMIT, ABORT = b"\0\0\0\1", b"\0\0\0\0"
CONTROL = 0x20


def batch(offset: int, *values: bytes, producer: int = 7, control: bool = False) -> bytes:
    """Return a batch as the broker stores it, with its offset."""
    key = values[0] if control else b"k"
    [made] = batches([encode(key, value, [header("h", b"v")]) for value in values])
    made.set_producer(producer, 0, 0)
    data = bytearray(bytes(made.build()))
    data[:8] = offset.to_bytes(8)
    if control:
        data[22] |= CONTROL
        data[17:21] = google_crc32c.value(bytes(data[21:])).to_bytes(4)
    return bytes(data)


def fetched(data: bytes, start: int, aborted: list[tuple[int, int]]) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(data), aborted, start, None, None, True, READ_COMMITTED)


def by_batch(data: bytes, start: int, aborted: list[tuple[int, int]], on_corrupt: Any = _raise) -> Any:
    """Return what a consumer holds of this response after a call of `by_batch`."""
    held = _FetchedBatches({TP: data}, on_corrupt, None, True)
    records = fetched(data, start, aborted)
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


def fetch(start: int) -> tuple[bytes, int, list[tuple[int, int]]]:
    """Return the broker's answer to a fetch from `start`: everything from the batch that contains it."""
    first = max(offset for offset in LOG if offset <= start)
    return (
        b"".join(data for offset, data in LOG.items() if offset >= first),
        start,
        [(8, 3)] if start <= 6 else [],
    )


def parts(record: Record) -> tuple[Any, ...]:
    headers = record.headers
    return (
        record.offset,
        record.key,
        record.value,
        find_headers(headers, ("h",)) if isinstance(headers, bytes) else headers,
    )


@pytest.mark.parametrize("start", range(11))
def test_records_and_next_offset_are_those_of_aiokafka(start: int) -> None:
    theirs, ours = fetched(*fetch(start)), by_batch(*fetch(start))
    one = [(r.offset, r.key, r.value, tuple(r.headers)) for r in theirs]
    assert one == [parts(record) for record in records_of(ours)]
    assert [(offset, value) for offset, _, value, _ in one] == [seen for seen in VISIBLE if seen[0] >= start]
    assert theirs.next_fetch_offset == ours.next_fetch_offset == 11


def test_position_moves_past_each_returned_batch() -> None:
    ours = by_batch(*fetch(1))
    assert [([r.value for r in one.read_all()], ours.next_fetch_offset) for one in ours] == [
        ([b"b", b"c"], 3),
        ([b"d"], 6),
        ([b"e", b"f"], 10),
    ]


def damaged() -> bytes:
    data = bytearray(batch(3, b"x"))
    data[-1] ^= 1
    return batch(0, b"a") + bytes(data)


def test_damaged_batch_raises_after_the_batches_before_it() -> None:
    ours = by_batch(damaged(), 0, [])
    assert [r.value for r in next(ours).read_all()] == [b"a"]
    with pytest.raises(CorruptRecordException, match="t partition 0: wrong checksum of the batch at offset 1"):
        next(ours)


def test_damaged_batch_ends_the_response_before_it() -> None:
    seen: list[tuple[TopicPartition, int]] = []
    ours = by_batch(damaged() + batch(4, b"y"), 0, [], lambda tp, offset: seen.append((tp, offset)))
    assert [r.value for r in records_of(ours)] == [b"a"]
    assert seen == [(TP, 1)]
    assert ours.next_fetch_offset == 1
    assert list(ours) == [], "it must be fetched again"


def test_batch_that_was_not_sent_whole_is_left_out() -> None:
    ours = by_batch(LOG[0] + batch(3, b"x")[:-1], 0, [])
    assert [r.offset for r in records_of(ours)] == [0, 1, 2]
    assert ours.next_fetch_offset == 3


def test_an_old_message_format_cannot_be_read() -> None:
    old = bytearray(40)
    old[:8], old[8:12], old[16] = (5).to_bytes(8), (28).to_bytes(4), 1
    [one] = by_batch(bytes(old) + raw_batches.batch([raw_batches.Record(value=b"x")], base_offset=6), 6, [])
    assert one.first == 6
    ours = by_batch(bytes(old), 5, [])
    [record] = next(ours).read(0)
    assert "message format 1" in record.fault
    assert (record.offset, record.last, ours.next_fetch_offset) == (5, 5, 6)


def test_error_in_place_of_records_is_kept() -> None:
    held, error = _FetchedBatches({}, _raise, None, True), object()
    held[TP] = error
    assert held[TP] is error


def test_a_result_of_an_earlier_request_is_dropped() -> None:
    """Its bytes were not kept. Its partition is fetched again."""
    held = _FetchedBatches({}, _raise, None, True)
    held[TP] = FetchResult(TP, assignment=None, partition_records=fetched(*fetch(0)), backoff=0)
    assert TP not in held
