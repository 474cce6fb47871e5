"""Encode the load's signals as Avro, with fastavro and the schemas in `avro/`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastavro

from testkit.model import micros

AVRO = Path(__file__).parent.parent.parent / "avro"


def encoder(schema_ids: Mapping[str, int]) -> Callable[[dict[str, Any]], bytes]:
    """Return a function that encodes a signal (as in JSON) in the schema registry's wire format."""
    schemas: dict[str, tuple[bytes, Any]] = {}
    for file in AVRO.glob("conference.signal.*.avsc"):
        text = json.loads(file.read_text())
        name = file.stem.removeprefix("conference.signal.")
        schemas[name] = (b"\0" + schema_ids[file.stem].to_bytes(4), fastavro.parse_schema(plain(text)))

    def encode(signal: dict[str, Any]) -> bytes:
        prefix, schema = schemas[signal["type"].title().replace(".", "")]
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, {**signal, "occurred_at": micros(signal["occurred_at"])})
        return prefix + out.getvalue()

    return encode


def plain(schema: Any) -> Any:
    """Return the schema without logical types, so that times stay numbers."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if key != "logicalType"}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema
