"""Receives the events of Janus' websocket event handler (wsevh), which connects to the bridge."""

from __future__ import annotations

from typing import ClassVar, Final

from aiohttp import WSCloseCode, WSMsgType, web

from pipeline.engines.janus import listener
from pipeline.engines.janus.listener import CLOSE_SECONDS, Listener, Receiver, Taken

HEARTBEAT_SECONDS: Final = 15.0
"""Seconds between two pings; a connection that does not answer them is closed."""


class WebsocketListener(Listener):
    """A websocket server for one Janus; a newer connection replaces the older.

    While the queue is full, no connection is accepted: Janus keeps its events meanwhile. A message that is too long
    ends the connection.
    """

    scheme: ClassVar[str] = "ws"
    file: ClassVar[str] = "janus.eventhandler.wsevh.jcfg"
    method: ClassVar[str] = "GET"

    def __init__(self, address: tuple[str, int], token: str, receiver: Receiver) -> None:
        super().__init__(address, token, receiver)
        self._socket: web.WebSocketResponse | None = None
        self._is_full = False

    @property
    def connected(self) -> bool:
        """Whether Janus is connected."""
        return self._socket is not None

    async def __aexit__(self, *error: object) -> None:
        if self._socket is not None:
            await self._socket.close()
        await super().__aexit__(*error)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        if self._is_full:
            return web.Response(status=503)
        protocols = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one.strip()]
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, max_msg_size=listener.MAX_MESSAGE, protocols=protocols[:1], compress=False,
            timeout=CLOSE_SECONDS,
        )  # fmt: skip
        if not socket.can_prepare(request):
            return web.Response(status=400)
        await socket.prepare(request)
        before, self._socket = self._socket, socket
        if before is not None:
            await before.close()
        self._receiver.noticed("Janus' event handler is connected")
        try:
            await self._read(socket)
        finally:
            if self._socket is socket:
                self._socket = None
        return socket

    async def _read(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                data = message.data.encode() if isinstance(message.data, str) else message.data
                if self._receiver.take(data) is Taken.FULL:
                    await self._wait(socket)
                    return
            elif getattr(message.data, "code", 0) == WSCloseCode.MESSAGE_TOO_BIG:
                self._receiver.counts["too_long"] += 1
                self._receiver.noticed("a message of Janus was too long")
        if self._socket is socket:
            self._receiver.noticed("Janus' event handler has disconnected")

    async def _wait(self, socket: web.WebSocketResponse) -> None:
        self._socket, self._is_full = None, True
        try:
            await socket.close()
            await self._receiver.room()
        finally:
            self._is_full = False
