"""Names of an engine's rooms and sessions ↔ room_id and session_uuid. A node begins all ids of its engine."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from pipeline.errors import ConfigError

MAX_ID: Final = 255
"""Code points of an id (contract §4)."""
_NODE: Final = re.compile(r"[A-Za-z0-9]{1,32}")


def bounded_id(text: str) -> str:
    """Return `text`, or a digest of it if it is longer than an id may be."""
    if len(text) <= MAX_ID:
        return text
    return hashlib.blake2b(text.encode(), digest_size=24).hexdigest()


class Node:
    """The ids of one node. Raises ConfigError for a name that is no node."""

    def __init__(self, name: str) -> None:
        if not _NODE.fullmatch(name):
            raise ConfigError(f"--node: expected 1 to 32 letters and digits, got {name[:64]!r}")
        self.name = name
        self._room, self._session = f"{name}-room-", f"{name}-"

    def owns(self, room_id: str) -> bool:
        """Return whether a room is one of this node."""
        return room_id.startswith(self._room)

    def room_id(self, name: str) -> str | None:
        """Return the room_id of an engine's room; None if it has none, because it would be too long."""
        room_id = name if self.owns(name) else self._room + name
        return room_id if name and len(room_id) <= MAX_ID else None

    def room_names(self, room_id: str) -> tuple[str, ...]:
        """Return the names that the engine's rooms of this id may have, the full one first.

        A play or a join goes to the first that exists, else to the full name.
        """
        short = room_id.removeprefix(self._room)
        return (room_id, short) if short != room_id and self.room_id(short) == room_id else (room_id,)

    def session_uuid(self, engine_id: str) -> str | None:
        """Return the session_uuid of an engine's member; None if it has none."""
        session = self._session + engine_id
        return session if engine_id and len(session) <= MAX_ID else None

    def engine_id(self, session_uuid: str) -> str | None:
        """Return the engine's id of a session; None if it is one of another node."""
        return session_uuid.removeprefix(self._session) or None if session_uuid.startswith(self._session) else None
