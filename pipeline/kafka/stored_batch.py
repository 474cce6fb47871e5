"""A batch as the broker stores it, kept packed until its records are read (Kafka's message format 2, KIP-98).

The broker checks little of what it stores: a batch may hold other records than its header says, and unpack to any size.
So all of it is checked before its first record is read, and its records are read a slice at a time.
"""

from __future__ import annotations

import time as clock
from struct import Struct
from typing import Any, Final, NamedTuple

import google_crc32c
from aiokafka.record.default_records import DefaultRecordBatch

from pipeline.core.merge import Batch, CutRecord, PackedError, Record
from pipeline.kafka import quick_reader
from pipeline.kafka.record_reader import SHOWN_OF_LARGE, WINDOW, BatchError, RecordReader
from pipeline.kafka.unpacking import unpack, unpack_small

MAX_RECORDS: Final = 65_536
"""Records of a batch (contract §4)."""
SLICE_BYTES: Final = 64 << 10
SLICE_RECORDS: Final = 512
"""Bytes and records that are read at a time of a large batch: what a queue holds of it."""
WHOLE_BYTES: Final = 256 << 10
WHOLE_RECORDS: Final = 1024
"""Bytes and records of a batch that is read as a whole: to check it first takes as long again."""
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
_ATTRIBUTES_AT: Final = 22  # their lower byte
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
        return self.base + self.last_delta if self.magic >= _MAGIC and self.last_delta > 0 else self.base

    @property
    def codec(self) -> int:
        """Its compression; `unpacking.codec_name` names it."""
        return self.attributes & _CODEC

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
        return BatchHead(*HEAD.unpack(data.ljust(HEAD.size, b"\0"))) if old else None
    head = BatchHead(*HEAD.unpack_from(data))
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
        "_checked", "_codec", "_data", "_declared", "_fault", "_is_quick", "_large", "_quick",
        "_quick_offset", "_raw", "_size", "_strict", "first", "held", "last", "used_at", "written_at",
    )  # fmt: skip

    def __init__(self, head: BatchHead, data: bytes, start: int, *, strict: bool) -> None:
        """`data` is the whole batch. Records before offset `start` are left out. `strict`: each offset from the first
        to the last must have a record, as in a topic that is not compacted."""
        self.first = head.base
        self.last = head.last
        self.held = 0
        self.used_at = 0.0
        self._data = data
        self._codec = head.codec
        self._large = False
        self._fault: str | None = _fault_of(head, strict)
        """Why the batch can't be read; "" if it can, None if that is not known yet."""
        self._strict = strict
        self._declared = head.records
        self._checked: RecordReader | None = None
        """The place of the next record, once they were checked."""
        self._raw: Any = None
        self._size = 0
        """The batch with its records unpacked, and its bytes. `_raw` may be larger."""
        self._is_quick = False
        """Whether aiokafka's reader serves for the records, once they were checked."""
        self._quick: Any = None
        self._quick_offset = self.first
        """Its iterator, and the offset of the next record."""
        offset = max(start, head.base)
        self.written_at = head.highest_time * 1000
        time = self.written_at if head.attributes & _APPEND_TIME else 0
        super().__init__(time, offset, 1 if self._fault else self.last - offset + 1, len(data) + OVERHEAD)

    def read(self, time: int) -> list[Record]:
        """Return the next records. See `Batch.read`; a batch that can't be read gives one CutRecord."""
        time = self.time or time
        try:
            if not self._fault:
                self._unpack_small()
                return self._next(time)
        except BatchError as error:
            self._fault = str(error)
        self.count = 0
        self.close()
        return [self._letter(time, self._fault)]

    def read_all(self) -> list[Record]:
        """Return all records, unpacking at once. Raises BatchError, whose text names the offsets."""
        try:
            if self._fault:
                raise BatchError(self._fault)
            self._raw, self._size = self._unpacked()
            found = self._read_all(self.time)
        except BatchError as error:
            raise BatchError(self._text(str(error))) from None
        finally:
            self.close()
        if found and found[0].offset < self.offset:
            return [record for record in found if record.offset >= self.offset]
        return found

    def unpack(self) -> None:
        """Unpack and check the batch, whatever its size. May run in a thread, once at a time."""
        try:
            raw, size = self._unpacked()
        except BatchError as error:
            self._fault = str(error)
            return
        fault, self._quick = self._fault, None
        if fault is None:
            try:
                self._check(raw, size)
                fault = ""
            except BatchError as error:
                fault = str(error)
        self.used_at = clock.monotonic()
        self.held = size if self._codec else 0
        self._size = size
        self._raw = raw
        self._fault = fault  # last: a reader in another thread looks at it first

    def _unpacked(self) -> tuple[Any, int]:
        """Return the batch with its records unpacked, and its bytes. Raises BatchError."""
        if not self._codec:
            return self._data, len(self._data)
        memory, size = unpack(self._codec, self._data[HEAD.size :], HEAD.size)
        if size > quick_reader.MAX_RAW:
            return memory, size
        with memory:
            return self._head() + memory[HEAD.size : size], size

    def _head(self) -> bytes:
        """Return the head of the batch without its compression."""
        at = _ATTRIBUTES_AT
        return self._data[:at] + bytes([self._data[at] & ~_CODEC]) + self._data[at + 1 : HEAD.size]

    def close(self) -> None:
        """Drop the unpacked form. It can be unpacked again."""
        raw, self._raw, self._quick, self.held = self._raw, None, None, 0
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
            raw = unpack_small(self._codec, self._data[HEAD.size :], self._head())
            if raw is None:
                self._large = True
                raise PackedError(self)
            self._raw = raw
        self._size = len(self._raw)

    def _check(self, raw: Any, size: int) -> None:
        """Check all records. Raises BatchError."""
        quick = False
        if self._strict and isinstance(raw, bytes):
            records = quick_reader.begin(raw, HEAD.size, self._declared)
            quick = records is not None and quick_reader.check(records, self.first)
        if not quick:
            self._reader().read_all(raw, size, 0, None)
        self._is_quick = quick
        self._checked = self._reader(checked=True)

    def _reader(self, *, checked: bool = False) -> RecordReader:
        return RecordReader(self.first, self.last, self._declared, HEAD.size, self._strict, checked)

    def _next(self, time: int) -> list[Record]:
        """Return a slice of the unpacked records. Raises BatchError for the first one."""
        found: list[Record] = []
        if self._fault is None:
            if self._size <= WHOLE_BYTES and self._declared <= WHOLE_RECORDS:
                found = self._read_all(time)
            else:
                self._check(self._raw, self._size)
            self._fault = ""
        while not found or found[-1].offset < self.offset:
            found = self._read_slice(time)
        if found[0].offset < self.offset:
            found = [record for record in found if record.offset >= self.offset]
        self.offset = found[-1].offset + 1
        self.count = self.last - self.offset + 1
        if not self.count:
            self.close()
        return found

    def _read_all(self, time: int) -> list[Record]:
        """Return all records. Raises BatchError."""
        if isinstance(self._raw, bytes):
            records = quick_reader.begin(self._raw, HEAD.size, self._declared)
            if records is not None:
                read = quick_reader.read_all if self._strict else quick_reader.read_rows
                quick = read(records, self.first, time)
                if quick is not None and len(quick) == self._declared and (not quick or quick[-1].offset <= self.last):
                    return quick
        found: list[Record] = []
        self._reader().read_all(self._raw, self._size, time, found)
        return found

    def _read_slice(self, time: int) -> list[Record]:
        """Return the next records of a batch that was checked."""
        reader, found = self._checked, list[Record]()
        assert reader is not None
        self.used_at = clock.monotonic()
        if not self._is_quick:
            reader.read(self._raw, self._size, time, SLICE_BYTES, SLICE_RECORDS, found)
            return found
        if self._quick is None:
            # aiokafka's iterator can't be used in a second loop.
            self._quick = iter(iter(DefaultRecordBatch(self._raw)).__next__, None)
            for _ in range(self._quick_offset - self.first):
                next(self._quick)
        quick = quick_reader.read(self._quick, self._quick_offset, time, SLICE_RECORDS, SLICE_BYTES)
        assert quick, "the records were checked"
        self._quick_offset = quick[-1].offset + 1
        return quick

    def _letter(self, time: int, fault: str | None) -> CutRecord:
        size = len(self._data)
        shown = self._data[:SHOWN_OF_LARGE]
        cut = size if size > SHOWN_OF_LARGE else 0
        text = self._text(fault)
        return CutRecord(time, self.first, None, shown, (), text, self.last, value_size=cut, is_batch=True)

    def _text(self, fault: str | None) -> str:
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
