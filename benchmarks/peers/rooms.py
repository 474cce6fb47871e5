"""Shared by the Python peers: Avro with fastavro and the schemas of `avro/`, the rules of a room, an event's headers.

It implements the rules of `pipeline/core/room.py` for the signals of the load (`load.py`) independently: rooms and
members are dicts with the fields of `conference.Room` and `conference.Member`. There is no watchdog and no rejection,
and no room ends; the last 16 API signals are deduplicated as in the contract. It imports nothing of the pipeline.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import fastavro

AVRO: Final = Path(__file__).parent.parent.parent / "avro"
REMEMBERED: Final = 16
Row = dict[str, Any]
Headers = list[tuple[str, bytes]]
Step = tuple[Row, Row | None, tuple[str, Row] | None]
Outcome = tuple[str, Row, str | None, bool]
"""An event: record, its own fields, meta.playback_id and meta.ends_playback."""

_URL_NAMESPACE: Final = sha1(bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8"), usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def event_id(room_id: str, sequence: int, cause: str) -> str:
    """Return the event_id, a UUIDv5 (contract §3)."""
    hashed = _URL_NAMESPACE.copy()
    hashed.update(f"{room_id}/{sequence}/{cause}".encode())
    h = hashed.hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def _plain(schema: Any) -> Any:
    """Return the schema without logical types: times stay numbers, which is faster."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key not in ("logicalType", "doc")}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


class Codec:
    """Encodes and decodes records in the registry's wire format, with known schema ids."""

    def __init__(self, schema_ids: dict[str, int]) -> None:
        named: dict[str, Any] = {}
        meta = _plain(json.loads((AVRO / "conference.Meta.avsc").read_text()))
        fastavro.parse_schema(meta, named_schemas=named)
        self.names: dict[str, str] = {}
        """Record name to the value of its field `event`."""
        self._writers: dict[str, tuple[bytes, Any]] = {}
        self._readers: dict[bytes, tuple[str, Any]] = {}
        for record, number in schema_ids.items():
            text = _plain(json.loads((AVRO / f"{record}.avsc").read_text()))
            if text["fields"][0]["name"] == "event":
                self.names[record.removeprefix("conference.")] = text["fields"][0]["const"]
            if record != "conference.Meta":
                schema = fastavro.parse_schema(text, named_schemas=dict(named))
                prefix = b"\0" + number.to_bytes(4)
                self._writers[record] = (prefix, schema)
                self._readers[prefix] = (record.rpartition(".")[2], schema)

    def decode(self, value: bytes) -> tuple[str, Row]:
        """Return the record's name without the namespace, and its fields."""
        name, schema = self._readers[value[:5]]
        stream = io.BytesIO(value)
        stream.seek(5)
        return name, fastavro.schemaless_reader(stream, schema)

    def encode(self, record: str, fields: Row) -> bytes:
        """Encode a record; `record` is its full name."""
        prefix, schema = self._writers[record]
        stream = io.BytesIO()
        stream.write(prefix)
        fastavro.schemaless_writer(stream, schema, fields)
        return stream.getvalue()

    def event(self, event: tuple[str, Row]) -> bytes:
        """Encode an event as returned by `step`."""
        return self.encode(f"conference.{event[0]}", event[1])


def headers(event: Row, source: bytes, place: str) -> Headers:
    """Return an event's headers (contract §3); `place` is topic/partition/offset of the cause."""
    meta = event["meta"]
    when = datetime.fromtimestamp(meta["occurred_at"] / 1e6, UTC).isoformat(timespec="microseconds")
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", meta["event_id"].encode()),
        ("ce_type", event["event"].encode()),
        ("ce_source", source),
        ("ce_subject", event["room_id"].encode()),
        ("ce_time", when.replace("+00:00", "Z").encode()),
        ("content-type", b"application/avro"),
        ("ce_signal", place.encode()),
    ]


def room_key(room_id: str) -> bytes:
    """Return the key of a room's row."""
    return json.dumps(["room", room_id], separators=(",", ":"), ensure_ascii=False).encode()


def member_key(room_id: str, session: str) -> bytes:
    """Return the key of a member's row."""
    return json.dumps(["member", room_id, session], separators=(",", ":"), ensure_ascii=False).encode()


