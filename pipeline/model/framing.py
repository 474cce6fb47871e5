"""The schema registry's wire format: a zero byte, the schema id in four bytes (big-endian), then the Avro data.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from __future__ import annotations

from typing import Final

from pipeline.errors import SignalError

HEAD: Final = 5  # bytes before the Avro data


def head(schema_id: int) -> bytes:
    """Return the bytes that precede Avro data written with this schema."""
    return b"\0" + schema_id.to_bytes(4, "big")


def schema_id(value: bytes) -> int:
    """Return the schema id that `value` names. Raises SignalError if it is not in the wire format."""
    if not value:
        raise SignalError("the value is empty")
    if value[0] != 0:
        raise SignalError(f"not in the registry's wire format: expected magic byte 0, found {value[0]:#04x}")
    if len(value) < HEAD:
        raise SignalError(f"the value has {len(value)} bytes, too few for magic byte and schema id")
    return int.from_bytes(value[1:HEAD], "big")
