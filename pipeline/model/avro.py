"""Avro's binary encoding, value by value: the general cases behind the generated fast paths of `pipeline.model.wire`.

The generated code handles short strings and recent times inline and calls these functions for the rest. Bad bytes
raise ValueError or LookupError; `avro_reader.explain` then finds the field. Time and memory are bounded by the length
of the bytes: a declared length or count is checked against the bytes that are there before it is used.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
MAX_ITEMS: Final = 1024  # most items of an array whose schema has no `maxItems`
MAX_RECORDS: Final = 64  # the same for an array of records


def long(value: int) -> bytes:
    """Encode an int or long: zigzag, then seven bits per byte, lowest first. Raises OverflowError beyond 64 bits."""
    if not LONG_MIN <= value <= LONG_MAX:
        raise OverflowError(f"{value} does not fit into an Avro long")
    bits = value << 1 ^ value >> 63
    out = bytearray()
    while bits > 127:
        out.append(bits & 127 | 128)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def strings(values: tuple[str, ...]) -> bytes:
    """Encode a non-empty array of strings: one block and the end mark."""
    known = _STRINGS.get(values)
    if known is not None:
        return known
    out = [LONG[len(values)]]
    for value in values:
        data = value.encode()
        out += LONG[len(data)], data
    out.append(b"\0")
    array = b"".join(out)
    if len(array) <= _SMALL:
        if len(_STRINGS) >= _MANY:
            _STRINGS.clear()
        _STRINGS[values] = array
    return array


_STRINGS: Final[dict[tuple[str, ...], bytes]] = {}
"""Cache of encoded arrays, for the url lists that many rooms play. Each row of a playing room holds one: 0.1 µs from
here, 0.6 µs (3 urls) to 1.6 µs (10 urls) to encode. It is global because encoders are plain functions; its entries
depend on nothing but their key."""
_SMALL: Final = 1024  # most bytes of an array in the cache
_MANY: Final = 1024  # most arrays in the cache; it is emptied when full


class _Longs(dict[int, bytes]):
    """Cache of the encodings of small numbers: lengths, sequences, counts."""

    def __missing__(self, value: int) -> bytes:
        data = long(value)
        if -65536 <= value <= 65535:
            self[value] = data
        return data


LONG: Final = _Longs()
LENGTH: Final = tuple(LONG[n] for n in range(1024))  # the usual lengths; indexing a tuple is faster than LONG
USUAL: Final = len(LENGTH)
_EIGHT: Final = Struct("<II").unpack_from


def length(size: int) -> bytes:
    return LENGTH[size] if size < USUAL else LONG[size]


def time(micros: int) -> bytes:
    """Encode a time in microseconds; the fast path is for 1979 to 2255, which take eight bytes."""
    bits = micros << 1
    if not 1 << 49 <= bits < 1 << 54:
        return LONG[micros]
    return (
        0x80808080808080
        | bits & 0x7F
        | (bits & 0x3F80) << 1
        | (bits & 0x1FC000) << 2
        | (bits & 0xFE00000) << 3
        | (bits & 0x7F0000000) << 4
        | (bits & 0x3F800000000) << 5
        | (bits & 0x1FC0000000000) << 6
        | (bits & 0x3E000000000000) << 7
    ).to_bytes(8, "little")


def read_time(data: bytes, at: int) -> int:
    """Decode a time from 1979 to 3111, which takes eight bytes. Return -1 for others: call `read_number` then."""
    if len(data) < at + 8:
        return -1
    halves: tuple[int, int] = _EIGHT(data, at)
    low, high = halves
    if low & 0x80808080 != 0x80808080 or high & 0x80808080 != 0x808080 or low & 1:
        return -1
    low = low & 0x7F | low >> 1 & 0x3F80 | low >> 2 & 0x1FC000 | low >> 3 & 0xFE00000
    high = high & 0x7F | high >> 1 & 0x3F80 | high >> 2 & 0x1FC000 | high >> 3 & 0xFE00000
    return low >> 1 | high << 27


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Decode a long; return it and the offset after it. Raises IndexError at the end, ValueError beyond 64 bits."""
    bits = shift = 0
    while (byte := data[at]) > 127:
        bits |= (byte & 127) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError("a number of more than 10 bytes")
    bits |= byte << shift
    if bits >> 64:
        raise ValueError("a number of more than 64 bits")
    return bits >> 1 ^ -(bits & 1), at + 1


def read_number(data: bytes, at: int, low: int, high: int) -> tuple[int, int]:
    """Decode a number from `low` to `high`; return it and the offset after it."""
    value, at = read_long(data, at)
    if not low <= value <= high:
        raise ValueError(f"{value}, expected {low} to {high}")
    return value, at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Decode bytes; return them and the offset after them."""
    length, at = read_long(data, at)
    if length < 0 or length > len(data) - at:
        raise ValueError(f"a length of {length}, {len(data) - at} bytes are left")
    return data[at : at + length], at + length


def read_string(data: bytes, at: int, low: int, high: int) -> tuple[str, int]:
    """Decode a string of `low` to `high` code points; return it and the offset after it."""
    found, at = read_bytes(data, at)
    text = found.decode()
    if not low <= len(text) <= high:
        raise ValueError(f"{len(text)} characters, expected {low} to {high}")
    return text, at


def read_block(data: bytes, at: int) -> tuple[int, int, int]:
    """Decode the head of an array block; return its item count, and where its items end (-1: not given) and begin.

    Raises ValueError if fewer bytes than items are left: every item in the schemas of avro/ takes at least one byte.
    """
    count, at = read_long(data, at)
    end = -1
    if count < 0:
        count = -count
        size, at = read_long(data, at)
        if size < 0 or size > len(data) - at:
            raise ValueError(f"a block of {size} bytes, {len(data) - at} are left")
        end = at + size
    if count > len(data) - at:
        raise ValueError(f"a block of {count} items, {len(data) - at} bytes are left")
    return count, end, at