def _fresh(room_id: str, now: int) -> Row:
    return {
        "room_id": room_id, "app_id": "", "name": "", "sequence": 0, "playback_status": "stopped",
        "operation_id": "", "urls": [], "files_finished": 0, "deadline": None, "remaining": None,
        "ended_operation_id": "", "ended_by": "", "ended_at": None, "ended_urls": [],
        "created_at": now, "last_event_at": None, "started_at": None, "recent": [],
    }  # fmt: skip


def step(names: dict[str, str], room: Row | None, member: Row | None, kind: str, signal: Row, now: int) -> Step:
    """Return room and member after the signal, and the event (record, fields) or None.

    `now` is the append time of the signal's record (microseconds). `member` is the row of the signal's session, None if
    there is none. Room and member may be modified in place. `names` is `Codec.names`.
    """
    room_id, cause = signal["room_id"], signal["signal_id"]
    if room is None:
        room = _fresh(room_id, now)
    if kind.startswith("Member"):
        outcome, member = _reported(room, member, kind, signal, now)
    elif cause in room["recent"]:
        return room, member, None
    else:
        room["recent"].append(cause)
        del room["recent"][:-REMEMBERED]
        outcome = _requested(room, kind, signal, now)
    if outcome is None:
        return room, member, None
    record, fields, playback, ends = outcome
    sequence = room["sequence"] = room["sequence"] + 1
    room["last_event_at"] = now
    fields["room_id"], fields["event"] = room_id, names[record]
    fields["meta"] = {
        "event_id": event_id(room_id, sequence, cause),
        "sequence": sequence,
        "occurred_at": signal["occurred_at"],
        "app_id": room["app_id"],
        "cause": cause,
        "playback_id": playback,
        "ends_playback": ends,
        "synthetic": False,
    }
    return room, member, (record, fields)


def _reported(room: Row, member: Row | None, kind: str, signal: Row, now: int) -> tuple[Outcome | None, Row | None]:
    """Apply a signal of the engine; return the event and the member after it."""
    session = signal["session_uuid"]
    if kind == "MemberJoined" and member is None:
        caller = signal["caller_id"]
        member = {"room_id": room["room_id"], "session_uuid": session, "caller_id": caller}
        member |= {"muted": signal["muted"], "leaving": False, "sequence": room["sequence"] + 1}
        member |= {"joined_at": now, "muted_at": now if signal["muted"] else None}
        return ("MemberJoined", {"session_uuid": session, "caller_id": caller}, None, False), member
    if kind == "MemberLeft" and member is not None:
        fields = {"session_uuid": session, "caller_id": member["caller_id"]}
        fields["reason"] = signal["reason"] or "hangup"
        return ("MemberLeft", fields, None, False), None
    return None, member


def _requested(room: Row, kind: str, signal: Row, now: int) -> Outcome | None:
    """Apply a signal of the API to the room; return the event."""
    status, playback = room["playback_status"], room["operation_id"]
    if kind == "ConferenceCreate":
        room["app_id"], room["name"] = signal["app_id"], signal["name"]
        return "Created", {"app_id": signal["app_id"], "name": signal["name"]}, None, False
    fields: Row = {"operation_id": signal["operation_id"]}
    match kind:
        case "ConferencePlay" if status == "stopped":
            fields["urls"], playback = signal["urls"], signal["operation_id"]
            room["playback_status"], room["operation_id"], room["urls"] = "playing", playback, signal["urls"]
            room["started_at"] = now
            return "PlayStarted", fields, playback, False
        case "ConferencePause" if status == "playing":
            room["playback_status"] = "paused"
            return "PlayPaused", fields, playback, False
        case "ConferencePause" if status == "paused":
            room["playback_status"], fields["app_id"] = "playing", room["app_id"]
            return "PlayResumed", fields, playback, False
        case "ConferenceStop" if status != "stopped":
            room["ended_operation_id"], room["ended_by"], room["ended_at"] = playback, "stop", now
            room["ended_urls"], room["started_at"] = room["urls"], None
            room["playback_status"], room["operation_id"], room["urls"] = "stopped", "", []
            return "PlayStopped", fields, playback, True
        case "ConferenceVolume":
            fields["volume"] = signal["volume"]
            return "PlayVolumeChanged", fields, playback or None, False
    return None
