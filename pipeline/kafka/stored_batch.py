"""A batch as the broker stores it, kept packed until its records are read (Kafka's message format 2, KIP-98).

The broker checks little of what it stores: a batch may hold other records than its header says, and unpack to any size.
So all of it is checked before its first record is read, and its records are read a slice at a time.
"""

from __future__ import annotations

import time as clock
from struct import Struct
from typing import Any, Final, NamedTuple

import google_crc32c

from pipeline.core.merge import Batch, CutRecord, PackedError, Record
from pipeline.kafka.record_reader import SHOWN_OF_LARGE, WINDOW, BatchError, RecordReader
from pipeline.kafka.unpacking import unpack, unpack_small

MAX_RECORDS: Final = 65_536
"""Records of a batch (contract §4)."""
SLICE_BYTES: Final = 64 << 10
SLICE_RECORDS: Final = 512
"""Bytes and records that are read at a time: what a queue holds unpacked for each partition."""
HEAD: Final = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic byte, checksum, attributes, last offset delta, first and highest time,
producer id, epoch and sequence, number of records."""
BASE_END: Final = 8
LENGTH_END: Final = 12
"""Where the base offset and the length end."""
UNCOUNTED: Final = LENGTH_END
"""Bytes of a batch that its length does not count."""
_CHECKED_FROM: Final = 21
"""The checksum covers the bytes from here on."""
_OLD_HEAD: Final = 17
"""Bytes up to the magic byte, which all formats have in common."""
OVERHEAD: Final = 500
"""Bytes of memory that a batch takes besides its data."""
_MAGIC: Final = 2
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20  # the other attributes are reserved


class BatchHead(NamedTuple):
    """What the head of a batch says."""

    base: int
    length: int
    leader_epoch: int
    magic: int
    checksum: int
    attributes: int
    last_delta: int
    first_time: int
    highest_time: int
    producer: int
    epoch: int
    sequence: int
    records: int

    @property
    def last(self) -> int:
        """The last offset; at least the first one, whatever the head says."""
        return self.base + max(self.last_delta, 0) if self.magic >= _MAGIC else self.base

    @property
    def control(self) -> bool:
        """Whether it is a marker of a transaction."""
        return self.magic >= _MAGIC and bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return self.magic >= _MAGIC and bool(self.attributes & _TRANSACTIONAL)


def head_of(data: bytes) -> BatchHead | None:
    """Return the head of a batch, None if the batch is damaged: its checksum is wrong, or it is too short."""
    if len(data) < HEAD.size:
        old = len(data) >= _OLD_HEAD and data[_OLD_HEAD - 1] < _MAGIC
        return BatchHead._make(HEAD.unpack(data.ljust(HEAD.size, b"\0"))) if old else None
    head = BatchHead._make(HEAD.unpack_from(data))
    if head.magic >= _MAGIC and google_crc32c.value(data[_CHECKED_FROM:]) != head.checksum:
        return None
    return head


class StoredBatch(Batch):
    """A batch of one topic-partition.

    first       its first offset
    last        its last offset
    written_at  the highest time of its records, by the broker's clock or by the producer's (microseconds)
    held        bytes of memory that its unpacked form takes, if it was unpacked in the background
    used_at     when its unpacked form was last used (monotonic seconds)
    """

    __slots__ = (
        "_codec", "_data", "_fault", "_large", "_raw", "_reader", "_size", "first", "held", "last", "used_at",
        "written_at",
    )  # fmt: skip

    def __init__(self, head: BatchHead, data: bytes, start: int, *, strict: bool) -> None:
        """`data` is the whole batch. Records before offset `start` are left out. `strict`: each offset from the first
        to the last must have a record, as in a topic that is not compacted."""
        self.first = head.base
        self.last = head.last
        self.held = 0
        self.used_at = 0.0
        self._data = data
        self._codec = head.attributes & _CODEC
        self._large = False
        self._fault: str | None = _fault_of(head, strict)
        """Why the batch can't be read; "" if it can, None if that is not known yet."""
        begin = 0 if self._codec else HEAD.size
        self._reader = RecordReader(head.base, self.last, head.records, begin, strict)
        self._raw: Any = None
        self._size = 0
        """The unpacked bytes, and how many they are. `_raw` may be larger."""
        offset = max(start, head.base)
        self.written_at = head.highest_time * 1000
        time = self.written_at if head.attributes & _APPEND_TIME else 0
        super().__init__(time, offset, 1 if self._fault else self.last - offset + 1, len(data) + OVERHEAD)

    def read(self, time: int) -> list[Record]:
        """Return the next records. See `Batch.read`; a batch that can't be read gives one CutRecord."""
        time = self.time or time
        if not self._fault:
            try:
                self._unpack_small()
                found = self._next(time)
            except BatchError as error:
                self._fault = str(error)
        if self._fault:
            self.count = 0
            self.close()
            return [self._letter(time, self._fault)]
        return found

    def read_all(self) -> list[Record]:
        """Return all records, unpacking at once. Raises BatchError, whose text names the offsets."""
        found: list[Record] = []
        try:
            if self._fault is None:
                self.unpack()
            if self._fault:
                raise BatchError(self._text(self._fault))
            self._reader.read_all(self._raw, self._size, self.time, found)
        finally:
            self.close()
        return [record for record in found if record.offset >= self.offset]

    def unpack(self) -> None:
        """Unpack and check the batch, whatever its size. May run in a thread, once at a time."""
        try:
            raw, size = unpack(self._codec, self._data[HEAD.size :]) if self._codec else (self._data, len(self._data))
        except BatchError as error:
            self._fault = str(error)
            return
        fault = self._fault
        if fault is None:
            try:
                self._reader.copy().read_all(raw, size, 0, None)
                self._reader.checked = True
                fault = ""
            except BatchError as error:
                fault = str(error)
        self.used_at = clock.monotonic()
        self.held = size if self._codec else 0
        self._size = size
        self._raw = raw
        self._fault = fault  # last: a reader in another thread looks at it first

    def close(self) -> None:
        """Drop the unpacked form. It can be unpacked again."""
        raw, self._raw, self.held = self._raw, None, 0
        if raw is not None and not isinstance(raw, bytes):
            raw.close()

    def _unpack_small(self) -> None:
        """Unpack the batch at once, unless it is large: then raises PackedError."""
        if self._raw is not None and self._fault is not None:
            return
        if not self._codec and len(self._data) <= WINDOW:
            self._raw = self._data
        elif self._large or not self._codec:
            raise PackedError(self)
        else:
            raw = unpack_small(self._codec, self._data[HEAD.size :])
            if raw is None:
                self._large = True
                raise PackedError(self)
            self._raw = raw
        self._size = len(self._raw)

    def _next(self, time: int) -> list[Record]:
        """Return a slice of the unpacked records. Raises BatchError for the first one."""
        reader, found = self._reader, list[Record]()
        self.used_at = clock.monotonic()
        if self._fault is None:
            if self._size <= SLICE_BYTES and reader.count <= SLICE_RECORDS:
                reader.read_all(self._raw, self._size, time, found)
            else:
                reader.copy().read_all(self._raw, self._size, 0, None)
                reader.checked = True
            self._fault = ""
        while not found or found[-1].offset < self.offset:
            reader.read(self._raw, self._size, time, SLICE_BYTES, SLICE_RECORDS, found)
        if found[0].offset < self.offset:
            found = [record for record in found if record.offset >= self.offset]
        self.offset = reader.offset
        self.count = self.last - self.offset + 1
        if not self.count:
            self.close()
        return found

    def _letter(self, time: int, fault: str) -> CutRecord:
        size = len(self._data)
        shown = self._data[:SHOWN_OF_LARGE]
        cut = size if size > SHOWN_OF_LARGE else 0
        text = self._text(fault)
        return CutRecord(time, self.first, None, shown, b"", text, self.last, value_size=cut, is_batch=True)

    def _text(self, fault: str) -> str:
        return f"the batch of offsets {self.first} to {self.last} can't be read: {fault}"


def _fault_of(head: BatchHead, strict: bool) -> str | None:
    """Return why a batch with this head can't be read; None if its records must tell."""
    if head.magic != _MAGIC:
        return f"it has Kafka's message format {head.magic}, expected {_MAGIC}"
    if head.last_delta < 0 or head.records < 0 or (strict and head.records != head.last_delta + 1):
        return f"it declares {head.records} records, and its last offset is {head.last_delta} after its first"
    if head.records > MAX_RECORDS:
        return f"it has {head.records} records, more than {MAX_RECORDS}"
    return None
