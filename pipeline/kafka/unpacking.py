"""Unpacks compressed batches, up to a number of bytes: a batch of 48 KB may unpack to 1.5 GB.

The decompressors write into a buffer of fixed size, and fail when it is full. They release the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from mmap import mmap
from struct import Struct
from typing import Any, Final

import cramjam

from pipeline.kafka.record_reader import BatchError

MAX_UNPACKED: Final = 64 << 20
"""Bytes that a batch may unpack to (contract §4)."""
SMALL: Final = 256 << 10
"""Bytes up to which a batch is unpacked at once, in a millisecond. Larger ones are unpacked in the background."""

_XERIAL: Final = b"\x82SNAPPY\0"
"""Begins the blocks of snappy-java. Other clients write one block without a frame."""
_XERIAL_HEAD: Final = Struct(">8sii")  # magic, version, lowest compatible version
_XERIAL_VERSION: Final = 1
_LENGTH: Final = Struct(">i")
_GZIP, _ZSTD = 1, 4
_GZIP_SIZE: Final = 18  # head and trailer of a member
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def unpack_small(codec: int, data: bytes, head: bytes) -> bytes | None:
    """Return `head` and what `data` unpacks to; None if that has more than SMALL bytes, or can't be found out."""
    for most in (min(8 * len(data) + 1024, SMALL), SMALL):
        buffer = bytearray(most)
        try:
            size = _unpack(codec, data, buffer)
        except BatchError:
            continue
        with memoryview(buffer) as whole:
            return head + whole[:size]
    return None


def unpack(codec: int, data: bytes, begin: int) -> tuple[mmap, int]:
    """Return a map of memory that contains what `data` unpacks to from byte `begin` on, and where that ends.

    Raises BatchError.

    Pages that are not written take no memory. Closing the map returns them to the system at once.
    """
    if _declared(codec, data) > MAX_UNPACKED:
        raise BatchError(f"its {_CODECS[codec][0]} data unpack to more than {MAX_UNPACKED} bytes, or are broken")
    memory = mmap(-1, begin + MAX_UNPACKED)
    try:
        with memoryview(memory) as whole, whole[begin:] as view:
            return memory, begin + _unpack(codec, data, view)
    except BaseException:
        memory.close()
        raise


def _unpack(codec: int, data: bytes, into: Any) -> int:
    found = _CODECS.get(codec)
    if found is None:
        raise BatchError(f"Kafka has no compression type {codec}")
    name, decompress = found
    try:
        return int(decompress(data, into))
    except (cramjam.DecompressionError, ValueError) as error:
        text = str(error)
        if "whole buffer" in text or text == _FULL:
            raise BatchError(f"its {name} data unpack to more than {len(into)} bytes") from None
        raise BatchError(f"its {name} data are broken ({text})") from None


def _declared(codec: int, data: bytes) -> int:
    """Return how much `data` say that they unpack to, 0 if they don't say it. If that is wrong, they are broken."""
    if codec == _GZIP and len(data) >= _GZIP_SIZE:
        return int.from_bytes(data[-4:], "little")  # of the last member (RFC 1952)
    if codec == _ZSTD and data.startswith(_ZSTD_MAGIC) and len(data) > len(_ZSTD_MAGIC):
        # RFC 8878, 3.1.1.1. Bit 5: no window; bits 6 and 7: size of the content size; bits 0 and 1: size of the id.
        kind = data[4]
        at = 5 + (not kind & 0x20) + (0, 1, 2, 4)[kind & 3]
        size = (int(bool(kind & 0x20)), 2, 4, 8)[kind >> 6]
        return int.from_bytes(data[at : at + size], "little") + (256 if size == 2 else 0)
    return 0


_FULL: Final = "full"


def _snappy(data: bytes, into: Any) -> int:
    view, pos = memoryview(into), 0
    try:
        for block in _snappy_blocks(data):
            size = cramjam.snappy.decompress_raw_len(block)
            if size > len(view) - pos:
                raise ValueError(_FULL)
            pos += cramjam.snappy.decompress_raw_into(block, view[pos : pos + size]) if size else 0
    finally:
        view.release()
    return pos


def _snappy_blocks(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_XERIAL):
        yield data
        return
    pos = _XERIAL_HEAD.size
    if len(data) < pos or _XERIAL_HEAD.unpack_from(data)[1:] != (_XERIAL_VERSION, _XERIAL_VERSION):
        raise ValueError("an unknown version of its frame")
    while pos < len(data):
        if len(data) - pos < _LENGTH.size:
            raise ValueError("a block is cut off")
        size = _LENGTH.unpack_from(data, pos)[0]
        pos += _LENGTH.size
        if not 0 < size <= len(data) - pos:
            raise ValueError(f"a block of {size} bytes, where {len(data) - pos} are left")
        yield data[pos : pos + size]
        pos += size


_CODECS: Final[dict[int, tuple[str, Callable[[bytes, Any], int]]]] = {
    1: ("gzip", cramjam.gzip.decompress_into),
    2: ("snappy", _snappy),
    3: ("lz4", cramjam.lz4.decompress_into),
    4: ("zstd", cramjam.zstd.decompress_into),
}


def codec_name(codec: int) -> str:
    """Return the name of a batch's compression."""
    if not codec:
        return "none"
    return _CODECS[codec][0] if codec in _CODECS else f"unknown ({codec})"
