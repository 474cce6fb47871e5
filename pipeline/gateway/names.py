"""The live rooms of an app by their name. Follows the view's changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from pipeline.view import RoomsView, StaleViewError

RETRY_SECONDS: Final = 0.2
"""Seconds between two looks at a view that is stale."""
SLICE: Final = 500
"""Rooms read without yielding to the loop."""


class Names:
    """Room_ids by app and name."""

    def __init__(self, view: RoomsView) -> None:
        self._view = view
        self._names: dict[str, tuple[str, str]] = {}
        self._rooms: dict[tuple[str, str], set[str]] = {}

    def find(self, app: str, name: str) -> list[str]:
        """Return the ids of the rooms with this name. Raises StaleViewError."""
        found = sorted(self._rooms.get((app, name), ()))
        return [one for one in found if (room := self._view.room(one)) and (room.app_id, room.name) == (app, name)]

    def update(self, room_ids: Iterable[str]) -> None:
        """Read these rooms again. Raises StaleViewError."""
        for room_id in room_ids:
            room = self._view.room(room_id)
            now = None if room is None else (room.app_id, room.name)
            before = self._names.get(room_id)
            if now == before:
                continue
            if before is not None:
                self._rooms[before].discard(room_id)
                if not self._rooms[before]:
                    del self._rooms[before]
                del self._names[room_id]
            if now is not None:
                self._names[room_id] = now
                self._rooms.setdefault(now, set()).add(room_id)

    async def follow(self) -> None:
        """Read all rooms, then those that change, until cancelled."""
        changes = self._view.changes()  # before the first reading, which takes a while
        while self._view.stale:  # its end is noticed elsewhere
            await asyncio.sleep(RETRY_SECONDS)
        missed: set[str] = set(self._view.room_ids())
        await self._read(missed)
        async for room_ids in changes:
            missed |= room_ids
            await self._read(missed)

    async def _read(self, missed: set[str]) -> None:
        """Read rooms and take them out of `missed`; while the view is stale they stay in it."""
        listed = list(missed)
        for begin in range(0, len(listed), SLICE):
            try:
                self.update(listed[begin : begin + SLICE])
            except StaleViewError:
                return
            missed.difference_update(listed[begin : begin + SLICE])
            await asyncio.sleep(0)
