"""A fake of Janus' websocket API and event handler: it obeys as the real one does, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Self

import aiohttp
from aiohttp import WSMsgType, web

from tests.support.janus import core, event

ADMIN_KEY = "admin"
TOKEN = "token"
ERRORS = {484: "Invalid element", 485: "No such room", 486: "Room exists", 489: "Unauthorized", 490: "File ID exists",
          492: "No such user", 499: "Error opening file"}  # fmt: skip


class FakeRoom:
    """A room: members by id with their fields, file_id → path of what plays."""

    def __init__(self, description: str = "", secret: str = "") -> None:
        self.description, self.secret = description, secret
        self.members: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}


class FakeJanus:
    """A server on a free port. An asynchronous context manager.

    Attributes:
        mute: answer nothing; `answer`: send this text instead of each reply.
        loses: send no events; `missing`: paths that can't be opened.
        requests: those of the AudioBridge, in order.
    """

    def __init__(self, *, secret: str = "", string_ids: bool = True) -> None:
        self._secret, self._string_ids = secret, string_ids
        self.rooms: dict[str, FakeRoom] = {}
        self.requests: list[dict[str, Any]] = []
        self.missing: set[str] = set()
        self.mute = self.loses = False
        self.answer: str | None = None
        self._ids = itertools.count(1)
        self._times = itertools.count(1_795_970_356_000_000, 1000)
        self._sockets: set[web.WebSocketResponse] = set()
        self._events: aiohttp.ClientWebSocketResponse | None = None
        self._backend = ""

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()
        await self._http.close()
        await self._runner.cleanup()

    async def drop(self) -> None:
        """Close all connections."""
        for socket in list(self._sockets):
            await socket.close()
        if self._events is not None:
            await self._events.close()

    # --- events ---

    async def connect_events(self, port: int, token: str = TOKEN) -> aiohttp.ClientWebSocketResponse:
        """Connect as the event handler does."""
        url = f"ws://127.0.0.1:{port}/{token}"
        self._events = await self._http.ws_connect(url, protocols=("janus-event-handlers",))
        return self._events

    def post_events(self, port: int, token: str = TOKEN) -> None:
        """Post the events from now on, as the HTTP event handler does."""
        self._backend = f"http://127.0.0.1:{port}/{token}"

    async def post(self, body: object, **options: Any) -> tuple[int, str]:
        """Post a body to the port of the events, and return the status and text of the reply."""
        async with self._http.post(options.pop("url", self._backend), data=body, **options) as answer:
            return answer.status, await answer.text()

    async def send(self, text: str | bytes) -> None:
        """Send a text as an event."""
        if self._backend:
            await self.post(text)
            return
        assert self._events is not None
        await (self._events.send_str(text) if isinstance(text, str) else self._events.send_bytes(text))

    async def happen(self, kind: str, room: str, *, own: bool = False, **data: Any) -> None:
        """Send an event of a room."""
        if not self.loses and (self._backend or self._events is not None):
            await self.send(json.dumps([event(kind, next(self._times), own=own, room=room, **data)]))

    async def restart(self) -> None:
        """Forget all rooms, close the connections of the API, and report a start."""
        self.rooms.clear()
        for socket in list(self._sockets):
            await socket.close()
        await self.send(json.dumps(core(time=next(self._times))))

    async def join(self, room: str, member: str, display: str = "", *, muted: bool = False) -> None:
        fields = {"id": member, "display": display, "muted": muted}
        self.rooms.setdefault(room, FakeRoom()).members[member] = fields
        await self.happen("joined", room, own=True, setup=False, **fields)

    async def finish(self, room: str, file_id: str) -> None:
        del self.rooms[room].files[file_id]
        await self.happen("announcement-stopped", room, file_id=file_id)

    # --- the API ---

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("janus-protocol",))
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not self.mute:
                    await self._obey(socket, json.loads(message.data))
        finally:
            self._sockets.discard(socket)
        return socket

    async def _obey(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"janus": "success", "transaction": message["transaction"]}
        kind = message["janus"]
        if self._secret and message.get("apisecret") != self._secret:
            reply |= {
                "janus": "error",
                "error": {"code": 403, "reason": "Unauthorized request (wrong or missing secret)"},
            }
        elif kind == "info":
            reply |= {"janus": "server_info", "version_string": "1.1.2"}
        elif kind == "keepalive":
            reply["janus"] = "ack"
        elif kind in ("create", "attach"):
            reply["data"] = {"id": next(self._ids)}
        elif kind == "message":
            reply["plugindata"] = {"data": await self._message(message["body"])}
        else:
            reply |= {"janus": "error", "error": {"code": 453, "reason": "Unknown request"}}
        await socket.send_str(json.dumps(reply) if self.answer is None else self.answer)

    async def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body)
        request, name = body["request"], body.get("room", "")
        found: int | dict[str, Any] = 482
        if request == "exists":
            found = {"exists": name in self.rooms} if self._string_ids else 484
        elif request == "list":
            found = self._list() if body.get("admin_key") == ADMIN_KEY else 489
        elif request == "create":
            found = 486 if name in self.rooms else {}
            self.rooms.setdefault(name, FakeRoom(body["description"], body["secret"]))
        elif (room := self.rooms.get(name)) is None:
            found = 485
        elif request == "listparticipants":
            found = {"participants": list(room.members.values())}
        elif room.secret and body.get("secret") != room.secret:
            found = 489
        elif request == "destroy":
            del self.rooms[name]
            await self.happen("destroyed", name)
            found = {}
        elif request in ("kick", "mute", "unmute"):
            found = await self._of_member(request, name, body["id"])
        else:
            found = await self._file(request, name, body)
        return (
            {"audiobridge": "event", "error_code": found, "error": ERRORS[found]} if isinstance(found, int) else found
        )

    def _list(self) -> dict[str, Any]:
        rooms = self.rooms.items()
        return {
            "list": [{"room": n, "description": r.description, "num_participants": len(r.members)} for n, r in rooms]
        }

    async def _of_member(self, request: str, name: str, member: str) -> int | dict[str, Any]:
        room = self.rooms[name]
        if member not in room.members:
            return 492
        if request == "kick":
            del room.members[member]
            await self.happen("kicked", name, id=member)
            await self.happen("left", name, id=member)
        elif room.members[member]["muted"] != (request == "mute"):
            room.members[member]["muted"] = request == "mute"
            await self.happen(request, name, id=member)
        return {}

    async def _file(self, request: str, name: str, body: dict[str, Any]) -> int | dict[str, Any]:
        room, file_id = self.rooms[name], body["file_id"]
        if request == "is_playing":
            return {"playing": file_id in room.files}
        if request == "stop_file":
            if room.files.pop(file_id, None) is not None:
                await self.happen("announcement-stopped", name, file_id=file_id)
            return {}
        if file_id in room.files:
            return 490
        if body["filename"] in self.missing:
            return 499
        room.files[file_id] = body["filename"]
        await self.happen("announcement-started", name, file_id=file_id)
        return {}


async def settled() -> None:
    """Let what was sent arrive."""
    await asyncio.sleep(0.05)
