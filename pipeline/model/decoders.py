"""The signal in the value of a Kafka record: Avro in the registry's wire format, or JSON."""

from __future__ import annotations

from pipeline.errors import PipelineError, SignalError
from pipeline.model.avro import HEAD
from pipeline.model.codec import MAX_VALUE, Decode, decode_json, decoder
from pipeline.model.signals import AnySignal


class UnknownSchemaError(PipelineError):
    """The value names a schema id that has not been learnt yet: ask the registry, then decode again."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} has not been asked for yet")
        self.schema_id = schema_id


class SignalDecoder:
    """Signals from the values of Kafka records.

    It learns a writer's schema once, by `learn`; a value with an id that it has not learnt raises
    `UnknownSchemaError`, so that asking the registry stays the caller's business.
    """

    def __init__(self) -> None:
        self._by_head: dict[bytes, Decode] = {}
        """Decoders by what their values begin with: magic byte and schema id."""

    def learn(self, schema_id: int, text: str | None) -> None:
        """Know `schema_id` as the schema `text` (None: the registry has no such id)."""
        self._by_head[b"\0" + schema_id.to_bytes(4)] = decoder(schema_id, text)

    def forget(self, schema_id: int) -> None:
        """Ask for `schema_id` again when it is next met."""
        self._by_head.pop(b"\0" + schema_id.to_bytes(4), None)

    def decode(self, value: bytes | None) -> AnySignal:
        """The signal in `value`. Raises SignalError or UnknownSchemaError."""
        if not value:
            raise SignalError("the value is null" if value is None else "the value is empty")
        if len(value) > MAX_VALUE:
            raise SignalError(f"the value has {len(value)} bytes, more than {MAX_VALUE}")
        decode = self._by_head.get(value[:HEAD])
        if decode is not None:
            return decode(value)
        first = value[0]
        if first == 0x7B:  # {
            return decode_json(value)
        if first != 0:
            raise SignalError(f"expected magic byte 0 or a JSON object, got first byte {first:#04x}")
        if len(value) < HEAD:
            raise SignalError(f"the value has {len(value)} bytes, too few for magic byte and schema id")
        raise UnknownSchemaError(int.from_bytes(value[1:HEAD]))
