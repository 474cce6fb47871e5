"""Makes the PNG files of a browser small: a palette of at most 256 colours, and the strongest compression."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_MAGIC = b"\x89PNG\r\n\x1a\n"


def small(picture: bytes) -> bytes:
    """Return a PNG with a palette that looks like `picture`, a PNG of 8 bits for each of red, green and blue."""
    width, height, depth, kind = struct.unpack_from(">IIBB", picture, 16)
    assert (picture[:8], depth, kind) == (_MAGIC, 8, 2)
    data = zlib.decompress(b"".join(body for name, body in _chunks(picture) if name == b"IDAT"))
    rows = list(_rows(data, width * 3, height))
    counts = Counter(bytes(row[n : n + 3]) for row in rows for n in range(0, width * 3, 3))
    palette = [colour for colour, _ in counts.most_common(256)]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in counts:
        if colour not in index:
            index[colour] = min(range(len(palette)), key=lambda n: _distance(palette[n], colour))
    packed = b"".join(b"\0" + bytes(index[bytes(row[n : n + 3])] for n in range(0, width * 3, 3)) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(packed, 9)), (b"IEND", b""))
    return _MAGIC + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(picture):
        (size,) = struct.unpack_from(">I", picture, at)
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        at += 12 + size


def _rows(data: bytes, size: int, height: int) -> Iterator[bytearray]:
    """Yield the rows of pixels without their filters (PNG, section 9)."""
    before = bytearray(size)
    for number in range(height):
        at = number * (size + 1)
        kind, row = data[at], bytearray(data[at + 1 : at + 1 + size])
        for n in range(size):
            left = row[n - 3] if n >= 3 else 0
            up, corner = before[n], before[n - 3] if n >= 3 else 0
            match kind:
                case 0:
                    break
                case 1:
                    guess = left
                case 2:
                    guess = up
                case 3:
                    guess = (left + up) // 2
                case _:
                    near = ((abs(up - corner), left), (abs(left - corner), up), (abs(left + up - 2 * corner), corner))
                    guess = min(near, key=lambda one: one[0])[1]
            row[n] = (row[n] + guess) & 255
        yield row
        before = row
