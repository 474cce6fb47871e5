"""A play that was begun, as the metadata of the offset that is committed before it is sent.

A bridge that starts at such an offset does not send the play again unless the engine proves that it does not know it.
"""

from __future__ import annotations

from typing import Final

import msgspec

MAX_METADATA: Final = 4096
"""Bytes that Kafka accepts by default (`offset.metadata.max.bytes`)."""


class Begun(msgspec.Struct, frozen=True):
    """The play whose event is at `offset` was about to be sent."""

    offset: int
    event_id: str


def encode(begun: Begun) -> str:
    """Return the metadata."""
    return msgspec.json.encode(begun).decode()


def decode(metadata: str) -> Begun | None:
    """Return what metadata say; None if nothing, or if another program wrote them."""
    if not metadata:
        return None
    try:
        return msgspec.json.decode(metadata, type=Begun)
    except msgspec.DecodeError:
        return None
