"""Reads one Avro value step by step, as its schema describes it.

`explain` names the wrong field of bytes that a generated decoder (`pipeline.model.wire`) refused. `resolving` reads
values of other schemas (Avro 1.12, "Schema Resolution"). A length, count or branch is checked before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from struct import unpack
from typing import Any, Final, NoReturn

import msgspec

from pipeline.model.avro import LONG_MAX, LONG_MIN, MAX_ITEMS, MAX_RECORDS, read_block, read_bytes, read_long
from pipeline.model.error_text import shorten
from pipeline.model.signals import Micros

MAX_VALUES: Final = 2048
"""Most values in a record of another writer's schema. Array items, map entries and union branches count one by one,
because a value without bytes (a null) also takes time, about a microsecond. A `play.failed` has up to 134; the rest is
for fields that a writer adds."""
_TOO_MANY: Final = f"at most {MAX_VALUES} values in a record", "more"
_NO_LIMIT: Final = 1 << 62
_NO_RULES: Final[dict[str, Any]] = {}


def explain(schema: str, data: bytes, start: int = 0) -> str:
    """Return the fault of `data[start:]` as a value of `schema`, one of `wire.SCHEMAS`: field, expected, found."""
    record = msgspec.json.decode(schema)
    name = f"{record['namespace']}.{record['name']}"
    reader = Reader(data, start, check_rules=True)
    try:
        reader.read(record)
    except (IndexError, ValueError) as error:
        return f"{name}: {reader.fault(error)}"
    return f"{name}: expected the end of the record, found {len(data) - reader.at} more bytes"


class Reader:
    """Reads the value at offset `at` of `data`, and keeps track of the field for error messages.

    With `check_rules` it checks the attributes that avro/ adds to Avro ("minLength", "maxItems", ...). Without, the
    schema is another writer's: such attributes are ignored, and the record may hold MAX_VALUES values. A time is
    returned as Micros, whatever its unit; finer digits are cut.
    """

    def __init__(self, data: bytes, at: int, *, check_rules: bool = False) -> None:
        self.at = at  # the offset of the next byte to read
        self._data = data
        self._check_rules = check_rules
        self._left = _NO_LIMIT if check_rules else MAX_VALUES
        self._path: list[Any] = []  # field names, and ints for array items, down to the value that is being read
        self._expected: Any = "a value"  # what to expect next; `fault` makes it text
        self._named: dict[str, Any] = {}  # the schemas of the records, enums and fixed types read so far

    def fault(self, error: Exception) -> str:
        """Return the text for an `error` of `read`: the field, what was expected and what was found."""
        if isinstance(error, IndexError):
            found = "the end of the data"
        elif isinstance(error, UnicodeDecodeError):
            found = f"bytes that are not UTF-8 ({error.reason})"
        else:
            found = str(error)
        expected = self._expected
        if isinstance(expected, tuple):  # a number
            expected = f"{expected[0]} from {expected[1]} to {expected[2]}"
        elif isinstance(expected, list):  # the branches of a union
            expected = " or ".join(str(one.get("type") if isinstance(one, dict) else one) for one in expected)
        return f"{self.where()}expected {expected}, found {found}"

    def where(self) -> str:
        """Return `field a.b[3]: ` for the value that is being read, "" outside of all fields."""
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self._path)
        return f"field {path[1:]}: " if path else ""

    def read(self, schema: Any, rules: Any = _NO_RULES) -> Any:
        """Read a value of the parsed `schema`; `rules` are the attributes of its field.

        Raises IndexError at the end of the data and ValueError for bad bytes; `fault` explains both. A `schema` that is
        not an Avro schema raises KeyError, TypeError or AttributeError, a deeply nested value RecursionError.
        """
        self._left -= 1
        if self._left < 0:
            self._fail(*_TOO_MANY)
        if isinstance(schema, list):
            return self._union(schema, rules)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, (dict, list)):
            return self.read(kind, rules)
        method = _METHODS.get(kind)
        if method is not None:
            return method(self, schema, rules)
        if kind not in self._named:
            self._fail("a type that the writer's schema defines", repr(kind))
        return self.read(self._named[kind], rules)

    def _fail(self, expected: str, found: object) -> NoReturn:
        self._expected = expected
        raise ValueError(str(found))

    def _declare(self, schema: Any) -> None:
        name, space = schema["name"], schema.get("namespace", "")
        self._named[name] = self._named[f"{space}.{name}"] = schema

    def _record(self, schema: Any, _: Any) -> dict[str, Any]:
        self._declare(schema)
        path, values = self._path, {}
        for field in schema["fields"]:
            name = field["name"]
            path.append(name)
            values[name] = self.read(field["type"], field if self._check_rules else _NO_RULES)
            path.pop()
        return values

    def _union(self, branches: list[Any], rules: Any) -> Any:
        self._expected = branches
        branch = self._varint()
        if not 0 <= branch < len(branches):
            raise ValueError(f"branch {branch}")
        return self.read(branches[branch], rules)

    def _array(self, schema: Any, rules: Any) -> list[Any]:
        kind, item_rules = schema["items"], rules.get("items", _NO_RULES)
        low, high = 0, _NO_LIMIT
        if self._check_rules:
            most = MAX_RECORDS if isinstance(kind, dict) else MAX_ITEMS
            low, high = rules.get("minItems", 0), rules.get("maxItems", most)
        return self._blocks(partial(self.read, kind, item_rules), low, high)

    def _map(self, schema: Any, _: Any) -> dict[str, Any]:
        kind = schema["values"]
        return dict(self._blocks(lambda: (self._string(None, _NO_RULES), self.read(kind)), 0, _NO_LIMIT))

    def _blocks(self, read_item: Callable[[], Any], low: int, high: int) -> list[Any]:
        """Read the blocks of an array or a map, with `low` to `high` items in total."""
        items: list[Any] = []
        depth = len(self._path)
        while True:
            self._expected = "a block of items"
            count, end = self._block()
            if len(items) + count > high:
                self._fail(f"{low} to {high} items", len(items) + count)
            try:
                for _ in range(count):
                    items.append(read_item())  # noqa: PERF401 - `items` must be complete when one fails
            except (LookupError, ValueError):
                self._path.insert(depth, len(items))
                raise
            if end not in {-1, self.at}:
                self._fail("a block that ends where its size says", f"its end {self.at - end:+} bytes from there")
            if not count:
                if len(items) < low:
                    self._fail(f"{low} to {high} items", len(items))
                return items

    def _block(self) -> tuple[int, int]:
        """Read the head of a block: the number of its items, and where they must end (-1: anywhere)."""
        if self._check_rules:
            count, end, self.at = read_block(self._data, self.at)
            return count, end
        count = self._varint()
        if count < 0:
            count = -count
            self._varint()  # the size in bytes, for readers that skip the block
        if count > len(self._data):  # all bytes, not the bytes left: items may take none
            raise ValueError(f"a block of {count} items, more than there are bytes")
        if count > self._left:  # before reading the first
            self._fail(*_TOO_MANY)
        return count, -1

    def _null(self, _: Any, __: Any) -> None:
        return None

    def _boolean(self, _: Any, __: Any) -> bool:
        self._expected = "a boolean (byte 0 or 1)"
        byte = self._data[self.at]
        if byte > 1:
            raise ValueError(f"byte {byte}")
        self.at += 1
        return byte == 1

    def _int(self, _: Any, rules: Any) -> int:
        return self._number("an int", rules.get("minimum", -(2**31)), rules.get("maximum", 2**31 - 1))

    def _long(self, schema: Any, rules: Any) -> int:
        value = self._number("a long", rules.get("minimum", LONG_MIN), rules.get("maximum", LONG_MAX))
        if not isinstance(schema, dict):
            return value
        match schema.get("logicalType"):
            case "timestamp-micros":
                return Micros(value)
            case "timestamp-millis":
                return Micros(value * 1000)
            case "timestamp-nanos":
                return Micros(value // 1000)
        return value

    def _number(self, what: str, low: int, high: int) -> int:
        self._expected = (what, low, high)
        value = self._varint()
        if not low <= value <= high:
            raise ValueError(str(value))
        return value

    def _varint(self) -> int:
        value, self.at = read_long(self._data, self.at)
        return value

    def _float(self, _: Any, __: Any) -> float:
        return float(unpack("<f", self._take(4))[0])

    def _double(self, _: Any, __: Any) -> float:
        return float(unpack("<d", self._take(8))[0])

    def _fixed(self, schema: Any, _: Any) -> bytes:
        self._declare(schema)
        return self._take(schema["size"])

    def _take(self, size: int) -> bytes:
        at, left = self.at, len(self._data) - self.at
        if not 0 <= size <= left:
            self._fail(f"{size} bytes", f"{left} bytes")
        self.at = at + size
        return self._data[at : self.at]

    def _enum(self, schema: Any, _: Any) -> str:
        self._declare(schema)
        symbols = schema["symbols"]
        return str(symbols[self._number("a symbol", 0, len(symbols) - 1)])

    def _bytes(self, _: Any, __: Any) -> bytes:
        self._expected = "bytes"
        found, self.at = read_bytes(self._data, self.at)
        return found

    def _string(self, _: Any, rules: Any) -> str:
        self._expected = "a string"
        found, self.at = read_bytes(self._data, self.at)
        text = found.decode()
        if not rules:
            return text
        low, high = rules.get("minLength", 0), rules.get("maxLength", _NO_LIMIT)
        if not low <= len(text) <= high:
            self._fail(f"{low} to {high} characters", f"{len(text)}: {shorten(text)}")
        if "pattern" in rules and not re.search(rules["pattern"], text):
            self._fail(f"a string that matches {rules['pattern']}", shorten(text))
        if "const" in rules and text != rules["const"]:
            self._fail(repr(rules["const"]), shorten(text))
        return text


_TYPES: Final = "null boolean int long float double bytes string record array map enum fixed"
_METHODS: Final[dict[str, Callable[[Reader, Any, Any], Any]]] = {
    kind: getattr(Reader, f"_{kind}") for kind in _TYPES.split()
}
