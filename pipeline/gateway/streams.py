"""Event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from pipeline.gateway.problems import unavailable
from pipeline.model.events import EVENTS

EVENT_TYPES: Final = tuple(event.EVENT for event in EVENTS)


class Streams:
    """The event streams of one gateway."""

    def open(
        self, app: str, most: int | None, room_id: str | None, type_: str | None, last_id: str | None
    ) -> AsyncIterator[bytes]:
        raise unavailable("unavailable", "not yet")
