"""Keys of the rows of the rooms table: compact JSON arrays whose first item is the kind of the row (contract §2)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

ROOM: Final = "room"  # a room's row has the key [ROOM, room_id]
MEMBER: Final = "member"  # a member's row: [MEMBER, room_id, session_uuid]
GONE: Final = "gone"  # the row of a gone room: [GONE, room_id]
POSITION: Final = "position"  # the one position row of each partition: [POSITION]

encode_key: Final = msgspec.json.Encoder().encode
"""Encode a tuple of a kind and its ids as a key."""
POSITION_KEY: Final = encode_key((POSITION,))
KINDS: Final = frozenset((ROOM, MEMBER, GONE, POSITION))
"""The kinds of this version. Rows of other kinds must be skipped (contract §2)."""

_decode: Final = msgspec.json.Decoder(list[str]).decode


def decode_key(key: bytes) -> list[str]:
    """Decode a key into its kind and its ids; ids of an unknown kind that are not strings are left out.

    Raises msgspec.DecodeError if it is not the key of a row.
    """
    try:
        return _decode(key)
    except msgspec.ValidationError:
        parts: Any = msgspec.json.decode(key)
        if isinstance(parts, list) and parts and isinstance(parts[0], str) and parts[0] not in KINDS:
            return parts[:1]
        raise
