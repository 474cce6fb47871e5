"""Decoders for the schemas of any writer (Avro 1.12, "Schema Resolution")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from pipeline.errors import SignalError
from pipeline.model import signal_ids
from pipeline.model.avro_reader import Reader
from pipeline.model.error_text import fault, one_line, shorten
from pipeline.model.framing import HEAD
from pipeline.model.likely_cause import nearest
from pipeline.model.records import Recent
from pipeline.model.signals import Micros
from pipeline.model.times import FIRST_TIME, LAST_TIME
from pipeline.model.wire import DECODERS, SCHEMAS

# Longest schema of another writer, in characters: parsed, it takes 200 times the memory. Those in avro/ have 2,000.
MAX_SCHEMA: Final = 1 << 17
Decode = Callable[[bytes], Any]  # a decoder of framed values; raises SignalError


class OtherFormat(str):
    """The type of a schema in the registry that is not Avro: JSON or PROTOBUF."""


def decoder(schema_id: int, text: str | None, known: Mapping[str, Any]) -> Decode:
    """Return a decoder of framed values of the writer's schema `text` (None: the registry has no such id).

    `known` maps the full name of each record that may occur to its class. For any other record, and for an invalid
    schema, the decoder raises SignalError.
    """
    if text is None:
        return _refusing(f"the registry has no schema with id {schema_id}")
    if isinstance(text, OtherFormat):
        return _refusing(f"schema id {schema_id} is of type {one_line(text, 40)}: use the serializer of Avro")
    if len(text) > MAX_SCHEMA:
        return _refusing(f"schema id {schema_id}: a schema of {len(text)} characters, more than {MAX_SCHEMA}")
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _refusing(f"schema id {schema_id}: a schema that can't be read: {error}")
    name = str(schema.get("name", "")) if isinstance(schema, dict) else ""
    if name and "." not in name:
        name = f"{schema.get('namespace', '')}.{name}".lstrip(".")
    if name not in known:
        found = one_line(name, 120) or "no record"
        meant = nearest(name, tuple(known))
        hint = f"; do you mean {meant}?" if meant else ""
        return _refusing(f"schema id {schema_id}: expected a record of this topic, found {found}{hint}")
    if is_current_schema(schema, name):
        return DECODERS[name]
    return resolving(schema, known[name])


def is_current_schema(schema: Any, name: str) -> bool:
    """Return whether the parsed `schema` has exactly the encoding of the current schema of record `name`.

    If so, the generated decoder may read its values. Avro's Parsing Canonical Forms are compared: they keep names,
    types and the order of fields and branches, which determine the bytes, and drop docs, defaults and other attributes.
    Logical types are compared, too: they give the unit of a time.
    """
    canonical, current = _canonical(schema), msgspec.json.decode(SCHEMAS[name])
    return (
        canonical is not None and canonical == _canonical(current) and _logical_types(schema) == _logical_types(current)
    )


def _logical_types(schema: Any) -> list[Any]:
    """Return the logical types of a valid schema in their order; None for each type without one."""
    if isinstance(schema, list):
        return [found for branch in schema for found in _logical_types(branch)]
    if not isinstance(schema, dict):
        return [None]
    kind = schema["type"]
    if kind in ("array", "map"):
        return _logical_types(schema["items" if kind == "array" else "values"])
    if kind == "record":
        return [found for field in schema["fields"] for found in _logical_types(field["type"])]
    if isinstance(kind, (dict, list)):
        return _logical_types(kind)
    return [schema.get("logicalType")]


def _canonical(schema: Any) -> str | None:
    """Return None for an invalid schema, and for one that refers to others (the registry's references)."""
    from fastavro import schema as avro  # here, so that `replay` starts without it

    try:
        return str(avro.to_parsing_canonical_form(schema))
    except (avro.SchemaParseException, TypeError, AttributeError, LookupError, ValueError, RecursionError):
        return None


def _refusing(reason: str) -> Decode:
    def refuse(_: bytes) -> Any:
        raise SignalError(reason)

    return refuse


def resolving(schema: Any, record: Any) -> Callable[[bytes], Any]:
    """Return a decoder of framed values of the writer's parsed `schema` to the class `record`. It raises SignalError.

    Extra fields are dropped, missing fields take their defaults, and the rules of contract §4 are checked as for JSON.
    """

    def decode(value: bytes) -> Any:
        reader = Reader(value, HEAD)
        try:
            fields = reader.read(schema)
        except RecursionError:
            raise SignalError(f"{record.RECORD}: the value is nested too deeply") from None
        except (IndexError, ValueError) as error:
            raise SignalError(one_line(f"{record.RECORD}: {reader.fault(error)}")) from None
        except (KeyError, TypeError, AttributeError):
            raise SignalError(
                one_line(f"{record.RECORD}: {reader.where()}the writer's schema is no Avro schema")
            ) from None
        if more := len(value) - reader.at:
            raise SignalError(f"{record.RECORD}: expected the end of the record, found {more} more bytes")
        try:
            return msgspec.convert(fields, record, dec_hook=_convert)
        except msgspec.ValidationError as error:
            raise SignalError(f"{record.RECORD}: {fault(str(error), partial(_found, fields), 'field ')}") from None

    return decode


def _found(fields: dict[str, Any], field: str, index: str) -> str:
    return shorten(fields[field][int(index.partition("]")[0])] if index else fields[field])  # `index`: 3] or 3].topic


def _convert(kind: type, value: Any) -> int | bytes:
    if kind is Recent:
        if type(value) is not list or not all(type(item) is str for item in value):
            raise ValueError(f"Expected an array of strings, got {value!r:.60}")
        return Recent(signal_ids.of(value))
    if type(value) is not Micros:
        raise ValueError(f"Expected a long with the logicalType timestamp-millis, -micros or -nanos, got {value!r:.60}")
    if not FIRST_TIME <= value <= LAST_TIME:
        raise ValueError(f"Expected a time in the years 1 to 9999, got {value}")
    return value
