"""Plain values to compare in tests: the rooms of a partition, and a decision."""

from __future__ import annotations

import io

import fastavro

from pipeline.core.decision import Decision
from pipeline.core.lazy_rooms import Rooms
from pipeline.model.records import Room


def as_dict(rooms: Rooms) -> dict[str, Room]:
    """Return all rooms by room_id, decoded."""
    return {room_id: rooms[room_id] for room_id in rooms}


def is_row(rooms: Rooms, room_id: str) -> bool:
    """Return whether the room is still kept as a row."""
    return isinstance(rooms._entries[room_id], bytes)


def remembered_ids(recent: bytes) -> tuple[str, ...]:
    """Return the signal_ids that a room remembers, decoded by another Avro library."""
    return tuple(fastavro.schemaless_reader(io.BytesIO(recent), {"type": "array", "items": "string"}, None))


def as_tuple(decision: Decision) -> tuple[object, ...]:
    """Return all fields of the decision."""
    return decision.room, decision.members, decision.events, decision.rejected, decision.no_op, decision.gone
