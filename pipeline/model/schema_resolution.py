"""Records written with another version of their schema than ours (Avro 1.12, "Schema Resolution").

The generated decoders read what was written with exactly our schema; this reader takes any writer's schema that
the registry has, one interpreted step per field. Fields that we don't know are read and dropped, fields that the
writer doesn't know take our defaults, and the rules of contract §4 are checked as for JSON. It reads strictly:
no length, count or branch is believed that the bytes can't bear out, and no more values than `MAX_VALUES`, for a
value of no bytes costs time too.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.errors import SignalError
from pipeline.model import signal_ids
from pipeline.model.avro import shorten
from pipeline.model.records import Recent
from pipeline.model.signals import Micros


def resolving(schema: Any, record: Any) -> Callable[[bytes], Any]:
    """A decoder of values of the writer's `schema` (parsed JSON) to our `record`, behind a header of 5 bytes."""

    def decode(value: bytes) -> Any:
        reader = _Reader(value, 5)
        try:
            fields = reader.read(schema)
        except RecursionError:
            raise SignalError(f"{record.RECORD}: the value is nested too deeply") from None
        except (ValueError, KeyError, struct.error) as error:
            raise SignalError(one_line(f"{record.RECORD}: {reader.where()}{error}")) from None
        except (TypeError, AttributeError):
            text = f"{record.RECORD}: {reader.where()}the writer's schema is no Avro schema here"
            raise SignalError(one_line(text)) from None
        if reader.at != len(value):
            raise SignalError(f"{record.RECORD}: {len(value) - reader.at} bytes behind the end of the record")
        try:
            return msgspec.convert(fields, record, dec_hook=_special)
        except msgspec.ValidationError as error:
            raise SignalError(f"{record.RECORD}: {_explain(str(error), fields)}") from None

    return decode


def field_and_fault(message: str) -> tuple[str, str]:
    """A validation error of msgspec in two: `field` or `field[3]` ("" for the whole), and what is wrong.

    The message may quote the value, so the path is what follows the *last* mark of one, and the text is cut.
    """
    what, mark, path = message.rpartition(" - at `$")
    if not mark:
        what, path = path, ""
    what = one_line(what).replace("`", "")
    if what.startswith("Invalid value "):  # of the tag: the only field with a list of values
        what = "Expected the type of a signal, got " + what.removeprefix("Invalid value ")
    return path.rstrip("`").lstrip("."), what


