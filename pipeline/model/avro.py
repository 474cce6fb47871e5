"""Avro's binary values: the slow and careful parts that the generated fast paths of `pipeline.model.wire` lean on.

The generated code handles what is usual (short strings, recent times) inline and comes here for the rest.
Whatever is wrong with the bytes raises ValueError or LookupError there; `explain` then reads them once more,
by the schema, to say which field it was. All of it takes time and memory bounded by the length of the bytes:
no declared length or count is believed before its bytes are there.
"""

from __future__ import annotations

import json
import re
from struct import Struct
from typing import Any, Final

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
SHOWN = 40
"""Characters of a bad value that an error shows."""
HEAD: Final = 5
"""Bytes before the Avro data of a value: the registry's magic byte and schema id."""
MAX_ITEMS: Final = 1024
MAX_RECORDS: Final = 64
"""Items, and items that are records, of an array whose schema has no bound of its own: what takes some bytes each
must not come a million times."""


def long(value: int) -> bytes:
    """Avro's int and long: zigzag, then seven bits a byte, the lowest first. OverflowError beyond 64 bits."""
    if not LONG_MIN <= value <= LONG_MAX:
        raise OverflowError(f"{value} does not fit into an Avro long")
    return _varint(value << 1 ^ value >> 63)


def _varint(bits: int) -> bytes:
    out = bytearray()
    while bits > 127:
        out.append(bits & 127 | 128)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def strings(values: tuple[str, ...]) -> bytes:
    """A non-empty array of strings: one block and the end mark. Small ones are remembered: many rooms play the same."""
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
_SMALL: Final = 1024
_MANY: Final = 1024


class _Longs(dict[int, bytes]):
    """Remembers the encodings of small numbers: lengths, sequences, counts."""

    def __missing__(self, value: int) -> bytes:
        data = long(value)
        if -65536 <= value <= 65535:
            self[value] = data
        return data


LONG: Final = _Longs()
LENGTH: Final = tuple(LONG[n] for n in range(1024))
"""The usual lengths: quicker than LONG."""
USUAL: Final = len(LENGTH)
_EIGHT: Final = Struct("<II").unpack_from


def length(size: int) -> bytes:
    """The encoding of a length."""
    return LENGTH[size] if size < USUAL else LONG[size]


def time(micros: int) -> bytes:
    """A long that is probably a time: those from 1979 to 2255 take eight bytes."""
    bits = micros << 1
    if not 1 << 49 <= bits < 1 << 54:
        return LONG[micros]
    spread = (
        0x80808080808080
        | bits & 0x7F
        | (bits & 0x3F80) << 1
        | (bits & 0x1FC000) << 2
        | (bits & 0xFE00000) << 3
        | (bits & 0x7F0000000) << 4
        | (bits & 0x3F800000000) << 5
        | (bits & 0x1FC0000000000) << 6
        | (bits & 0x3E000000000000) << 7
    )
    return spread.to_bytes(8, "little")


def read_time(data: bytes, at: int) -> int:
    """A time from 1979 to 3111, which takes eight bytes; -1 for what is none: the careful reader shall look at it."""
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
    """A long and the place behind it. IndexError when cut, ValueError beyond 10 bytes or 64 bits."""
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
    """A number from `low` to `high` and the place behind it."""
    value, at = read_long(data, at)
    if not low <= value <= high:
        raise ValueError(f"{value}, expected {low} to {high}")
    return value, at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes and the place behind them."""
    length, at = read_long(data, at)
    if length < 0 or length > len(data) - at:
        raise ValueError(f"a length of {length}, {len(data) - at} bytes are left")
    return data[at : at + length], at + length


def read_string(data: bytes, at: int, low: int, high: int) -> tuple[str, int]:
    """A string of `low` to `high` code points and the place behind it."""
    found, at = read_bytes(data, at)
    text = found.decode()
    if not low <= len(text) <= high:
        raise ValueError(f"{len(text)} characters, expected {low} to {high}")
    return text, at


def read_block(data: bytes, at: int) -> tuple[int, int, int]:
    """An array block's item count, where its items must end (-1: it does not say) and where they begin.

    ValueError if there are fewer bytes than items: an item of ours takes one byte at least.
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


