"""Decoders by schema id, for values in the registry's wire format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pipeline.errors import PipelineError, SignalError
from pipeline.model import framing
from pipeline.model.codec import MAX_VALUE, decode_json
from pipeline.model.framing import HEAD
from pipeline.model.schema_resolution import Decode, decoder
from pipeline.model.signals import SIGNALS, AnySignal
from pipeline.model.wire import DECODERS

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

    def unknown(self, values: Iterable[bytes | None]) -> list[int]:
        """Return the schema ids that these values name and that have not been learnt, each once."""
        heads = {value[:HEAD] for value in values if value is not None} - self._by_head.keys()
        return [framing.schema_id(head) for head in heads if len(head) == HEAD and head[0] == 0]

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

    def unknown_id(self, value: bytes | None) -> int | None:
        """Return the schema id of `value` if it must be learnt before `decode`."""
        if value is None or not HEAD <= len(value) <= MAX_VALUE or value[0] != 0 or value[:HEAD] in self._by_head:
            return None
        return framing.schema_id(value)

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
