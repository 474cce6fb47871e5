"""Record batches (Kafka's message format 2, KIP-98) made of records that are already encoded.

aiokafka's builder encodes key, value and headers for each record, although most are the same for all events of a room
or of a type. Here, `encode` makes the bytes of a record when its event is created; they do not depend on its offset in
the batch. `Batches` adds lengths and offsets, and `Batch` the batch header.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

import google_crc32c

from pipeline.kafka.record_reader import varint
from pipeline.model.avro import LONG, length
from pipeline.model.trace_context import Headers

MAX_BATCH: Final = 900_000
"""Maximum bytes of the records in a batch; a larger record gets its own batch."""
OVERHEAD: Final = 61
"""Bytes of a batch header."""

# Kafka encodes varints like Avro: zigzag, seven bits per byte.
_NULL: Final = LONG[-1]
_NO_HEADERS: Final = LONG[0]
_FRONT: Final = Struct(">qiibI")
_REST: Final = Struct(">hiqqqhii")
_MAGIC: Final = 2
_TRANSACTIONAL: Final = 0x10
_NO_LEADER_EPOCH: Final = -1
_UNCOUNTED: Final = 12  # bytes that a batch's length field does not count: the base offset, and the field itself
_PACK_PARTS: Final = 3 * 64  # parts, three per record, to join: with smaller ones, checksum and request take longer
_fronts: Final[list[bytes]] = []
"""The bytes before the key of the nth record of a batch: attributes, time delta, offset delta. Grows on demand."""


def header(name: str, value: bytes | None) -> bytes:
    """Encode one header of a record."""
    key = name.encode()
    return b"".join((LONG[len(key)], key, _NULL if value is None else LONG[len(value)], value or b""))


def encode(key: bytes | None, value: bytes | None, headers: Sequence[bytes] = ()) -> bytes:
    """Encode a record from its key on; `headers` come from `header`."""
    key_length = _NULL if key is None else LONG[len(key)]
    value_length = _NULL if value is None else LONG[len(value)]
    return b"".join((key_length, key or b"", value_length, value or b"", LONG[len(headers)], *headers))


def encode_copy(key: bytes | None, value: bytes | None, headers: Headers | bytes, more: Sequence[bytes]) -> bytes:
    """Encode a record from its key on; `headers` are those of a `merge.Record`, `more` come from `header`."""
    if not isinstance(headers, bytes):
        return encode(key, value, [*(header(*one) for one in headers), *more])
    count, begin = varint(headers, 0) if headers else (0, 0)
    key_length = _NULL if key is None else length(len(key))
    value_length = _NULL if value is None else length(len(value))
    number = length((count >> 1) + len(more))
    return b"".join((key_length, key or b"", value_length, value or b"", number, headers[begin:], *more))


def encode_row(key: bytes, value: bytes | None) -> bytes:
    """Encode a record without headers from its key on."""
    if value is None:
        return b"".join((length(len(key)), key, _NULL, _NO_HEADERS))
    return b"".join((length(len(key)), key, length(len(value)), value, _NO_HEADERS))


class Parts:
    """Contiguous bytes, `size` in all, kept as parts; copied once, when sent."""

    __slots__ = ("_size", "parts")

    def __init__(self, parts: list[bytes], size: int) -> None:
        self.parts: Final = parts
        self._size: Final = size

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


class Batch:
    """A complete batch, made by `Batches`."""

    def __init__(self, records: Parts, count: int) -> None:
        self._records = records
        self._count = count
        self._producer = (-1, -1, -1)

    def record_count(self) -> int:
        """Return the number of records."""
        return self._count

    def size(self) -> int:
        """Return the number of bytes."""
        return OVERHEAD + len(self._records)

    def set_producer(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """Set the producer, and the sequence number of the first record."""
        self._producer = producer_id, producer_epoch, base_sequence

    def build(self) -> Parts:
        """Return the bytes that a broker stores."""
        now = int(time.time() * 1000)  # replaced by the broker: the topics are LogAppendTime
        last = self._count - 1
        head = _REST.pack(_TRANSACTIONAL, last, now, now, *self._producer, self._count)
        checksum = google_crc32c.value(head)
        for part in self._records.parts:
            checksum = google_crc32c.extend(checksum, part)
        size = self.size()
        front = _FRONT.pack(0, size - _UNCOUNTED, _NO_LEADER_EPOCH, _MAGIC, checksum)
        return Parts([front, head, *self._records.parts], size)


class Batches:
    """Puts the records of one topic-partition into as few batches as they fit."""

    __slots__ = ("_closed", "_count", "_packed", "_parts", "_size")

    def __init__(self) -> None:
        self._closed: list[Batch] = []
        self._packed: list[bytes] = []
        self._parts: list[bytes] = []
        self._count = self._size = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, record: bytes) -> None:
        """Add a record made by `encode`."""
        if self._count and self._size + len(record) > MAX_BATCH:
            self._close()
        count = self._count
        while len(_fronts) <= count:
            _fronts.append(b"\0\0" + LONG[len(_fronts)])
        front = _fronts[count]
        size = len(front) + len(record)
        before = length(size)
        self._parts.append(before)
        self._parts.append(front)
        self._parts.append(record)
        self._count = count + 1
        self._size += size + len(before)
        if len(self._parts) >= _PACK_PARTS:
            self.pack()

    def pack(self) -> None:
        """Join the records added since the last call. Call it while they are still in the processor's cache."""
        if self._parts:
            self._packed.append(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> list[Batch]:
        """Return the batches; none without records."""
        if self._count:
            self._close()
        return self._closed

    def _close(self) -> None:
        self.pack()
        self._closed.append(Batch(Parts(self._packed, self._size), self._count))
        self._packed = []
        self._count = self._size = 0


def batches(records: Iterable[bytes]) -> list[Batch]:
    """Put records made by `encode` into as few batches as they fit."""
    result = Batches()
    for record in records:
        result.add(record)
    return result.close()
