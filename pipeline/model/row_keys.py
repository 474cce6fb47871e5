"""Keys of the rows of the rooms table: compact JSON arrays whose first item is the kind of the row (contract §2)."""

from __future__ import annotations

from typing import Final

import msgspec

ROOM: Final = "room"  # a room's row has the key [ROOM, room_id]
MEMBER: Final = "member"  # a member's row: [MEMBER, room_id, session_uuid]
POSITION: Final = "position"  # the one position row of each partition: [POSITION]

encode_key: Final = msgspec.json.Encoder().encode
"""Encode a tuple of a kind and its ids as a key."""
decode_key: Final = msgspec.json.Decoder(list[str]).decode
"""Decode a key into its kind and its ids. Raises msgspec.DecodeError."""
POSITION_KEY: Final = encode_key((POSITION,))
