"""Stored batches: what is read of them, in which slices, and which can't be read."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from typing import Any

import cramjam
import pytest

from pipeline.core.merge import CutRecord, PackedError, Record
from pipeline.kafka import record_reader
from pipeline.kafka.record_reader import SHOWN_OF_LARGE, BatchError, varint
from pipeline.kafka.stored_batch import SLICE_BYTES, SLICE_RECORDS, WHOLE_BYTES, WHOLE_RECORDS, StoredBatch, head_of
from pipeline.kafka.unpacking import MAX_UNPACKED, SMALL
from testkit import raw_batches as raw
from testkit.raw_fetch import BrokenBatchError
from testkit.raw_fetch import StoredBatch as Independent

MIB = 1 << 20
BASE = 1000


def stored(data: bytes, start: int = 0, *, strict: bool = True) -> StoredBatch:
    head = head_of(data)
    assert head is not None
    return StoredBatch(head, data, start, strict=strict)


def batch(*records: raw.Record | bytes, **options: Any) -> bytes:
    return raw.batch(records, base_offset=BASE, **options)


def slices(one: StoredBatch, time: int = 7) -> list[list[Record]]:
    """Read all of a batch, unpacking it in the background where it asks for that."""
    found = []
    while one.count:
        try:
            found.append(one.read(time))
        except PackedError:
            one.unpack()
    return found


def letter(one: StoredBatch) -> CutRecord:
    """Return the only record of a batch that can't be read."""
    [[record]] = slices(one)
    assert isinstance(record, CutRecord)
    assert record.is_batch
    assert (record.key, record.headers) == (None, ())
    return record


def header_count(headers: Any) -> int:
    return varint(headers, 0)[0] >> 1 if isinstance(headers, bytes) and headers else len(headers)


@pytest.mark.parametrize("codec", raw.CODECS)
@pytest.mark.parametrize(("count", "size"), [(1, 10), (1024, 20), (1025, 20), (3000, 20), (700, 2000), (3, 600_000)])
@pytest.mark.parametrize("usual", [False, True])
def test_records_are_read_in_slices(codec: str, count: int, size: int, usual: bool) -> None:
    """Of batches that are small, larger than a slice, and so large that they are unpacked in the background.

    aiokafka's reader serves for usual ones.
    """
    headers, attributes = ([(b"h", b"v")], 0) if usual else ([(b"\xff\xfe", None)], 0x80)
    made = [raw.Record(b"k%d" % n, b"v" * size, headers, attributes, n) for n in range(count)]
    one = stored(batch(*made, codec=codec))
    assert one.count == count
    found = slices(one)
    records = [record for records in found for record in records]
    assert [(r.offset, r.key, r.value, r.time) for r in records] == [
        (BASE + n, b"k%d" % n, b"v" * size, 7) for n in range(count)
    ]
    assert {r.headers for r in records} == {(("h", b"v"),) if usual else b"\x02\x04\xff\xfe\x01"}
    assert one._checked is None or one._is_quick is usual
    for records in found:
        assert len(records) <= (SLICE_RECORDS if one._checked else WHOLE_RECORDS)
        assert sum(len(r.value or b"") for r in records[:-1]) <= (SLICE_BYTES if one._checked else WHOLE_BYTES)
    assert one.held == 0


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("size", [10, 1000])
def test_a_position_inside_a_batch_leaves_out_earlier_records(codec: str, size: int) -> None:
    data = batch(*[raw.Record(value=b"v" * size)] * 1000, codec=codec)
    for start in (BASE, BASE + 1, BASE + 998, BASE + 999):
        one = stored(data, start)
        assert (one.offset, one.count) == (start, BASE + 1000 - start)
        assert [r.offset for records in slices(one) for r in records] == list(range(start, BASE + 1000))
        one = stored(data, start)
        assert [r.offset for r in one.read_all()] == list(range(start, BASE + 1000))
    broken = stored(batch(raw.Record(offset_delta=1), raw.Record(offset_delta=0)), BASE + 1)
    assert (letter(broken).offset, letter(stored(broken._data, BASE + 1)).last) == (BASE, BASE + 1)


