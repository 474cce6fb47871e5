"""The signal_ids that a room remembers, kept as the bytes of the Avro array that its row holds.

Every accepted signal of the API adds one and every row that is written carries all of them, so as strings they were a
fifth of the cost of a signal and half of the memory of a room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pipeline.model.avro import LONG, MAX_ITEMS, read_block, read_long, read_string
from pipeline.model.records import Recent

NONE: Final[Recent] = b"\0"


def of(signal_ids: Iterable[str]) -> Recent:
    """These, oldest first."""
    encoded = [signal_id.encode() for signal_id in signal_ids]
    if not encoded:
        return b"\0"
    return b"".join((LONG[len(encoded)], *[LONG[len(each)] + each for each in encoded], b"\0"))


def remember(recent: Recent, signal_id: str, most: int) -> Recent:
    """With `signal_id` at the end, and without the oldest of more than `most`."""
    count, at = read_long(recent, 0)
    while count >= most:
        size, at = read_long(recent, at)
        at += size
        count -= 1
    kept = recent[at:-1] if count else b""  # compiled, a slice must not end before it begins
    data = signal_id.encode()
    return b"".join((LONG[count + 1], kept, LONG[len(data)], data, b"\0"))


def remembers(recent: Recent, signal_id: str) -> bool:
    """Whether `signal_id` is one of them."""
    data = signal_id.encode()
    size, last = len(data), data[-1] if data else 0
    count, at = read_long(recent, 0)
    for _ in range(count):
        length = recent[at]
        if length & 129:
            length, at = read_long(recent, at)
        else:
            length >>= 1
            at += 1
        at += length
        # Most that have the length differ in the last byte: a slice costs more than the rest of the loop.
        if length == size and recent[at - 1] == last and recent[at - size : at] == data:
            return True
    return False


def ids(recent: Recent) -> tuple[str, ...]:
    """All of them, oldest first."""
    found, _ = _read(recent, 0)
    return tuple(found)


def read(data: bytes, at: int) -> tuple[Recent, int]:
    """The array that begins at `at`, in the one form that is written here, and the place behind it. ValueError and
    LookupError for what is none."""
    found, at = _read(data, at)
    return of(found), at


def _read(data: bytes, at: int) -> tuple[list[str], int]:
    found: list[str] = []
    while True:
        count, end, at = read_block(data, at)
        if not count:
            return found, at
        if len(found) + count > MAX_ITEMS:
            raise ValueError("number of items")
        for _ in range(count):
            signal_id, at = read_string(data, at, 0, 1 << 62)
            found.append(signal_id)
        if end not in {-1, at}:
            raise ValueError("block size")
