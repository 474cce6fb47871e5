"""Reads the records of a batch that is unpacked (Kafka's message format 2, KIP-98). Trusts none of its bytes.

    Record => Length Attributes TimeDelta OffsetDelta Key Value Headers, all numbers zigzag varints

Kafka reserves the attributes of a record, and its append time is that of the batch: both are skipped. Headers are
checked and kept as they are stored. aiokafka's reader makes a string of each header name and a tuple of each header: it
fails on a name that is not UTF-8, and takes 5 GB for a batch of 64 MiB of empty headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.core.merge import CutRecord, Record
from pipeline.errors import SignalError
from pipeline.model.codec import MAX_VALUE

MAX_PART: Final = MAX_VALUE
"""Bytes of a key, a value, or the headers of a record. What is larger is cut (contract §4)."""
SHOWN_OF_LARGE: Final = 64 << 10
"""Bytes that a dead letter carries of a larger key or value, or of a batch."""
MAX_HEADERS: Final = 1 << 20
"""Headers of all records of a batch together. To check so many takes 0.3 s."""
WINDOW: Final = 1 << 20
"""Bytes of a large batch that are copied to look at them; larger records are read in place."""

_MAX_DIGITS: Final = 10  # bytes of a 64-bit varint
_NULL: Final = 1  # the zigzag form of -1, the only negative length


class BatchError(SignalError):
    """A batch can't be read. The text says why."""


def varint(data: Any, pos: int) -> tuple[int, int]:
    """Return the unsigned varint at `pos`, and the position behind it. Raises BatchError, IndexError."""
    value = shift = 0
    for _ in range(_MAX_DIGITS):
        byte: int = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, pos
        shift += 7
    raise BatchError(f"a number has more than {_MAX_DIGITS} bytes")


class RecordReader:
    """The place of the next record in a batch.

    index   the records before it
    offset  its offset, or a lower one where compaction left a gap
    pos     where it begins in the unpacked bytes
    checked whether all records were checked before
    """

    __slots__ = ("_base", "_headers", "_last", "_strict", "checked", "count", "index", "offset", "pos")

    def __init__(self, base: int, last: int, count: int, pos: int, strict: bool, checked: bool) -> None:
        """`base` and `last` are the batch's first and last offset, `count` is the number of records that it declares.

        `strict`: each offset has its record. Compaction removes some.
        """
        self._base = base
        self._last = last
        self._strict = strict
        self._headers = MAX_HEADERS
        self.checked = checked
        self.count = count
        self.index = 0
        self.offset = base
        self.pos = pos

    def read_all(self, raw: Any, size: int, time: int, found: list[Record] | None) -> None:
        """Read all records that are left of the `size` bytes of `raw`. See `read`. Raises BatchError."""
        while self.index < self.count:
            self.read(raw, size, time, WINDOW, self.count, found)
        if self.pos != size:
            raise BatchError(f"{size - self.pos} bytes follow its {self.count} records")

    def read(self, raw: Any, size: int, time: int, most: int, records: int, found: list[Record] | None) -> None:
        """Read records of `raw`: at least one, then until there are so many `records`, or `most` bytes.

        They are added to `found`, with `time` as their time. None: they are only checked. Raises BatchError.
        """
        try:
            if isinstance(raw, bytes):
                self._read(raw, 0, size, time, self.pos + most, records, found)
                return
            begin, before = self.pos, self.index
            end = min(begin + most, size)
            self._read(raw[begin:end], begin, size, time, end, records, found)
            if self.index == before:
                length, start = varint(raw, begin)
                if length >> 1 <= WINDOW:
                    stop = start + (length >> 1)
                    self._read(raw[begin:stop], begin, size, time, stop, 1, found)
                else:
                    self._read_large(raw, start, start + (length >> 1), time, found)
        except IndexError:
            raise BatchError(f"it ends before its {self.count} records do") from None

    def _read(
        self, data: bytes, at: int, size: int, time: int, most: int, records: int, found: list[Record] | None
    ) -> None:
        """Read the records that `data` contains as a whole. It begins at byte `at` of the `size` bytes of the batch."""
        base, last, strict = self._base, self._last, self._strict
        end, until = len(data), most - at
        pos, index = self.pos - at, self.index
        stop_index = min(index + records, self.count)
        want = (self.offset - base) << 1  # the zigzag form of the next offset delta
        while index < stop_index and pos < until:
            begin = pos
            if end - pos < 5 and at + end < size:
                break  # the next record's length may be cut by the window
            n: int = data[pos]
            pos += 1
            if n > 127:
                n, pos = varint(data, begin)
            stop = pos + (n >> 1)
            if n & 1 or at + stop > size:
                raise BatchError(f"record {index + 1} of {self.count} has a length of {_signed(n)} bytes")
            if n >> 1 > WINDOW or stop > end:
                self._at(index, want, at + begin)
                if stop <= end:
                    self._read_large(data, pos, stop, time, found)
                return
            pos += 1  # attributes
            if data[pos] > 127:
                _, pos = varint(data, pos)  # the time
            else:
                pos += 1
            n = data[pos]
            pos += 1
            if n > 127:
                n, pos = varint(data, pos - 1)
            if n != want:
                if strict or n < want or n & 1 or base + (n >> 1) > last:
                    raise self._wrong_offset(index, n)
                want = n
            key: bytes | None = None
            value: bytes | None = None
            n = data[pos]
            pos += 1
            if n > 127:
                n, pos = varint(data, pos - 1)
            if not n & 1:
                n >>= 1
                if found is not None:
                    key = data[pos : pos + n]
                pos += n
            elif n != _NULL:
                raise self._bad_length(index)
            n = data[pos]
            pos += 1
            if n > 127:
                n, pos = varint(data, pos - 1)
            if not n & 1:
                n >>= 1
                if found is not None:
                    value = data[pos : pos + n]
                pos += n
            elif n != _NULL:
                raise self._bad_length(index)
            headers = b""
            if pos + 1 != stop or data[pos] != 0:
                if not self.checked:
                    self._skip_headers(data, pos, stop, index)
                headers = data[pos:stop]
            pos = stop
            if found is not None:
                found.append(Record(time, base + (want >> 1), key, value, headers))
            index += 1
            want += 2
        self._at(index, want, at + pos)

    def _at(self, index: int, want: int, pos: int) -> None:
        self.index = index
        self.offset = self._base + (want >> 1)
        self.pos = pos

    def _read_large(self, raw: Any, pos: int, stop: int, time: int, found: list[Record] | None) -> None:
        """Read a record of more than WINDOW bytes, whose length ends before `pos`.

        Parts over MAX_PART are cut, unless compaction may leave gaps: workers write larger rows.
        """
        index = self.index
        _, pos = varint(raw, pos + 1)
        delta, pos = varint(raw, pos)
        offset = self._base + (delta >> 1)
        if delta & 1 or offset > self._last or offset < self.offset or (self._strict and offset != self.offset):
            raise self._wrong_offset(index, delta)
        key, key_size, pos = self._part(raw, pos, stop)
        value, value_size, pos = self._part(raw, pos, stop)
        if not self.checked:
            self._skip_headers(raw, pos, stop, index)
        headers_size = stop - pos if self._strict and stop - pos > MAX_PART else 0
        if found is not None:
            headers = b"" if headers_size else bytes(raw[pos:stop])
            if key_size or value_size or headers_size:
                fault = f"the value has {value_size} bytes, more than {MAX_PART}" if value_size else ""
                sizes = key_size, value_size, headers_size
                found.append(CutRecord(time, offset, key, value, headers, fault, offset, *sizes))
            else:
                found.append(Record(time, offset, key, value, headers))
        self._at(index + 1, (offset - self._base + 1) << 1, stop)

    def _part(self, raw: Any, pos: int, stop: int) -> tuple[bytes | None, int, int]:
        """Return a key or value, its original size if it was cut because it is too large, and the position behind."""
        length, pos = varint(raw, pos)
        if length == _NULL:
            return None, 0, pos
        size = length >> 1
        if length & 1 or size > stop - pos:
            raise self._bad_length(self.index)
        large = self._strict and size > MAX_PART
        shown = SHOWN_OF_LARGE if large else size
        return bytes(raw[pos : pos + shown]), size if large else 0, pos + size

    def _skip_headers(self, data: Any, pos: int, stop: int, index: int) -> None:
        """Check that the headers of a record begin at `pos` and end at `stop`."""
        if pos < stop:
            number, pos = varint(data, pos)
            count = number >> 1
            if not number & 1 and 2 * count <= stop - pos:
                self._headers -= count
                if self._headers < 0:
                    raise BatchError(f"it has more than {MAX_HEADERS} headers")
                if skip_headers(data, pos, stop, count) == stop:
                    return
        raise self._bad_length(index)

    def _bad_length(self, index: int) -> BatchError:
        return BatchError(f"record {index + 1} of {self.count} doesn't have the lengths that it declares")

    def _wrong_offset(self, index: int, delta: int) -> BatchError:
        found = self._base + _signed(delta)
        return BatchError(f"record {index + 1} of {self.count} has offset {found}, expected {self.offset_at(index)}")

    def offset_at(self, index: int) -> str:
        """Describe the offsets that the record of this index may have."""
        return str(self._base + index) if self._strict else f"one up to {self._last}"


