"""Example events, and their Kafka values."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

from conference_events import Meta, events, schema
from fastavro import parse_schema, schemaless_writer

T = datetime(2026, 11, 22, 13, 33, 21, 400, tzinfo=UTC)


def meta(sequence: int = 1, event_id: str = "") -> Meta:
    return Meta(
        event_id=event_id or f"id-{sequence}",
        sequence=sequence,
        occurred_at=T,
        app_id="my-app",
        cause="s-1",
        playback_id=None,
        ends_playback=False,
        synthetic=False,
    )


def joined(sequence: int = 1, room: str = "räum-☎", event_id: str = "") -> events.MemberJoined:
    return events.MemberJoined(session_uuid="alice", room_id=room, caller_id="+1555", meta=meta(sequence, event_id))


def example(kind: type[events.Event]) -> Any:
    """Return an event of this class; each text is the name of its field."""
    values: dict[str, Any] = {"meta": meta(), "urls": ("a", "b"), "volume": -50}
    for name in kind.__struct_fields__:
        values.setdefault(name, name)
    return kind(**{name: values[name] for name in kind.__struct_fields__})


def fields(event: events.Event) -> dict[str, Any]:
    """Return the fields as an Avro writer wants them."""
    plain = {name: getattr(event, name) for name in event.__struct_fields__}
    made = {name: getattr(event.meta, name) for name in event.meta.__struct_fields__}
    return {"event": event.EVENT, **plain, "meta": made}


def framed(text: str, values: dict[str, Any], number: int = 7) -> bytes:
    """Return a Kafka value in the registry's wire format."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(json.loads(text)), values)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


def value(event: events.Event, number: int = 7) -> bytes:
    return framed(schema(event.RECORD), fields(event), number)
