"""The endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from pipeline.gateway import bodies
from pipeline.gateway.answers import (
    check_outcome,
    completed,
    in_progress,
    looked_up,
    read_operation,
    wait_seconds,
)
from pipeline.gateway.identity import Operation, is_owner, signal_id
from pipeline.gateway.operations import CHECK_SECONDS, Asked, Operations
from pipeline.gateway.problems import Problem, unavailable
from pipeline.gateway.rooms import Rooms
from pipeline.gateway.settings import GatewaySettings
from pipeline.gateway.streams import EVENT_TYPES, Streams
from pipeline.view import Outcomes

JSON = "application/json"
Check = Callable[[Operation], Awaitable[tuple[str, dict[str, Any]]]]
Filter = Annotated[str | None, Query(min_length=1, max_length=255)]


class Api:
    """The endpoints of one gateway. Each is a coroutine that FastAPI calls; they raise Problem."""

    def __init__(
        self, rooms: Rooms, operations: Operations, outcomes: Outcomes, streams: Streams, settings: GatewaySettings
    ) -> None:
        self._rooms, self._operations, self._outcomes = rooms, operations, outcomes
        self._streams, self._settings = streams, settings

    # --- rooms -----------------------------------------------------------------------------------------------

    async def create_conference(self, request: Request, body: bodies.CreateBody) -> Response:
        """Create a room. Triggers `conference.created`."""
        app, name = request.state.app, body.name
        return await self._command(
            request,
            "conference.create",
            "",
            body,
            lambda one: self._rooms.check_create(one, app, name),
            created=True,
        )

    async def list_conferences(
        self,
        request: Request,
        name: Annotated[str | None, Query(max_length=1024)] = None,
        node: Annotated[str | None, Query(max_length=255)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(max_length=255, description="The `next` of the page before.")] = "",
    ) -> Response:
        """List the rooms of the app in the order of their ids."""
        found, following = await self._rooms.listed(request.state.app, name=name, node=node, limit=limit, after=after)
        return _json({"success": True, "conferences": found, "next": following})

    async def get_conference(self, request: Request, room_id: str) -> Response:
        """Show a room with its members and its playback."""
        room = await _answered(self._rooms.shown(_path_id(room_id), request.state.app))
        return _json({"success": True, **room})

    async def delete_conference(self, request: Request, room_id: str, body: bodies.NoBody | None = None) -> Response:
        """Delete a room. Triggers `conference.destroyed`, after the `conference.member.left` of its members."""
        return await self._to_room(request, "conference.destroy", room_id, body, {})

    async def play(self, request: Request, room_id: str, body: bodies.PlayBody) -> Response:
        """Play files in a room. Triggers `conference.play.started`."""
        return await self._to_room(request, "conference.play", room_id, body, {"urls": body.urls})

    async def pause(self, request: Request, room_id: str, body: bodies.NoBody | None = None) -> Response:
        """Pause the playback, or resume it. Triggers `conference.play.paused` or `conference.play.resumed`."""
        return await self._to_room(request, "conference.pause", room_id, body, {})

    async def stop(self, request: Request, room_id: str, body: bodies.NoBody | None = None) -> Response:
        """Stop the playback. Triggers `conference.play.stopped`."""
        return await self._to_room(request, "conference.stop", room_id, body, {})

    async def volume(self, request: Request, room_id: str, body: bodies.VolumeBody) -> Response:
        """Set the volume. Triggers `conference.play.volume_changed`."""
        return await self._to_room(request, "conference.volume", room_id, body, {"volume": body.volume})

    async def _to_room(self, request: Request, kind: str, raw_id: str, body: Any, fields: dict[str, Any]) -> Response:
        room_id, app = _path_id(raw_id), request.state.app

        async def check(one: Operation) -> tuple[str, dict[str, Any]]:
            named = fields if kind == "conference.destroy" else {**fields, "operation_id": one.id}
            return await self._rooms.check_command(one, kind, room_id, app, named)

        return await self._command(request, kind, room_id, body, check, room_id=room_id)

    # --- sessions --------------------------------------------------------------------------------------------

    async def join(self, request: Request, session_uuid: str, body: bodies.SessionBody) -> Response:
        """Ask the engine to put a session into a room. `conference.member.joined` follows when it has."""
        return await self._to_session(request, "conference.join", session_uuid, body)

    async def leave(self, request: Request, session_uuid: str, body: bodies.SessionBody) -> Response:
        """Ask the engine to take a session out of a room. `conference.member.left` follows when it has."""
        return await self._to_session(request, "conference.leave", session_uuid, body)

    async def mute(self, request: Request, session_uuid: str, body: bodies.SessionBody) -> Response:
        """Mute a member. Triggers `conference.member.muted`."""
        return await self._to_session(request, "conference.mute", session_uuid, body)

    async def unmute(self, request: Request, session_uuid: str, body: bodies.SessionBody) -> Response:
        """Unmute a member. Triggers `conference.member.unmuted`."""
        return await self._to_session(request, "conference.unmute", session_uuid, body)

    async def _to_session(self, request: Request, kind: str, raw_id: str, body: bodies.SessionBody) -> Response:
        session, room_id, app = _path_id(raw_id), body.room_id, request.state.app
        return await self._command(
            request,
            kind,
            session,
            body,
            lambda one: self._rooms.check_session(one, kind, session, room_id, app),
            room_id=room_id,
        )

    # --- one command -----------------------------------------------------------------------------------------

    async def _command(
        self,
        request: Request,
        kind: str,
        path_id: str,
        body: Any,
        check: Check,
        *,
        room_id: str | None = None,
        created: bool = False,
    ) -> Response:
        headers, uid = request.headers, None if body is None else body.command_uid
        wait = wait_seconds(headers.getlist("prefer"), self._settings.wait_seconds)
        node = self._rooms.nodes.emptier() if created else "local"
        given = headers.getlist("idempotency-key")
        one = read_operation(request.state.app, f"{kind}/{path_id}", given, uid, node)
        fields = {} if body is None else body.model_dump(exclude={"command_uid"})

        def partition() -> int | None:
            return None if room_id is None else self._rooms.partition(room_id)

        asked = Asked(kind, check, msgspec.json.encode(fields), partition)
        found = await self._operations.run(one, asked, wait)
        more = {"Idempotency-Key": one.key, "Preference-Applied": f"wait={wait:g}"}
        if found is None:
            return Response(in_progress(one), 202, more, JSON)
        outcome = check_outcome(one, found, fields)
        return Response(completed(one, outcome), 201 if created else 200, more, JSON)

    async def get_operation(self, request: Request, operation_id: str) -> Response:
        """Look up what became of a request, for 10 minutes."""
        if is_owner(request.state.app, operation_id):
            found = self._operations.known(operation_id, signal_id(operation_id))
            if found is None and not self._operations.is_pending(operation_id):
                await _answered(self._outcomes.read_end())
                found = self._operations.known(operation_id, signal_id(operation_id))
            if found is not None or self._operations.is_pending(operation_id):
                return Response(looked_up(operation_id, None if found is None else found.outcome), 200, None, JSON)
        message = "this gateway does not know the operation: its outcome is not there yet, or is older than 10 minutes"
        raise Problem(404, "operation_unknown", message, {"operation_id": operation_id[:64]})

    # --- events ----------------------------------------------------------------------------------------------

    async def events(
        self,
        request: Request,
        room_id: Filter = None,
        type: Annotated[str | None, Query(description="Only events of this type.")] = None,
    ) -> Response:
        """Stream the events of the app's rooms as server-sent events. `Last-Event-ID` resumes."""
        if type is not None and type not in EVENT_TYPES:
            raise Problem(400, "invalid_request", f"type must be one of {', '.join(EVENT_TYPES)}")
        last = request.headers.getlist("last-event-id")
        if len(last) > 1:
            raise Problem(400, "invalid_request", "the header Last-Event-ID occurs more than once")
        most = request.state.limits.streams
        stream = self._streams.open(request.state.app, most, room_id, type, last[0] if last else None)
        return StreamingResponse(
            stream, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "text/event-stream"
        )


def _path_id(raw: str) -> str:
    """Return an id of the path, which is percent-encoded. Raises Problem."""
    try:
        found = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "invalid_request", "an id in the path must be UTF-8") from None
    if not 0 < len(found) <= 255:
        raise Problem(400, "invalid_request", "an id has 1-255 characters")
    return found


async def _answered(call: Awaitable[Any]) -> Any:
    """Await what Kafka must answer. Raises Problem (503) when it takes too long."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await call
    except TimeoutError:
        raise unavailable("unavailable", "Kafka does not answer") from None


def _json(fields: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(fields), 200, None, JSON)
