"""Receives the events that Janus' websocket event handler (wsevh) sends: Janus connects to the bridge."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from pipeline.errors import ConfigError

MAX_MESSAGE: Final = 1 << 20
"""Bytes of a message. Janus groups up to 100 events. A longer message ends the connection."""
HEARTBEAT_SECONDS: Final = 15.0
"""Seconds between two pings; a connection that does not answer them is closed."""
CLOSE_SECONDS: Final = 1.0


class Listener:
    """A websocket server for one Janus. An asynchronous context manager; entering listens.

    Args:
        token: the path of the backend in Janus' configuration; "" for none.
        take: called with each message; False: the queue is full, disconnect.
        room: waits until the queue is half empty.
        noticed: called with a text after a connection began, ended, or was refused.
        counts: its `too_long` are the messages that were longer than the limit.

    While the queue is full, no connection is accepted: Janus keeps its events meanwhile. Entering raises ConfigError.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        take: Callable[[bytes], bool],
        room: Callable[[], Awaitable[None]],
        noticed: Callable[[str], object],
        counts: Counter[str],
    ) -> None:
        self._host, self._port, self._path = host, port, f"/{token}".encode()
        self._take, self._room, self._noticed = take, room, noticed
        self._counts = counts
        self._socket: web.WebSocketResponse | None = None
        self._is_full = False

    @property
    def connected(self) -> bool:
        """Whether Janus is connected."""
        return self._socket is not None

    async def __aenter__(self) -> Listener:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._accept)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"--events-listen: {self._host}:{self._port} can't be listened on: {error.strerror}"
            ) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await self._runner.cleanup()

    async def disconnect(self) -> None:
        """End the connection; Janus connects again."""
        if self._socket is not None:
            await self._socket.close()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        if not hmac.compare_digest(request.path.encode(), self._path):
            self._noticed("a connection to the port of the events has another path than ENGINE_EVENTS_TOKEN")
            return web.Response(status=404)
        if self._is_full:
            return web.Response(status=503)
        protocols = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one.strip()]
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE, protocols=protocols[:1], compress=False,
            timeout=CLOSE_SECONDS,
        )  # fmt: skip
        if not socket.can_prepare(request):
            return web.Response(status=400)
        await socket.prepare(request)
        before, self._socket = self._socket, socket
        if before is not None:
            await before.close()
        self._noticed("Janus' event handler is connected")
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
                if not self._take(data):
                    await self._wait(socket)
                    return
            elif getattr(message.data, "code", 0) == WSCloseCode.MESSAGE_TOO_BIG:
                self._counts["too_long"] += 1
                self._noticed("a message of Janus was too long")
        if self._socket is socket:
            self._noticed("Janus' event handler has disconnected")

    async def _wait(self, socket: web.WebSocketResponse) -> None:
        self._socket, self._is_full = None, True
        try:
            await socket.close()
            await self._room()
        finally:
            self._is_full = False
