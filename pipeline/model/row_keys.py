"""Keys of the rows of the rooms table: compact JSON arrays whose first item is the kind of the row (contract §2)."""

from __future__ import annotations

from typing import Final

import msgspec

ROOM: Final = "room"
"""Kind of a room's row; its key is [ROOM, room_id]."""
MEMBER: Final = "member"
"""Kind of a member's row; its key is [MEMBER, room_id, session_uuid]."""
POSITION: Final = "position"
"""Kind of the one position row of each partition; its key is [POSITION]."""

encode_key: Final = msgspec.json.Encoder().encode
"""Encode a tuple of a kind and its ids as a key."""
decode_key: Final = msgspec.json.Decoder(list[str]).decode
"""Decode a key into its kind and its ids. Raises msgspec.DecodeError."""

POSITION_KEY: Final = encode_key((POSITION,))
