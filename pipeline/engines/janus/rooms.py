"""Rooms of the AudioBridge: requests to them, who is in them, which of them the bridge made."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from pipeline.engines.engine import EngineAwayError
from pipeline.engines.janus.api import JanusApi, Reply
from pipeline.engines.rules.commands import Refused
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineMember
from pipeline.errors import ConfigError

INVALID: Final = 484
NO_SUCH_ROOM: Final = 485
ROOM_EXISTS: Final = 486
UNAUTHORIZED: Final = 489
MADE: Final = "conference-pipeline"
"""The description of the rooms that a bridge made: their only mark that survives the bridge."""
CONFIGURATION: Final = "janus.plugin.audiobridge.jcfg"


class ListedRoom(NamedTuple):
    """A room of the engine: its name, whether a bridge made it, how many are in it."""

    name: str
    made: bool
    members: int


class Rooms:
    """The rooms of a node, over the connection that `use` sets.

    Methods raise EngineAwayError.
    """

    def __init__(self, node: Node, admin_key: str, *, plain_rtp: bool) -> None:
        self._node, self._admin_key, self._plain_rtp = node, admin_key, plain_rtp
        self._api: JanusApi | None = None

    def use(self, api: JanusApi | None) -> None:
        """Set the connection; None: there is none."""
        self._api = api

    @property
    def session(self) -> str:
        """The id of the connection's session, "" while there is none."""
        return "" if self._api is None else str(self._api.session)

    async def check(self, api: JanusApi) -> None:
        """Raise ConfigError if the AudioBridge is not configured for a bridge."""
        reply = await api.audiobridge("exists", room=f"{self._node.name}-room-check")
        if reply.code == INVALID:
            raise ConfigError(f"the AudioBridge has numbers as ids: set string_ids = true in {CONFIGURATION}")
        reply = await api.audiobridge("list", admin_key=self._admin_key)
        if reply.code == UNAUTHORIZED:
            raise ConfigError(
                "the AudioBridge rejected the admin key: set ENGINE_PASSWORD, or ENGINE_PASSWORD_FILE, to the "
                f"admin_key of {CONFIGURATION}"
            )
        if reply.code:
            raise EngineAwayError(f"Janus: list: error {reply.code}: {reply.error}")

    async def cause_events(self) -> None:
        """Make a room and delete it: Janus reports both. What is left of it, an audit deletes."""
        name = f"{self._node.name}-room-probe"
        await self._make(name)
        await self.in_named(name, "destroy", permanent=False)

    async def request(self, request: str, **fields: Any) -> Reply:
        """Send a request of the AudioBridge and return its reply."""
        if self._api is None:
            raise EngineAwayError("Janus can't be reached")
        return await self._api.audiobridge(request, **fields)

    async def in_room(self, room_id: str, request: str, **fields: Any) -> Reply:
        """Send a request to the room of this name, or of its short form."""
        reply = Reply({}, NO_SUCH_ROOM, "No such room")
        for name in self._node.room_names(room_id):
            reply = await self.in_named(name, request, **fields)
            if reply.code != NO_SUCH_ROOM:
                break
        return reply

    async def in_rooms(self, room_id: str, request: str, **fields: Any) -> list[Reply]:
        """Send a request to the room of this name and to that of its short form; return the replies of those there are.

        If there is none, return the one reply that says so.
        """
        names = self._node.room_names(room_id)
        replies = await asyncio.gather(*(self.in_named(name, request, **fields) for name in names))
        return [one for one in replies if one.code != NO_SUCH_ROOM] or replies[:1]

    async def in_named(self, name: str, request: str, **fields: Any) -> Reply:
        """Send a request to a room of the engine."""
        return await self.request(
            request, room=name, secret=room_secret(self._admin_key, name), admin_key=self._admin_key, **fields
        )

    async def create(self, room_id: str) -> Refused | None:
        """Make a room, unless there is one of its full or its short name: a second one would have the same room_id."""
        for short in self._node.room_names(room_id)[1:]:
            if (await self.request("exists", room=short)).data.get("exists") is True:
                return None
        return refusal(await self._make(room_id), ROOM_EXISTS)

    async def _make(self, name: str) -> Reply:
        return await self.in_named(
            name, "create", description=MADE, is_private=True, permanent=False,
            allow_rtp_participants=self._plain_rtp,
        )  # fmt: skip

    async def destroy(self, room_id: str) -> Refused | None:
        """Delete a room; everyone in it is out."""
        replies = await self.in_rooms(room_id, "destroy", permanent=False)
        return joint_refusal(replies, NO_SUCH_ROOM)

    async def of_member(self, room_id: str, request: str, session_uuid: str) -> Refused | None:
        """Send a request about a member: kick, mute, unmute."""
        member = self._node.engine_id(session_uuid)
        if member is None:
            return Refused(f"the session {session_uuid[:80]!a} is not one of node {self._node.name}")
        return joint_refusal(await self.in_rooms(room_id, request, id=member))

    # --- what there is ---------------------------------------------------------------------------------------

    async def listed(self) -> list[ListedRoom]:
        """Return the rooms of the engine."""
        reply = await self.request("list", admin_key=self._admin_key)
        if reply.code:
            raise EngineAwayError(f"Janus: list: error {reply.code}: {reply.error}")
        found = []
        for one in _objects(reply.data.get("list")):
            name, count = str(one.get("room", "")), one.get("num_participants")
            if self._node.room_id(name) is not None:
                count = count if isinstance(count, int) else 1
                found.append(ListedRoom(name, one.get("description") == MADE, count))
        return found

    async def members(self, room: ListedRoom) -> dict[str, EngineMember]:
        """Return who is in a room, by session_uuid."""
        if not room.members:
            return {}
        reply = await self.request("listparticipants", room=room.name)
        if reply.code not in (0, NO_SUCH_ROOM):
            raise EngineAwayError(f"Janus: listparticipants: error {reply.code}: {reply.error}")
        found = {}
        for one in _objects(reply.data.get("participants")):
            session = self._node.session_uuid(str(one.get("id", "")))
            if session is not None:
                found[session] = EngineMember(str(one.get("display") or ""), one.get("muted") is True)
        return found


def room_secret(admin_key: str, name: str) -> str:
    """Return the secret of a room that a bridge made: every bridge with the same admin key knows it."""
    return hmac.new(admin_key.encode(), name.encode(), hashlib.sha256).hexdigest()


def refusal(reply: Reply, *accepted: int) -> Refused | None:
    """Return the refusal of a reply; None if it has no error, or one of these."""
    return None if reply.code in (0, *accepted) else Refused(f"error {reply.code}: {reply.error}")


def joint_refusal(replies: Sequence[Reply], *accepted: int) -> Refused | None:
    """Return the refusal of both rooms of a room_id; None if one of them has done the request."""
    refusals = [refusal(reply, *accepted) for reply in replies]
    return None if None in refusals else refusals[0]


def _objects(found: object) -> Iterator[dict[str, Any]]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            yield one