def skip_headers(data: Any, pos: int, stop: int, count: int) -> int:
    """Return where `count` headers end that begin at `pos`. Raises BatchError, IndexError."""
    for _ in range(count):
        n: int = data[pos]
        pos += 1
        if n > 127:
            n, pos = varint(data, pos - 1)
        if n & 1:
            raise BatchError("a header has no name")
        pos += n >> 1
        n = data[pos]
        pos += 1
        if n > 127:
            n, pos = varint(data, pos - 1)
        if not n & 1:
            pos += n >> 1
        elif n != _NULL:
            raise BatchError("a header has a negative length")
        if pos > stop:
            break
    return pos


def find_headers(headers: bytes, names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Return the last header of each of these names, in their order. Null counts as empty.

    `headers` are those of a Record. The first name decides: without it, nothing is returned, and nothing read.
    """
    wanted = {name.encode(): name for name in names}
    if names[0].encode() not in headers:
        return ()
    found = dict[str, bytes]()
    number, pos = varint(headers, 0)
    for _ in range(number >> 1):
        n, pos = varint(headers, pos)
        name = wanted.get(headers[pos : pos + (n >> 1)])
        pos += n >> 1
        n, pos = varint(headers, pos)
        size = 0 if n == _NULL else n >> 1
        if name is not None:
            found[name] = headers[pos : pos + size]
        pos += size
    return tuple((name, found[name]) for name in names if name in found)


def all_headers(headers: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Yield the headers of a Record in their order; what is not UTF-8 in a name becomes U+FFFD."""
    if not headers:
        return
    number, pos = varint(headers, 0)
    for _ in range(number >> 1):
        n, pos = varint(headers, pos)
        name = headers[pos : pos + (n >> 1)].decode("utf-8", "replace")
        pos += n >> 1
        n, pos = varint(headers, pos)
        size = 0 if n == _NULL else n >> 1
        yield name, None if n == _NULL else headers[pos : pos + size]
        pos += size


def _signed(number: int) -> int:
    """Return the signed value of a zigzag number."""
    return number >> 1 ^ -(number & 1)