def explain(schema: str, data: bytes, start: int = 0) -> str:
    """What is wrong with `data[start:]` as a value of `schema`: field, what was expected, what was there."""
    reader = _Reader(data, start)
    record = json.loads(schema)
    name = f"{record['namespace']}.{record['name']}"
    try:
        reader.read(record, {})
    except IndexError:
        reader.found = "the end of the data"
    except UnicodeDecodeError as error:
        reader.found = f"bytes that are not UTF-8 ({error.reason})"
    except ValueError as error:
        reader.found = str(error)
    else:
        return f"{name}: expected the end of the record, found {len(data) - reader.at} more bytes"
    return f"{name}: field {'.'.join(reader.path)}: expected {reader.expected}, found {reader.found}"


def shorten(value: object) -> str:
    """`value` for an error message: on one line, and no longer than a glance."""
    text = repr(value[: SHOWN + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


class _Reader:
    """Reads a value by its schema and knows where it is when it fails. Keeps nothing of what it read."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.path: list[str] = []
        self.expected = self.found = ""

    def read(self, schema: Any, rules: dict[str, Any]) -> None:
        kind = schema["type"] if isinstance(schema, dict) else "union" if isinstance(schema, list) else schema
        getattr(self, f"_{kind}")(schema, rules)

    def _record(self, schema: Any, rules: dict[str, Any]) -> None:
        for field in schema["fields"]:
            self.path.append(field["name"])
            self.read(field["type"], field)
            self.path.pop()

    def _array(self, schema: Any, rules: dict[str, Any]) -> None:
        most = MAX_RECORDS if isinstance(schema["items"], dict) else MAX_ITEMS
        low, high = rules.get("minItems", 0), rules.get("maxItems", most)
        total = 0
        while True:
            self.expected = "an array block"
            count, end, self.at = read_block(self.data, self.at)
            if total + count > high:
                self.expected = f"{low} to {high} items"
                raise ValueError(str(total + count))
            self._items(schema["items"], rules.get("items", {}), total, count)
            total += count
            if end not in {-1, self.at}:
                self.expected = "an array block that ends where it says"
                raise ValueError(f"its end {self.at - end:+} bytes from there")
            if not count:
                break
        if total < low:
            self.expected = f"{low} to {high} items"
            raise ValueError(str(total))

    def _items(self, schema: Any, rules: dict[str, Any], first: int, count: int) -> None:
        depth, index = len(self.path) - 1, first
        try:
            while index < first + count:
                self.read(schema, rules)
                index += 1
        except (LookupError, ValueError):
            self.path[depth] += f"[{index}]"
            raise

    def _union(self, schema: Any, rules: dict[str, Any]) -> None:
        self.expected = " or ".join(b if isinstance(b, str) else b["type"] for b in schema)
        branch, self.at = read_long(self.data, self.at)
        if not 0 <= branch < len(schema):
            raise ValueError(f"branch {branch}")
        self.read(schema[branch], rules)

    def _null(self, schema: Any, rules: dict[str, Any]) -> None:
        pass

    def _boolean(self, schema: Any, rules: dict[str, Any]) -> None:
        self.expected = "a boolean (byte 0 or 1)"
        if self.data[self.at] > 1:
            raise ValueError(f"byte {self.data[self.at]}")
        self.at += 1

    def _int(self, schema: Any, rules: dict[str, Any]) -> None:
        self._number("an int", rules.get("minimum", INT_MIN), rules.get("maximum", INT_MAX))

    def _long(self, schema: Any, rules: dict[str, Any]) -> None:
        self._number("a long", rules.get("minimum", LONG_MIN), rules.get("maximum", LONG_MAX))

    def _number(self, what: str, low: int, high: int) -> None:
        self.expected = f"{what} from {low} to {high}"
        value, self.at = read_long(self.data, self.at)
        if not low <= value <= high:
            raise ValueError(str(value))

    def _bytes(self, schema: Any, rules: dict[str, Any]) -> None:
        self.expected = "bytes"
        _, self.at = read_bytes(self.data, self.at)

    def _string(self, schema: Any, rules: dict[str, Any]) -> None:
        self.expected = "a string"
        found, self.at = read_bytes(self.data, self.at)
        text = found.decode()
        low, high = rules.get("minLength", 0), rules.get("maxLength")
        if len(text) < low or (high is not None and len(text) > high):
            self.expected = f"{low} to {high} characters"
            raise ValueError(f"{len(text)}: {shorten(text)}")
        if "pattern" in rules and not re.search(rules["pattern"], text):
            self.expected = f"a string that matches {rules['pattern']}"
            raise ValueError(shorten(text))
        if "const" in rules and text != rules["const"]:
            self.expected = repr(rules["const"])
            raise ValueError(shorten(text))
