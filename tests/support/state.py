"""Plain values to compare in tests: the state of a partition, and a decision."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import msgspec

from pipeline.core.decision import Decision
from pipeline.core.lazy_rooms import Rooms
from pipeline.core.partition import Partition
from pipeline.model.records import Room


def as_dict(rooms: Rooms) -> dict[str, Room]:
    """Return all rooms by room_id, decoded."""
    return {room_id: rooms[room_id] for room_id in rooms}


def table(partition: Partition) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the rows of the table that a partition stands for, by their keys, with lists for arrays."""
    found: dict[tuple[str, ...], Any] = {("room", room_id): room for room_id, room in as_dict(partition.rooms).items()}
    for room_id, members in partition.members.items():
        found |= {("member", room_id, session): member for session, member in members.items()}
    found |= {("gone", room_id): gone for room_id, gone in partition.gone.items() if room_id not in partition.rooms}
    return {key: _plain(row) for key, row in found.items()}


def _plain(row: Any) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    if "recent" in fields:
        fields["recent"] = remembered_ids(fields["recent"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def is_row(rooms: Rooms, room_id: str) -> bool:
    """Return whether the room is still kept as a row."""
    return isinstance(rooms._entries[room_id], bytes)


def remembered_ids(recent: bytes) -> tuple[str, ...]:
    """Return the signal_ids that a room remembers, decoded by another Avro library."""
    return tuple(fastavro.schemaless_reader(io.BytesIO(recent), {"type": "array", "items": "string"}, None))


def as_tuple(decision: Decision) -> tuple[object, ...]:
    """Return all fields of the decision."""
    return decision.room, decision.members, decision.events, decision.rejected, decision.no_op, decision.gone
