"""Record batches, ready for the wire (Kafka's message format 2, KIP-98), made of records that are encoded already.

aiokafka's builder encodes key, value and each header of a record anew; most of what we write is the same for all
events of a room or of a type. A record's own bytes begin behind its offset in the batch, so they are made when it is
said (`encode`), in whatever unit that is; `Batch` puts lengths, offsets and one header before them.

`Batch` behaves as the `BatchBuilder` of aiokafka, as far as its producer asks. This file touches private names of
aiokafka; the versions are pinned, and tests/test_private_names.py fails when a name goes away.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

import google_crc32c

from pipeline.model.avro import LONG, length

MAX_BATCH: Final = 900_000
"""Bytes of one record batch; a record that is larger than that goes alone."""
OVERHEAD: Final = 61
"""Bytes of a batch before its records."""

# Kafka's varints are Avro's: zigzag, seven bits a byte.
_NULL: Final = LONG[-1]
_NO_HEADERS: Final = LONG[0]
_FRONT: Final = Struct(">qiibI")
_REST: Final = Struct(">hiqqqhii")
_MAGIC: Final = 2
_TRANSACTIONAL: Final = 0x10
_NO_LEADER_EPOCH: Final = -1
_AFTER: Final = 12
"""What a batch's length does not count: its base offset, and the length."""
_MANY: Final = 3 * 64
"""Parts that are put together, three a record: of parts that are too small, checksum and request take longer."""


def header(name: str, value: bytes | None) -> bytes:
    """One header of a record."""
    key = name.encode()
    return b"".join((LONG[len(key)], key, _NULL if value is None else LONG[len(value)], value or b""))


def encode(key: bytes | None, value: bytes | None, headers: Sequence[bytes] = ()) -> bytes:
    """A record from its key on; `headers` are made by `header`."""
    return b"".join(
        (
            _NULL if key is None else LONG[len(key)],
            key or b"",
            _NULL if value is None else LONG[len(value)],
            value or b"",
            LONG[len(headers)],
            *headers,
        )
    )


def encode_row(key: bytes, value: bytes | None) -> bytes:
    """The same for a record without headers."""
    if value is None:
        return b"".join((length(len(key)), key, _NULL, _NO_HEADERS))
    return b"".join((length(len(key)), key, length(len(value)), value, _NO_HEADERS))


class Parts:
    """Bytes in parts that lie one behind the other, for who copies them once, at the end."""

    __slots__ = ("_size", "parts")

    def __init__(self, parts: list[bytes], size: int) -> None:
        """`size` is that of all of them, in bytes."""
        self.parts: Final = parts
        self._size: Final = size

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


class Batch:
    """The records of one batch; closed from the beginning."""

    def __init__(self, records: Parts, count: int) -> None:
        """`records` are `count` of them, as a batch holds them: see `Batches`."""
        self._records = records
        self._count = count
        self._producer = (-1, -1, -1)

    def close(self) -> None:
        """Nothing: it is."""

    def closed(self) -> bool:
        """Always: nothing can be appended."""
        return True

    def record_count(self) -> int:
        """How many records it holds."""
        return self._count

    def size(self) -> int:
        """Its bytes."""
        return OVERHEAD + len(self._records)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> Parts:
        now = int(time.time() * 1000)  # the topics are LogAppendTime: the broker writes its own over it
        last = self._count - 1
        head = _REST.pack(_TRANSACTIONAL, last, now, now, *self._producer, self._count)
        checksum = google_crc32c.value(head)
        for part in self._records.parts:
            checksum = google_crc32c.extend(checksum, part)
        size = self.size()
        front = _FRONT.pack(0, size - _AFTER, _NO_LEADER_EPOCH, _MAGIC, checksum)
        return Parts([front, head, *self._records.parts], size)


class Batches:
    """The records of one topic-partition in as few batches as they fit into.

    They are put together as they come, by the slice (`pack`): what was just made is still in the processor's cache.
    """

    __slots__ = ("_closed", "_count", "_packed", "_parts", "_size")

    def __init__(self) -> None:
        self._closed: list[Batch] = []
        self._packed: list[bytes] = []
        self._parts: list[bytes] = []
        self._count = self._size = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, record: bytes) -> None:
        """One more, made by `encode`."""
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
        if len(self._parts) >= _MANY:
            self.pack()

    def pack(self) -> None:
        """Let go of the single records."""
        if self._parts:
            self._packed.append(b"".join(self._parts))
            self._parts.clear()

    def close(self) -> list[Batch]:
        """All of them; none when there is no record."""
        if self._count:
            self._close()
        return self._closed

    def _close(self) -> None:
        self.pack()
        self._closed.append(Batch(Parts(self._packed, self._size), self._count))
        self._packed = []
        self._count = self._size = 0


def batches(records: Iterable[bytes]) -> list[Batch]:
    """Records, made by `encode`, in as few batches as they fit into."""
    made = Batches()
    for record in records:
        made.add(record)
    return made.close()


_fronts: Final[list[bytes]] = []
"""What comes before the key of the nth record of a batch: attributes, time and offset in it."""