@pytest.mark.parametrize("key", [None, b"k"])
def test_an_unpacked_batch_can_be_dropped_between_two_slices(key: bytes | None) -> None:
    one = stored(batch(*[raw.Record(key, b"%07d" % n + b"x" * 993) for n in range(2000)], codec="zstd"))
    with pytest.raises(PackedError):
        one.read(0)
    found = []
    while one.count:
        assert one._raw is None
        with pytest.raises(PackedError):
            one.read(0)
        one.unpack()
        assert one.held > 2000 * 1000
        found += one.read(0)
        one.close()
    assert [r.offset for r in found] == list(range(BASE, BASE + 2000))
    assert [int((r.value or b"")[:7]) for r in found] == list(range(2000))


def test_append_time_is_that_of_the_batch() -> None:
    appended = stored(batch(raw.Record(timestamp_delta=5), attributes=raw.LOG_APPEND_TIME, max_timestamp=3))
    assert appended.time == 3000
    assert [r.time for r in appended.read(9)] == [3000]
    created = stored(batch(raw.Record(timestamp_delta=5), max_timestamp=3))
    assert (created.time, created.written_at) == (0, 3000)
    assert [r.time for r in created.read(9)] == [9]


BROKEN = {
    "offsets 0, 40": ((raw.Record(), raw.Record(offset_delta=40)), {}, "record 2 of 2 has offset 1040, expected 1001"),
    "offsets 1, 0": ((raw.Record(offset_delta=1), raw.Record(offset_delta=0)), {}, "record 1 of 2 has offset 1001"),
    "offsets 0, 0": ((raw.Record(), raw.Record(offset_delta=0)), {}, "record 2 of 2 has offset 1000"),
    "offset -1": ((raw.Record(offset_delta=-1),), {}, "has offset 999"),
    "fewer records": ((raw.Record(),), {"count": 2, "last_offset_delta": 1}, "ends before its 2 records do"),
    "more records": ((raw.Record(), raw.Record()), {"count": 1, "last_offset_delta": 0}, "bytes follow its 1 records"),
    "another last offset": ((raw.Record(),), {"last_offset_delta": 3}, "declares 1 records, and its last offset is 3"),
    "a negative count": ((raw.Record(),), {"count": -1}, "declares -1 records"),
    "a negative last offset": ((raw.Record(),), {"last_offset_delta": -5}, "declares 1 records"),
    "2^31 records": ((raw.Record(),), {"count": 2**31 - 1, "last_offset_delta": 2**31 - 2}, "more than 65536"),
    "65,537 records": ((raw.Record(),) * 65_537, {"codec": "zstd"}, "65537 records, more than 65536"),
    "a negative length": ((raw.Record(length=-1),), {}, "has a length of -1 bytes"),
    "a length of 2^40": ((raw.Record(length=2**40),), {}, "has a length of 1099511627776 bytes"),
    "a shorter length": ((raw.Record(b"k", b"v", length=5),), {}, "lengths that it declares|ends before"),
    "a length of 11 digits": ((b"\xff" * 11,), {}, "a number has more than 10 bytes"),
    "a key of length -2": ((b"\x0e\0\0\0\x03\x01\0\0",), {}, "lengths that it declares"),
    "a key of 2^30": ((b"\x16\0\0\0\xff\xff\xff\xff\x0e\x01\0\0",), {}, "lengths that it declares"),
    "a negative number of headers": ((raw.Record(header_count=-1),), {}, "lengths that it declares"),
    "2^40 headers": ((raw.Record(header_count=2**40),), {}, "lengths that it declares"),
    "one header too few": ((raw.Record(header_count=1),), {}, "lengths that it declares"),
    "one header too many": ((raw.Record(headers=[(b"a", b"b"), (b"", None)], header_count=1),), {}, "lengths"),
    "a header without a name": ((raw.Record(headers=[(None, b"x")]),), {}, "a header has no name"),
    "a header of length -2": ((b"\x10\0\0\0\x01\x01\x02\0\x03",), {}, "negative length"),
    "bytes that follow": ((raw.Record(), b"\0"), {"count": 1, "last_offset_delta": 0}, "1 bytes follow"),
    "codec 5": ((raw.Record(),), {"attributes": 5}, "no compression type 5"),
    "gzip that is none": ((raw.Record(),), {"attributes": 1}, "gzip data are broken"),
    "cut gzip": ((raw.Record(),), {"attributes": 1, "payload": raw.gzip(raw.Record().encode(0))[:-5]}, "gzip"),
    "snappy that is none": ((raw.Record(),), {"attributes": 2, "payload": b"\xff" * 9}, "snappy data are broken"),
    "snappy of version 77": (
        (raw.Record(),),
        {"attributes": 2, "payload": raw.snappy(raw.Record().encode(0), version=77)},
        "unknown version",
    ),
    "snappy of a later version": (
        (raw.Record(),),
        {"attributes": 2, "payload": raw.snappy(raw.Record().encode(0), compatible=2)},
        "unknown version",
    ),
    "snappy with a negative block": (
        (raw.Record(),),
        {"attributes": 2, "payload": raw.snappy(b"") + struct.pack(">i", -5) + b"abc"},
        "a block of -5 bytes",
    ),
    "snappy with a long block": (
        (raw.Record(),),
        {"attributes": 2, "payload": raw.snappy(b"") + struct.pack(">i", 5) + b"abc"},
        "a block of 5 bytes, where 3 are left",
    ),
    "snappy that declares 4 GiB": (
        (raw.Record(),),
        {"attributes": 2, "payload": b"\xff\xff\xff\xff\x0f" + b"a" * 20},
        f"unpack to more than {MAX_UNPACKED} bytes",
    ),
    "cut lz4": ((raw.Record(),), {"attributes": 3, "payload": raw.lz4(b"abc")[:-6]}, "lz4 data are broken"),
    "cut zstd": (
        (raw.Record(),),
        {"attributes": 4, "payload": raw.compress("zstd", b"abc")[:-1]},
        "zstd data are broken",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_batch_is_one_dead_letter(name: str) -> None:
    records, options, told = BROKEN[name]
    data = raw.batch(records, base_offset=BASE, **options)
    found = letter(stored(data))
    assert found.offset == BASE
    assert found.last >= BASE
    assert found.value == data
    assert found.fault.startswith(f"the batch of offsets {BASE} to {found.last} can't be read: ")
    assert re.search(told, found.fault), found.fault
    assert len(found.fault) < 300
    with pytest.raises(BatchError, match="can't be read"):
        stored(data).read_all()


def test_the_letter_of_a_large_batch_is_cut() -> None:
    data = batch(raw.Record(value=bytes(SHOWN_OF_LARGE), offset_delta=5))
    found = letter(stored(data))
    assert found.value == data[:SHOWN_OF_LARGE]
    assert found.value_size == len(data)
    assert letter(stored(batch(raw.Record(offset_delta=5)))).value_size == 0


def zeros(size: int) -> raw.Record:
    return raw.Record(b"k", bytes(size))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_a_batch_unpacks_to_is_bounded(codec: str) -> None:
    """64 MiB are read, one byte more is a dead letter, and so is much more. No more memory is taken than that."""
    front = len(zeros(MAX_UNPACKED - 100).encode(0)) - (MAX_UNPACKED - 100)
    whole = batch(zeros(MAX_UNPACKED - front), codec=codec)
    [[record]] = slices(stored(whole))
    assert isinstance(record, CutRecord)
    assert (record.is_batch, record.key, record.value) == (False, b"k", bytes(SHOWN_OF_LARGE))
    assert record.value_size == MAX_UNPACKED - front
    assert record.fault == f"the value has {record.value_size} bytes, more than {MIB}"
    for size in (MAX_UNPACKED - front + 1, 2 * MAX_UNPACKED):
        assert f"unpack to more than {MAX_UNPACKED} bytes" in letter(stored(batch(zeros(size), codec=codec))).fault


def test_parts_over_1_mib_are_cut() -> None:
    """Others of the same batch are not."""
    large = MIB + 1
    headers = [(b"h", b"x" * 1000)] * 1100
    made = [
        raw.Record(b"k" * large, b"v", [(b"h", b"x")]),
        raw.Record(b"k", b"v" * large),
        raw.Record(b"k", b"v", headers),
        raw.Record(b"k" * MIB, b"v" * MIB, headers[:1000]),
        raw.Record(None, None),
    ]
    for codec in ("none", "gzip"):
        key, value, header, whole, none = [r for records in slices(stored(batch(*made, codec=codec))) for r in records]
        assert isinstance(key, CutRecord)
        assert isinstance(value, CutRecord)
        assert isinstance(header, CutRecord)
        assert (key.key, key.key_size, key.value, key.fault) == (b"k" * SHOWN_OF_LARGE, large, b"v", "")
        assert header_count(key.headers) == 1
        assert (value.value, value.value_size, value.key_size) == (b"v" * SHOWN_OF_LARGE, large, 0)
        assert (header.headers, header.value, header.fault) == (b"", b"v", "")
        assert header.headers_size > 1100 * 1000
        assert type(whole) is type(none) is Record
        assert (whole.key, whole.value, header_count(whole.headers)) == (b"k" * MIB, b"v" * MIB, 1000)
        assert (none.key, none.value, none.headers, none.offset) == (None, None, b"", BASE + 4)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("others", [0, 600])
def test_parts_over_1_mib_are_cut_in_usual_batches(codec: str, others: int) -> None:
    large, small = MIB + 1, [raw.Record(b"k", b"v")] * others
    for made in (raw.Record(b"k" * large, b"v"), raw.Record(b"k", b"v" * large)):
        found = [r for records in slices(stored(batch(*small, made, codec=codec))) for r in records]
        assert isinstance(found[-1], CutRecord)
        assert found[-1].key_size + found[-1].value_size == large


def test_headers_of_a_batch_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_reader, "MAX_HEADERS", 1000)
    made = [raw.Record(b"k", b"v", [(b"", None)] * 500) for _ in range(3)]
    assert len(slices(stored(batch(*made[:2], codec="zstd")))) == 1
    assert "more than 1000 headers" in letter(stored(batch(*made))).fault


def test_rows_may_be_large_and_compaction_leaves_gaps() -> None:
    row = raw.Record(b"k", b"v" * (3 * MIB), offset_delta=4)
    data = batch(raw.Record(offset_delta=1), row, count=2, last_offset_delta=7)
    found = stored(data, strict=False).read_all()
    assert [(r.offset, len(r.value or b"")) for r in found] == [(BASE + 1, 0), (BASE + 4, 3 * MIB)]
    assert [r.offset for r in stored(data, BASE + 2, strict=False).read_all()] == [BASE + 4]
    assert stored(batch(count=0, last_offset_delta=7), strict=False).read_all() == []
    for deltas in ((1, 1), (2, 1), (0, 8)):
        twisted = [raw.Record(offset_delta=delta) for delta in deltas]
        with pytest.raises(BatchError, match="has offset"):
            stored(batch(*twisted, last_offset_delta=7), strict=False).read_all()
    assert letter(stored(data)).last == BASE + 7


def independent(data: bytes) -> list[tuple[Any, ...]] | None:
    try:
        return [(r.offset, r.key, r.value, len(r.headers)) for r in Independent(data).records()]
    except BrokenBatchError:
        return None


def own(data: bytes) -> list[tuple[Any, ...]] | None:
    found = [record for records in slices(stored(data)) for record in records]
    if isinstance(found[0], CutRecord) and found[0].is_batch:
        return None
    return [(r.offset, r.key, r.value, header_count(r.headers)) for r in found]


def mutant(chance: random.Random) -> bytes:
    """Return a batch with some changed bytes, in its records or in what they are compressed to."""
    made = []
    for n in range(chance.choice((1, 2, 5, 40))):
        names: Sequence[bytes] = (b"a", b"", b"\xff", b"x" * 70)
        headers = [(chance.choice(names), chance.choice((None, b"", b"y" * 150))) for _ in range(chance.choice((0, 3)))]
        delta = chance.choice((0, 1, -1, 40, 2**31)) if chance.random() < 0.03 else None
        key, value = chance.choice((None, b"", b"k" * 70)), chance.choice((None, b"", b"v" * 300))
        made.append(raw.Record(key, value, headers, chance.randrange(256), n * 50, delta))
    data = bytearray(b"".join(record.encode(n) for n, record in enumerate(made)))
    for _ in range(chance.choice((0, 0, 1, 2))):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 2, 127, 128, 255))
    codec = chance.choice(list(raw.CODECS))
    packed = bytearray(raw.compress(codec, bytes(data)))
    if chance.random() < 0.1:
        packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
    return raw.batch(made, base_offset=BASE, payload=bytes(packed), attributes=raw.CODECS[codec])


@pytest.mark.parametrize("seed", range(4))
def test_an_independent_reader_agrees_on_mutants(seed: int) -> None:
    chance, broken = random.Random(seed), 0
    for _ in range(500):
        data = mutant(chance)
        expected = independent(data)
        broken += expected is None
        assert own(data) == expected, data.hex()
    assert 100 < broken < 400


def test_small_batches_are_unpacked_at_once() -> None:
    """They need no thread: up to 256 KiB, whatever their compression."""
    data = batch(raw.Record(value=bytes(SMALL - 20)), codec="zstd")
    assert len(stored(data).read(0)) == 1
    assert cramjam.zstd.decompress(data[61:]).len() > SMALL - 20
