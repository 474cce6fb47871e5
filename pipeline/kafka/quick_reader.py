"""Reads records with aiokafka's reader, which is compiled: five times as fast as `record_reader` without a compiler.

It is used for batches that both read alike, and that cost little memory. None of its answers is taken on trust: a batch
in which anything is unusual is left to `record_reader`, which decides (docs/internals/adr/0010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecordBatch

from pipeline.core.merge import Record
from pipeline.kafka.record_reader import MAX_PART, varint

MAX_RAW: Final = 4 << 20
"""Bytes of a batch that is read here."""
MAX_HEADERS: Final = 4
"""Headers of a record. Each takes 150 bytes of memory, and may take 2 in its batch."""


def begin(raw: bytes, pos: int, count: int) -> Iterator[Any] | None:
    """Return the records of an unpacked batch, None if it is unusual. `raw` is the batch, `pos` where records begin.

    aiokafka takes the attributes of a record for a number of several bytes, so they are looked at first. A record that
    may have a part to cut is unusual.
    """
    if len(raw) > MAX_RAW:
        return None
    end, number = len(raw), 0
    try:
        while pos < end:
            length: int = raw[pos]
            if length < 128:
                pos += 1
            else:
                second: int = raw[pos + 1]
                if second < 128:
                    length = length & 127 | second << 7
                    pos += 2
                else:
                    length, pos = varint(raw, pos)
            if raw[pos] > 127 or length & 1 or length > 2 * MAX_PART:
                return None
            pos += length >> 1
            number += 1
        if number != count or pos != end:
            return None
        records: Iterator[Any] = iter(DefaultRecordBatch(raw))
        return records
    except Exception:
        return None


def check(records: Iterator[Any], offset: int) -> bool:
    """Return whether all records are usual, and their offsets rise by one from `offset` on."""
    try:
        for record in records:
            if record.offset != offset or record.key is None or record.value is None or not _usual(record.headers):
                return False
            offset += 1
    except Exception:  # of any kind: it is not documented which
        return False
    return True


def read_all(records: Iterator[Any], offset: int, time: int) -> list[Record] | None:
    """Return all records of a small batch, whose offsets rise by one from `offset` on. None: one is unusual."""
    try:
        found = [Record(time, r.offset, r.key, r.value, tuple(h) if (h := r.headers) else ()) for r in records]
    except Exception:
        return None
    for record in found:
        if record.offset != offset or record.key is None or record.value is None:
            return None
        if record.headers and not _usual(record.headers):
            return None
        offset += 1
    return found


def read_rows(records: Iterator[Any], offset: int, time: int) -> list[Record] | None:
    """Return all records of a batch that was compacted, from `offset` on. None: one is unusual."""
    found: list[Record] = []
    try:
        for record in records:
            if record.offset < offset or record.key is None or record.headers:
                return None
            offset = record.offset
            found.append(Record(time, offset, record.key, record.value, ()))
            offset += 1
    except Exception:
        return None
    return found


def read(records: Iterator[Any], offset: int, time: int, most: int, size: int) -> list[Record] | None:
    """Return the next records, `most` of them, or fewer with this `size` of their values. `offset` is that of the
    first. None: one is unusual."""
    found: list[Record] = []
    try:
        for record in records:
            key, value, headers = record.key, record.value, record.headers
            if record.offset != offset or key is None or value is None:
                return None
            if headers:
                if not _usual(headers):
                    return None
                found.append(Record(time, offset, key, value, tuple(headers)))
            else:
                found.append(Record(time, offset, key, value, ()))
            offset += 1
            size -= len(value)
            if size < 0 or len(found) >= most:
                break
    except Exception:
        return None
    return found


def _usual(headers: Any) -> bool:
    if len(headers) > MAX_HEADERS:
        return False
    return all(value is not None for _, value in headers)
