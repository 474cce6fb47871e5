"""Decoders by schema id, for values in the registry's wire format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from pipeline.errors import PipelineError, SignalError
from pipeline.model import framing
from pipeline.model.avro_reader import resolving
from pipeline.model.codec import MAX_VALUE, decode_json
from pipeline.model.error_text import one_line
from pipeline.model.framing import HEAD
from pipeline.model.signals import SIGNALS, AnySignal
from pipeline.model.wire import DECODERS, SCHEMAS

# Longest schema of another writer, in characters: parsed, it takes 200 times the memory. Those in avro/ have 2,000.
MAX_SCHEMA: Final = 1 << 17
Decode = Callable[[bytes], Any]  # a decoder of framed values; raises SignalError
_GENERATED: Final = frozenset(DECODERS.values())


class UnknownSchemaError(PipelineError):
    """A value names a schema id that has not been learnt: ask the registry, `learn` the answer, and decode again."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} has not been learnt")
        self.schema_id = schema_id


class Decoders:
    """A table from schema id to decoder, for values of `records`, the classes that may occur. Starts without any id.

    It does no I/O: the caller asks the registry for the schema of an id and passes it to `learn`, once per id.
    """

    def __init__(self, records: Iterable[Any]) -> None:
        self._records: dict[str, Any] = {record.RECORD: record for record in records}
        self._by_head: dict[bytes, Decode] = {}  # by magic byte and schema id

    def learn(self, schema_id: int, text: str | None) -> None:
        """Use the schema `text` for this id. None: the registry has no such id, and its values are errors."""
        self._by_head[framing.head(schema_id)] = decoder(schema_id, text, self._records)

    def forget(self, schema_id: int) -> None:
        """Delete an id, so that its next value raises UnknownSchemaError."""
        self._by_head.pop(framing.head(schema_id), None)

    def is_current(self, value: bytes) -> bool:
        """Return whether `value` has exactly the encoding of a current schema."""
        return self._by_head.get(value[:HEAD]) in _GENERATED

    def decode(self, value: bytes | None) -> Any:
        """Return the record in `value`. Raises SignalError or UnknownSchemaError."""
        if value is None:
            raise SignalError("the value is null")
        decode = self._by_head.get(value[:HEAD])
        if decode is not None:
            return decode(value)
        raise UnknownSchemaError(framing.schema_id(value))


class SignalDecoder(Decoders):
    """Decoders of all signals, in Avro and in JSON."""

    def __init__(self) -> None:
        super().__init__(SIGNALS)

    def decode(self, value: bytes | None) -> AnySignal:
        """Return the signal in `value`. Raises SignalError or UnknownSchemaError."""
        if not value:
            raise SignalError("the value is null" if value is None else "the value is empty")
        if len(value) > MAX_VALUE:
            raise SignalError(f"the value has {len(value)} bytes, more than {MAX_VALUE}")
        decode = self._by_head.get(value[:HEAD])
        if decode is not None:
            signal: AnySignal = decode(value)
            return signal
        first = value[0]
        if first == 0x7B:  # {
            return decode_json(value)
        if first != 0:
            raise SignalError(f"expected magic byte 0 or a JSON object, got first byte {first:#04x}")
        raise UnknownSchemaError(framing.schema_id(value))


def decoder(schema_id: int, text: str | None, known: Mapping[str, Any]) -> Decode:
    """Return a decoder of framed values of the writer's schema `text` (None: the registry has no such id).

    `known` maps the full name of each record that may occur to its class. For any other record, and for an invalid
    schema, the decoder raises SignalError.
    """
    if text is None:
        return _refusing(f"the registry has no schema with id {schema_id}")
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
        return _refusing(f"schema id {schema_id}: expected a record of this topic, found {found}")
    if is_current_schema(schema, name):
        return DECODERS[name]
    return resolving(schema, known[name])


def is_current_schema(schema: Any, name: str) -> bool:
    """Return whether the parsed `schema` has exactly the encoding of the current schema of record `name`.

    If so, the generated decoder may read its values. Avro's Parsing Canonical Forms are compared: they keep names,
    types and the order of fields and branches, which determine the bytes, and drop docs, defaults and other attributes.
    """
    canonical = _canonical(schema)
    return canonical is not None and canonical == _canonical(msgspec.json.decode(SCHEMAS[name]))


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
