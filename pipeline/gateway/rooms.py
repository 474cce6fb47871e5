"""What the gateway reads of the rooms: ownership, lists, and the rules that hold before a signal is written."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Any, Final

from pipeline.gateway.identity import Operation
from pipeline.gateway.names import Names
from pipeline.gateway.nodes import Nodes
from pipeline.gateway.problems import Problem, rejected
from pipeline.gateway.sessions import SessionCheck
from pipeline.gateway.settings import GatewaySettings
from pipeline.kafka.partitioning import partition_of
from pipeline.model.events import Created
from pipeline.model.records import Room
from pipeline.model.times import format_time
from pipeline.view import Outcome, RoomsView, node_of
from pipeline.web.limits import Cooldowns

GROUPS: Final = {
    "conference.join": "transfer", "conference.leave": "transfer",
    "conference.mute": "mute", "conference.unmute": "mute",
}  # fmt: skip
"""Commands of a session that share a cooldown."""


class Rooms:
    """The rooms as the apps may see and change them."""

    def __init__(self, view: RoomsView, settings: GatewaySettings, sessions: SessionCheck, nodes: Nodes) -> None:
        self._view, self._settings, self._sessions, self.nodes = view, settings, sessions, nodes
        self.names = Names(view)
        self._cooldowns = Cooldowns()

    def partition(self, room_id: str) -> int:
        """Return the partition of a room."""
        return partition_of(room_id.encode(), self._view.partitions)

    # --- reading ---------------------------------------------------------------------------------------------

    async def owned(self, room_id: str, app: str) -> Room:
        """Return a room of an app. Raises Problem: there is none, as of now, also if it is another app's."""
        room = self._view.room(room_id)
        if room is None or room.app_id != app:
            await self._view.read_end(self.partition(room_id))
            room = self._view.room(room_id)
        if room is None or room.app_id != app:
            raise rejected("room_unknown", {"room_id": room_id})
        return room

    async def shown(self, room_id: str, app: str) -> dict[str, Any]:
        """Return a room with its members and its playback. Raises Problem."""
        room = await self.owned(room_id, app)
        members = [
            {
                "session_uuid": one.session_uuid,
                "caller_id": one.caller_id,
                "muted": one.muted,
                "joined_at": _time(one.joined_at),
            }
            for one in self._view.members(room_id)
        ]
        return {**self._summary(room), "members": members, "playback": _playback(room)}

    async def listed(
        self, app: str, *, name: str | None, node: str | None, limit: int, after: str
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return the rooms of an app in the order of their ids, and the id to go on after. Raises StaleViewError."""
        if name is not None:
            ids = [one for one in self.names.find(app, name) if node is None or node_of(one) == node]
        else:
            ids = self._view.room_ids(app=app, node=node)
        chosen = await asyncio.to_thread(_next_ids, ids, after, limit + 1)
        rooms = [room for one in chosen[:limit] if (room := self._view.room(one)) is not None and room.app_id == app]
        return [self._summary(room) for room in rooms], chosen[limit - 1] if len(chosen) > limit else None

    def _summary(self, room: Room) -> dict[str, Any]:
        return {
            "room_id": room.room_id,
            "name": room.name,
            "node": node_of(room.room_id),
            "member_count": self._view.member_count(room.room_id),
            "playback_status": room.playback_status,
            "created_at": _time(room.created_at),
        }

    # --- before a signal -------------------------------------------------------------------------------------

    async def check_create(self, operation: Operation, app: str, name: str) -> tuple[str, dict[str, Any]]:
        """Return the room_id and the fields of a create. Raises Problem if the app has a room with that name."""
        room_id = self.nodes.new_room(operation)
        self.nodes.check("conference.create", room_id)
        for one in self.names.find(app, name):
            if one.endswith(f"-room-{operation.room_uuid}") or operation.repeat:
                continue
            await self._view.read_end(self.partition(one))
            if one in self.names.find(app, name):
                raise Problem(409, "name_taken", "the app has a room with this name", {"room_id": one})
        return room_id, {"app_id": app, "name": name}

    async def check_command(
        self, operation: Operation, kind: str, room_id: str, app: str, fields: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Return the room_id and the fields of a command to a room. Raises Problem."""
        await self.owned(room_id, app)
        self.nodes.check(kind, room_id)
        if kind == "conference.play":
            self._cool(operation, f"play {room_id}", self._settings.play_cooldown)
        elif kind != "conference.destroy":
            self._cool(operation, f"control {room_id}", self._settings.control_cooldown)
        return room_id, fields

    async def check_session(
        self, operation: Operation, kind: str, session: str, room_id: str, app: str
    ) -> tuple[str, dict[str, Any]]:
        """Return the room_id and the fields of a command to a session. Raises Problem."""
        await self.owned(room_id, app)
        self.nodes.check(kind, room_id)
        for other in self._foreign(session, app):
            await self._view.read_end(self.partition(other))
        if self._foreign(session, app) or not await self._sessions.allows(app, session):
            raise Problem(403, "session_denied", "the session does not belong to the app", {"session_uuid": session})
        self._cool(operation, f"{GROUPS[kind]} {app} {session}", self._settings.session_cooldown)
        return room_id, {"session_uuid": session}

    def _foreign(self, session: str, app: str) -> list[str]:
        """Return the rooms of other apps that a session is in."""
        found = [(one, self._view.room(one)) for one in self._view.rooms_of(session)]
        return [one for one, room in found if room is not None and room.app_id not in ("", app)]

    def _cool(self, operation: Operation, name: str, seconds: float) -> None:
        if operation.repeat:
            return
        if left := self._cooldowns.begin(name, seconds, time.monotonic()):
            raise Problem(429, "too_soon", f"the same may be done again in {left:.1f} s", retry=left)

    def settled(self, outcome: Outcome) -> None:
        """Note an outcome that the view has caught up to: the next request must see the name of a new room."""
        created = [event.room_id for event in outcome.events if isinstance(event, Created)]
        if created and not self._view.stale:
            self.names.update(created)


def _next_ids(ids: list[str], after: str, most: int) -> list[str]:
    return heapq.nsmallest(most, (one for one in ids if one > after))


def _time(micros: int | None) -> str | None:
    return None if micros is None else format_time(micros)


def _playback(room: Room) -> dict[str, Any]:
    return {
        "status": room.playback_status,
        "operation_id": room.operation_id or None,
        "urls": list(room.urls),
        "files_finished": room.files_finished,
        "started_at": _time(room.started_at),
        "deadline": _time(room.deadline),
    }