def one_line(text: str, longest: int = 240) -> str:
    """`text` for an error message: cut, and without line ends and other things that a terminal does not show."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    if cut.isprintable():
        return cut
    cut = _CONTROLS.sub(" ", cut)
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _explain(message: str, fields: dict[str, Any]) -> str:
    path, what = field_and_fault(message)
    field, _, index = path.partition("[")
    if "got" in what or not field:
        return f"{path}: {what}" if path else what
    found = fields[field]
    if index:  # of an item, or of a field of an item
        found = found[int(index[: index.index("]")])]
    return f"field {path}: {what}, got {shorten(found)}"


MAX_VALUES = 2048
"""Values in a record of another schema, those in arrays, maps and unions counted one by one (each costs a microsecond).
A `play.failed` of ours has up to 1,030; the rest is for fields that we don't know."""
FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of the years 1 and 9999, UTC, first and last (contract §4)."""


def _special(kind: type, value: Any) -> int | bytes:
    return Recent(signal_ids.of(_strings(value))) if kind is Recent else _micros(value)


def _strings(value: Any) -> list[str]:
    if type(value) is not list or not all(type(item) is str for item in value):
        raise ValueError(f"Expected an array of strings, got {value!r:.60}")
    return value


def _micros(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"Expected a timestamp-micros, got {value!r:.60}")
    if not FIRST_TIME <= value <= LAST_TIME:
        raise ValueError(f"Expected a time in the years 1 to 9999, got {value}")
    return Micros(value)


class _Reader:
    """Reads Avro's binary encoding by a parsed schema."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.left = MAX_VALUES
        self.path: list[str] = []
        self.names: dict[str, Any] = {}

    def where(self) -> str:
        return f"field {'.'.join(map(str, self.path))}: " if self.path else ""

    def read(self, schema: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"expected at most {MAX_VALUES} values in a record, found more")
        if isinstance(schema, list):
            branch = self._long()
            if not 0 <= branch < len(schema):
                raise ValueError(f"expected a branch of 0 to {len(schema) - 1}, found {branch}")
            return self.read(schema[branch])
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, (dict, list)):
            return self.read(kind)
        method = _KINDS.get(kind)
        if method is not None:
            return method(self, schema)
        if kind not in self.names:
            raise ValueError(f"the writer's schema has a type {kind!r} that is not known")
        return self.read(self.names[kind])

    def _name(self, schema: Any) -> None:
        name, space = schema["name"], schema.get("namespace", "")
        self.names[name] = self.names[f"{space}.{name}"] = schema

    def _record(self, schema: Any) -> dict[str, Any]:
        self._name(schema)
        fields: dict[str, Any] = {}
        for field in schema["fields"]:
            self.path.append(field["name"])
            fields[field["name"]] = self.read(field["type"])
            self.path.pop()
        return fields

    def _blocks(self, one: Callable[[], Any]) -> list[Any]:
        items: list[Any] = []
        while count := self._long():
            if count < 0:
                count = -count
                self._long()
            if count > len(self.data):
                raise ValueError(f"expected items, found a count of {count}, more than there are bytes")
            if count > self.left:  # before the first of them is read
                raise ValueError(f"expected at most {MAX_VALUES} values in a record, found more")
            items += [one() for _ in range(count)]
        return items

    def _array(self, schema: Any) -> list[Any]:
        return self._blocks(lambda: self.read(schema["items"]))

    def _map(self, schema: Any) -> dict[str, Any]:
        return dict(self._blocks(lambda: (self._string(None), self.read(schema["values"]))))

    def _enum(self, schema: Any) -> str:
        self._name(schema)
        index, symbols = self._long(), schema["symbols"]
        if not 0 <= index < len(symbols):
            raise ValueError(f"expected a symbol of 0 to {len(symbols) - 1}, found {index}")
        return str(symbols[index])

    def _fixed(self, schema: Any) -> bytes:
        self._name(schema)
        return self._take(schema["size"])

    def _null(self, _: Any) -> None:
        return None

    def _boolean(self, _: Any) -> bool:
        byte = self._take(1)[0]
        if byte > 1:
            raise ValueError(f"expected a boolean (0 or 1), found {byte}")
        return byte == 1

    def _long(self, _: Any = None) -> int:
        at = self.at
        if at < len(self.data) and (byte := self.data[at]) < 0x80:
            self.at = at + 1
            return byte >> 1 ^ -(byte & 1)
        return self._longer()

    def _longer(self) -> int:
        bits = shift = 0
        while True:
            byte = self._take(1)[0]
            bits |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 63:
                raise ValueError("expected a number of 64 bits, found more than 10 bytes")
        value = (bits >> 1) ^ -(bits & 1)
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"expected a number of 64 bits, found {value}")
        return value

    def _int(self, _: Any) -> int:
        value = self._long()
        if not -(2**31) <= value < 2**31:
            raise ValueError(f"expected a number of 32 bits, found {value}")
        return value

    def _float(self, _: Any) -> float:
        return float(struct.unpack("<f", self._take(4))[0])

    def _double(self, _: Any) -> float:
        return float(struct.unpack("<d", self._take(8))[0])

    def _bytes(self, _: Any) -> bytes:
        return self._take(self._long())

    def _string(self, _: Any) -> str:
        return self._take(self._long()).decode()

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError(f"expected {size} bytes, {len(self.data) - self.at} are left")
        at = self.at
        self.at = at + size
        return self.data[at : self.at]


_KINDS: dict[str, Callable[[_Reader, Any], Any]] = {
    "null": _Reader._null,
    "boolean": _Reader._boolean,
    "int": _Reader._int,
    "long": _Reader._long,
    "float": _Reader._float,
    "double": _Reader._double,
    "bytes": _Reader._bytes,
    "string": _Reader._string,
    "record": _Reader._record,
    "array": _Reader._array,
    "map": _Reader._map,
    "enum": _Reader._enum,
    "fixed": _Reader._fixed,
}
