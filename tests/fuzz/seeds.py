"""Valid bytes to mutate: every record in JSON and Avro, other writers' schemas, and a captured conference."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from typing import Any

import fastavro
import msgspec

from pipeline.demo.scenario import CAPTURE, SCENARIO
from pipeline.model import framing, signal_ids
from pipeline.model.codec import signal_json
from pipeline.model.events import EVENTS
from pipeline.model.records import Member, Position, Rejected, Room
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import ENCODERS, SCHEMAS
from tests.support.janus import captured as captured_of_janus

NOW = 1_795_354_386_106_600
TEXTS = {
    "room_id": "acW68-room-abc123",
    "session_uuid": "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123",
    "url": "https://cdn.example.com/audio/announcement.wav",
    "urls": "https://cdn.example.com/audio/näme.wav",
    "caller_id": "+15551234567",
    "name": "Team Stand-up 😀",
}
CLASSES: dict[str, Any] = {cls.RECORD: cls for cls in ENCODERS}
ROWS: dict[str, Any] = {row.RECORD: row for row in (Room, Member, Position, Rejected)}
EXTRA: tuple[dict[str, Any], ...] = (
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "price", "type": ["null", {"type": "map", "values": "double"}]},
    {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["low", "high"]}},
    {"name": "token", "type": {"type": "fixed", "name": "Token", "size": 8}},
    {
        "name": "more",
        "type": {"type": "record", "name": "More", "fields": [{"name": "next", "type": ["null", "More"]}]},
    },
    {"name": "blob", "type": "bytes"},
    {"name": "ratio", "type": "float"},
)
EXTRA_VALUES: dict[str, Any] = {
    "tags": ["a", "b"],
    "price": {"eur": 1.5, "usd": -2.0},
    "level": "high",
    "token": b"12345678",
    "more": {"next": {"next": None}},
    "blob": b"\0\xff",
    "ratio": 0.5,
}


def _value(schema: Any, name: str, full: bool) -> Any:
    if isinstance(schema, list):
        return _value(schema[1], name, full) if full else None
    if isinstance(schema, str):
        short = {"long": 7, "int": 2, "boolean": full, "bytes": b'{"a":1}'}
        return short.get(schema, TEXTS.get(name, name))
    if "logicalType" in schema:
        return NOW
    if schema["type"] == "array":
        items = tuple(_value(schema["items"], name, full) for _ in range(3 if full else 1))
        return signal_ids.of(items) if name == "recent" else items
    return _record(schema, full)


def _record(schema: Any, full: bool) -> Any:
    fields = {f["name"]: _value(f["type"], f["name"], full) for f in schema["fields"] if "const" not in f}
    return CLASSES[f"{schema['namespace']}.{schema['name']}"](**fields)


def examples(records: Any) -> list[Any]:
    """Return each record twice, with and without its optional values."""
    return [_record(json.loads(SCHEMAS[record]), full) for record in records for full in (True, False)]


SIGNAL_RECORDS = [signal.RECORD for signal in SIGNALS]
EVENT_RECORDS = [event.RECORD for event in EVENTS]


def wire(records: list[str]) -> list[bytes]:
    """Encode examples in the registry's wire format; the schema id is the record's index in the list plus 1."""
    return [ENCODERS[type(one)](one, framing.head(records.index(one.RECORD) + 1)) for one in examples(records)]


def foreign_schema(record: str, turn: int) -> dict[str, Any]:
    """Return the schema as another writer may have it: with more fields, before or after the known ones."""
    schema: dict[str, Any] = json.loads(SCHEMAS[record])
    more = list(EXTRA[turn % len(EXTRA) :] + EXTRA[: turn % len(EXTRA)])
    first = more if turn % 2 else []
    return {**schema, "fields": [*first, *schema["fields"], *([] if turn % 2 else more)]}


def foreign(records: list[str]) -> list[bytes]:
    """Encode examples in other writers' schemas, with the same ids as `wire`."""
    found = []
    for one in examples(records):
        number = records.index(one.RECORD)
        schema = fastavro.parse_schema(_plain(foreign_schema(one.RECORD, number)))
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, {**msgspec.to_builtins(one, builtin_types=(bytes,)), **EXTRA_VALUES})
        found.append(framing.head(number + 1) + out.getvalue())
    return found


def _plain(schema: Any) -> Any:
    """Return the schema without logical types, so that times are written as numbers."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    return {
        key: _plain(value) if key in {"type", "items", "values", "fields"} else value for key, value in schema.items()
    }


def json_lines() -> list[bytes]:
    """Return all signals as JSON, and those of the demo."""
    return [signal_json(one).strip() for one in examples(SIGNAL_RECORDS)] + _demo(SCENARIO)


def janus_texts() -> list[bytes]:
    """Return one event of each kind that a real Janus sent."""
    events = list(captured_of_janus("janus-rules.jsonl"))
    kinds = {str(one["event"].get("data", {}).get("event")): one for one in events}
    return [json.dumps(one).encode() for one in kinds.values()]


def engine_lines() -> list[bytes]:
    """Return the events that a real FreeSWITCH emitted in a conference."""
    return _demo(CAPTURE)


def engine_texts() -> list[bytes]:
    """Return texts of some of these events in the forms that an import reads."""
    lines = engine_lines()[:4]
    one = json.loads(lines[0])
    plain = "".join(f"{name}: {value}\n" for name, value in one.items()).encode() + b"\n"
    frame = b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(lines[1]), lines[1])
    envelope = json.dumps({"topic": "fs", "payload": lines[1].decode()}).encode()
    pretty = json.dumps(one, indent=2).encode()
    return [b"\n".join(lines), b"[" + b",".join(lines) + b"]", pretty, plain + plain, frame + frame, envelope]


def _demo(name: str) -> list[bytes]:
    return [line for line in (files("pipeline.demo") / name).read_bytes().split(b"\n") if line]
