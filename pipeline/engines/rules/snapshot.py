"""What an engine has at one moment, in the words of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipeline.engines.rules.ids import Node


class EngineMember(msgspec.Struct, frozen=True):
    """A member of a room in the engine."""

    caller_id: str = ""
    muted: bool = False


class EngineRoom(msgspec.Struct, frozen=True):
    """A room in the engine, or two that have one room_id.

    members  by session_uuid
    plays    whether a file plays or is held paused
    playing  the operation_id of what plays; None if the engine does not tell it
    made     whether the bridge created the room
    names    the engine's names of it, the full one first
    """

    members: Mapping[str, EngineMember] = {}
    plays: bool = False
    playing: str | None = None
    made: bool = False
    names: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """An engine at the time `taken`, microseconds since 1970. `life` names the process of the engine."""

    taken: int
    life: str
    rooms: Mapping[str, EngineRoom] = {}
    """By room_id; only rooms of the bridge's node."""


def by_room_id(node: Node, rooms: Mapping[str, EngineRoom]) -> dict[str, EngineRoom]:
    """Return the engine's rooms, given by name, by room_id; without those whose name can't be an id.

    Two that have one room_id become one with the members of both. It counts as made by the bridge only if both are, so
    that no audit deletes the room of someone else.
    """
    found: dict[str, EngineRoom] = {}
    for name in sorted(rooms, key=node.owns, reverse=True):
        if (room_id := node.room_id(name)) is None:
            continue
        room, full = rooms[name], found.get(room_id, EngineRoom(made=True))
        found[room_id] = EngineRoom(
            {**room.members, **full.members},
            full.plays or room.plays,
            full.playing or room.playing,
            full.made and room.made,
            (*full.names, name),
        )
    return found
