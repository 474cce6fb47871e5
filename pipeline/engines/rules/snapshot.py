"""What an engine has at one moment, in the words of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class EngineMember(msgspec.Struct, frozen=True):
    """A member of a room in the engine."""

    caller_id: str = ""
    muted: bool = False


class EngineRoom(msgspec.Struct, frozen=True):
    """A room in the engine.

    members  by session_uuid
    plays    whether a file plays or is held paused
    playing  the operation_id of what plays; None if the engine does not tell it
    made     whether the bridge created the room
    """

    members: Mapping[str, EngineMember] = {}
    plays: bool = False
    playing: str | None = None
    made: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """An engine at the time `taken`, microseconds since 1970. `life` names the process of the engine."""

    taken: int
    life: str
    rooms: Mapping[str, EngineRoom] = {}
    """By room_id; only rooms of the bridge's node."""
