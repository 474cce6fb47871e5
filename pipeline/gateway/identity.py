"""Ids that derive from a request. Equal requests get equal ids on every gateway. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from typing import Final, NamedTuple

import msgspec

KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_GENERATED: Final = re.compile(r"auto-[0-9a-f]{32}\.([A-Za-z0-9]{1,32})")


class Operation(NamedTuple):
    """One request with its key.

    id         identifies it for its app; a UUID whose first 48 bits are the app's, so that it tells whose it is
    signal_id  of the signal that it writes
    key        the idempotency key, given or generated
    given      whether the client gave the key
    repeat     whether this process has written its signal before
    """

    id: str
    signal_id: str
    key: str
    given: bool
    repeat: bool = False

    def known(self, *, repeat: bool) -> Operation:
        """Return the operation with `repeat` set."""
        return Operation(self.id, self.signal_id, self.key, self.given, repeat)

    @property
    def room_uuid(self) -> str:
        """The uuid of the room that it creates."""
        return str(uuid.uuid5(uuid.UUID(self.id), "room"))


def _owner(app: str) -> bytes:
    return hashlib.sha256(app.encode()).digest()[:6]


def operation(app: str, path: str, key: str, *, given: bool = True) -> Operation:
    """Return the operation of an app, a path and a key."""
    rest = hashlib.sha256(msgspec.json.encode([app, path, key])).digest()[:10]
    number = int.from_bytes(_owner(app) + rest, "big")
    number = number & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x8000 << 64 | 0x8000 << 48  # RFC 9562, version 8
    found = str(uuid.UUID(int=number))
    return Operation(found, signal_id(found), key, given)


def signal_id(operation_id: str) -> str:
    """Return the signal_id of an operation."""
    return str(uuid.uuid5(uuid.UUID(operation_id), "signal"))


def is_owner(app: str, operation_id: str) -> bool:
    """Return whether an operation is of this app. False for a text that is no operation_id."""
    try:
        return str(uuid.UUID(operation_id)) == operation_id and uuid.UUID(operation_id).bytes[:6] == _owner(app)
    except ValueError:
        return False


def generated_key(node: str) -> str:
    """Return a new key. It names the node of a new room, so that a repeat on another gateway chooses the same."""
    return f"auto-{secrets.token_hex(16)}.{node}"


def node_of_key(key: str) -> str:
    """Return the node that a generated key names, "" for another key."""
    found = _GENERATED.fullmatch(key)
    return found[1] if found else ""
