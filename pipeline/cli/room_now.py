"""The state of a room now, beside what happened to one of its signals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pipeline.cli.progress import with_progress
from pipeline.cli.tables import Column
from pipeline.terminal import warn

if TYPE_CHECKING:
    from pipeline.model.records import Room
    from pipeline.settings import Settings

State = Callable[[str | None], dict[str, Any] | None]
"""Returns the state of a room as JSON values; None if it does not live."""


@asynccontextmanager
async def rooms_now(settings: Settings, room_id: str | None = None) -> AsyncIterator[State]:
    """Read the rooms to the end of what is committed, only the partition of `room_id` if one is given.

    Raises ConfigError, KafkaError, FatalError.
    """
    from pipeline.view import RoomsView
    from pipeline.view.one_room import TableScan

    if room_id is not None:
        found = await TableScan(settings).room(room_id)
        only = None if found.room is None else _fields(found.room, len(found.members))
        yield lambda wanted: only if wanted == room_id else None
        return
    async with RoomsView(settings, warn) as view:
        await with_progress(view.loaded(), "reading the rooms", lambda: view.fraction)

        def state(wanted: str | None) -> dict[str, Any] | None:
            room = None if wanted is None else view.room(wanted)
            return None if room is None else _fields(room, view.member_count(room.room_id))

        yield state


def _fields(room: Room, members: int) -> dict[str, Any]:
    return {"name": room.name, "app_id": room.app_id, "members": members, "playback_status": room.playback_status}


def text(state: dict[str, Any] | None) -> str:
    """Return the state for people."""
    if state is None:
        return "does not live"
    members = state["members"]
    return f"{state['playback_status']}, {members} member{'s' * (members != 1)}"


COLUMN = Column("room now", lambda row: text(row["room_now"]))
