"""Encodes requests and decodes responses of Kafka, in a few calls for each structure.

aiokafka makes several calls for each field. A schema is taken apart once here: neighbouring fields of a fixed size
become one `struct`. The result is the same as aiokafka's. Rare types of fields use aiokafka's code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from operator import itemgetter
from typing import Any, Final

from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
    UInt32,
)

Reader = Callable[[bytes, int, list[Any]], int]
"""Appends one or more fields that begin at a position of the bytes. Returns the position behind them."""
Writer = Callable[[Sequence[Any], list[bytes]], None]
"""Appends the bytes of one or more fields of a structure."""

_FORMATS: Final[dict[Any, str]] = {
    Int8: "b",
    Int16: "h",
    Int32: "i",
    Int64: "q",
    UInt32: "I",
    Float64: "d",
    Boolean: "?",
}
_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")
_NO_TAGS: Final = b"\0"


def decode(kind: Any, data: bytes, begin: int) -> Any:
    """Return a structure of this class of aiokafka, from bytes after its header. Raises ValueError."""
    names, readers = _plan_of_reading(kind)
    values: list[Any] = []
    try:
        for read in readers:
            begin = read(data, begin, values)
    except struct.error as error:
        raise ValueError(f"a {kind.__name__} ends early: {error}") from error
    made = kind.__new__(kind)
    made.__dict__.update(zip(names, values, strict=True))
    return made


def encode(request: Any) -> bytes:
    """Return the bytes of a request of aiokafka, without its header. Raises ValueError."""
    kind: Any = type(request)
    names, writers = _plan_of_writing(kind)
    values = [request.__dict__[name] for name in names]
    parts: list[bytes] = []
    try:
        for write in writers:
            write(values, parts)
    except struct.error as error:
        raise ValueError(f"a {kind.__name__} can't be encoded: {error}") from error
    return b"".join(parts)


@lru_cache
def _plan_of_reading(kind: Any) -> tuple[tuple[str, ...], list[Reader]]:
    return kind.SCHEMA.names, _readers(kind.SCHEMA.fields)


@lru_cache
def _plan_of_writing(kind: Any) -> tuple[tuple[str, ...], list[Writer]]:
    return kind.SCHEMA.names, _writers(kind.SCHEMA.fields)


def _runs(fields: Sequence[Any]) -> list[tuple[int, int, str]]:
    """Return (first field, field behind the last, format) of each run; the format is "" for one field of any size."""
    runs: list[tuple[int, int, str]] = []
    for number, field in enumerate(fields):
        code = _FORMATS.get(field, "") if isinstance(field, type) else ""
        if code and runs and runs[-1][2]:
            begin, _, codes = runs[-1]
            runs[-1] = begin, number + 1, codes + code
        else:
            runs.append((number, number + 1, code))
    return runs


# --- Reading ------------------------------------------------------------------------------------------------------


def _readers(fields: Sequence[Any]) -> list[Reader]:
    return [_fixed(codes) if codes else _sized(fields[begin]) for begin, _, codes in _runs(fields)]


def _fixed(codes: str) -> Reader:
    layout = struct.Struct(f">{codes}")
    unpack, size = layout.unpack_from, layout.size

    def read(data: bytes, at: int, values: list[Any]) -> int:
        values += unpack(data, at)
        return at + size

    return read


def _sized(field: Any) -> Reader:
    if type(field) is String and field.encoding == "utf-8":
        return _text
    if field is Bytes:
        return _bytes
    if type(field) is Array:
        return _array(field.array_of)
    return _tags if field is TaggedFields else _other(field)


def _text(data: bytes, at: int, values: list[Any]) -> int:
    (size,) = _INT16.unpack_from(data, at)
    return _piece(data, at + 2, size, values, text=True)


def _bytes(data: bytes, at: int, values: list[Any]) -> int:
    (size,) = _INT32.unpack_from(data, at)
    return _piece(data, at + 4, size, values)


def _piece(data: bytes, at: int, size: int, values: list[Any], *, text: bool = False) -> int:
    if size < 0:
        values.append(None)
        return at
    end = at + size
    if end > len(data):
        raise ValueError(f"{size} bytes were announced at {at}, there are {len(data) - at}")
    values.append(data[at:end].decode() if text else data[at:end])
    return end


def _array(item: Any) -> Reader:
    readers = _readers(item.fields if isinstance(item, Schema) else (item,))
    made: Callable[[list[Any]], Any] = tuple if isinstance(item, Schema) else itemgetter(0)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        (count,) = _INT32.unpack_from(data, at)
        at += 4
        items = []
        for _ in range(count):
            fields: list[Any] = []
            for one in readers:
                at = one(data, at, fields)
            items.append(made(fields))
        values.append(None if count == -1 else items)
        return at

    return read


def _tags(data: bytes, at: int, values: list[Any]) -> int:
    if data[at : at + 1] == _NO_TAGS:
        values.append({})
        return at + 1
    return _other(TaggedFields)(data, at, values)


def _other(field: Any) -> Reader:
    def read(data: bytes, at: int, values: list[Any]) -> int:
        stream = BytesIO(data)
        stream.seek(at)
        values.append(field.decode(stream))
        return stream.tell()

    return read


# --- Writing ------------------------------------------------------------------------------------------------------


def _writers(fields: Sequence[Any]) -> list[Writer]:
    return [
        _pack(begin, end, codes) if codes else _write_sized(begin, fields[begin]) for begin, end, codes in _runs(fields)
    ]


def _pack(begin: int, end: int, codes: str) -> Writer:
    pack = struct.Struct(f">{codes}").pack

    def write(item: Sequence[Any], parts: list[bytes]) -> None:
        parts.append(pack(*item[begin:end]))

    return write


def _write_sized(number: int, field: Any) -> Writer:
    if type(field) is Array and isinstance(field.array_of, Schema):
        return _write_array(number, field.array_of.fields)
    put = _text_bytes if type(field) is String and field.encoding == "utf-8" else field.encode

    def write(item: Sequence[Any], parts: list[bytes]) -> None:
        parts.append(put(item[number]))

    return write


def _text_bytes(value: Any) -> bytes:
    if value is None:
        return _INT16.pack(-1)
    data = str(value).encode()
    return _INT16.pack(len(data)) + data


def _write_array(number: int, fields: Sequence[Any]) -> Writer:
    writers, width = _writers(fields), len(fields)

    def write(item: Sequence[Any], parts: list[bytes]) -> None:
        items = item[number]
        parts.append(_INT32.pack(-1 if items is None else len(items)))
        for one in items or ():
            if len(one) != width:
                raise ValueError(f"{one!r} has {len(one)} fields of {width}")
            for put in writers:
                put(one, parts)

    return write
