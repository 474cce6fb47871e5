"""Events and other records from the bytes of a Kafka record: the registry's wire format with Avro."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias

import msgspec

from conference_events import records
from conference_events.errors import InvalidDataError, UnknownTypeError
from conference_events.events import EVENTS, AnyEvent

AnyRecord: TypeAlias = AnyEvent | records.Room | records.Member | records.Gone | records.Rejected | records.NoOp
"""Any record that this package decodes."""
_ROWS: Final[tuple[Any, ...]] = (records.Room, records.Member, records.Gone, records.Rejected, records.NoOp)
CLASSES: Final[Mapping[str, Any]] = {kind.RECORD: kind for kind in (*EVENTS, *_ROWS)}
"""Full name of a record → its class."""
EVENT_NAMES: Final = frozenset(event.EVENT for event in EVENTS)
"""The values of the header `ce_type` that this version knows."""
HEAD: Final = 5  # bytes before the Avro data: a zero and the schema id


def schema(record: str) -> str:
    """Return the stand-alone Avro schema of a record such as `conference.MemberJoined`. Raises UnknownTypeError."""
    try:
        return files(__package__).joinpath("schemas", f"{record}.avsc").read_text(encoding="utf-8")
    except OSError:
        raise UnknownTypeError(f"record {record!r} is not known") from None


def schema_id(value: bytes) -> int:
    """Return the schema id that a Kafka value names. Raises InvalidDataError."""
    if len(value) < HEAD or value[0] != 0:
        raise InvalidDataError("the value is not in the schema registry's wire format (a zero byte and a schema id)")
    return int.from_bytes(value[1:HEAD], "big")


def header(headers: Iterable[tuple[str, bytes | None]] | None, name: str) -> str:
    """Return the last header of this name as text, "" if there is none."""
    found = dict(headers or ()).get(name) or b""
    return found.decode("utf-8", "replace")


class Decoder:
    """Decodes values whose writers may have an older or a newer schema than this package.

    New fields of the writer are dropped; fields that it lacks take their defaults. `schema_of` returns the registry's
    text of a schema id, and is called once per id.
    """

    def __init__(self, schema_of: Callable[[int], str]) -> None:
        self._schema_of = schema_of
        self._known: dict[int, tuple[Any, str]] = {}

    def knows(self, value: bytes) -> bool:
        """Return whether `decode` of this value calls no `schema_of`."""
        return schema_id(value) in self._known

    def learn(self, value: bytes) -> None:
        """Fetch the schema of a value. Raises InvalidDataError, and what `schema_of` raises."""
        from fastavro import parse_schema
        from fastavro.schema import SchemaParseException

        number = schema_id(value)
        text = self._schema_of(number)
        try:
            parsed = parse_schema(json.loads(text))
        except (SchemaParseException, ValueError, LookupError, TypeError, RecursionError) as error:
            raise InvalidDataError(f"schema {number} of the registry is not valid: {error}") from None
        name = parsed.get("name", "") if isinstance(parsed, dict) else ""
        self._known[number] = parsed, name

    def decode(self, value: bytes) -> AnyRecord:
        """Return the record of a value. Raises UnknownTypeError, InvalidDataError, and what `schema_of` raises."""
        from fastavro import schemaless_reader
        from fastavro.read import SchemaResolutionError

        number = schema_id(value)
        if number not in self._known:
            self.learn(value)
        writer, name = self._known[number]
        if name not in CLASSES:
            raise UnknownTypeError(f"record {name!r} is not known: skip it, or install a newer conference-events")
        try:
            fields = schemaless_reader(io.BytesIO(memoryview(value)[HEAD:]), writer, _reader_schema(name))
            found: AnyRecord = msgspec.convert(fields, CLASSES[name])
        except (SchemaResolutionError, EOFError, ValueError, LookupError, TypeError, OverflowError) as error:
            raise InvalidDataError(f"{name} with schema {number}: {error or type(error).__name__}") from None
        return found


@cache
def _reader_schema(name: str) -> Any:
    from fastavro import parse_schema

    return parse_schema(json.loads(schema(name)))
