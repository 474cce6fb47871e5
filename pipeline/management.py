"""`/livez`, `/readyz` and `/metrics` of a worker or a gateway, read-only, and served before Kafka is reachable.

The port shares the process's loop, so the cost of a request is bounded: connections in number and duration, heads in
size; bodies are not read, and metrics are rendered for at most a tenth of the time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from pipeline.errors import ConfigError

STALLED_SECONDS = 60.0
"""Duration of a unit, or time without a poll, after which the worker counts as stalled. An unreachable broker causes
neither."""
MAX_CONNECTIONS: Final = 32
"""Connections open at a time. One more closes the oldest, so that held connections cannot lock probes out."""
MAX_SECONDS: Final = 10.0
"""Longest life of a connection."""
LIMITS: Final[dict[str, Any]] = {
    "max_line_size": 2048,
    "max_field_size": 4096,
    "keepalive_timeout": 5.0,
    "lingering_time": 0.0,  # no request has a body
    "auto_decompress": False,
    "shutdown_timeout": 2.0,
}


class Health(Protocol):
    """A process's answers to the probes."""

    def stalled(self) -> float:
        """Return the seconds without progress of the process's loops."""

    def not_ready(self) -> str | None:
        """Return why the process does no work yet; None when it does."""

    def refresh(self) -> None:
        """Set the gauges to their current values."""


class HttpServer:
    """The management port of one process."""

    def __init__(self, health: Health, registry: CollectorRegistry, host: str, port: int) -> None:
        self._health, self._registry = health, registry
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._rendered, self._again_at = b"", 0.0
        self._began = time.monotonic()

    async def start(self) -> int:
        """Listen, and return the port. Raises ConfigError when it is in use."""
        app = web.Application(client_max_size=1)
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._scrape),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, **LIMITS)
        await self._runner.setup()
        server: Any = self._runner.server
        open_now: dict[_Guarded, None] = {}
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Guarded(server(), open_now), self._host, self._port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            raise ConfigError(
                f"cannot listen on port {self._port} ({error.strerror}): set PIPELINE_HTTP_PORT to a free port, or to 0"
            ) from None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close the port, then the open connections."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        stalled = self._health.stalled()
        if stalled > STALLED_SECONDS:
            return web.json_response({"alive": False, "stalled_seconds": round(stalled, 1)}, status=503)
        return web.json_response({"alive": True, "up_seconds": round(time.monotonic() - self._began, 1)})

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._health.not_ready()
        return web.json_response({"ready": reason is None, "reason": reason}, status=503 if reason else 200)

    async def _scrape(self, _: web.Request) -> web.Response:
        began = time.monotonic()
        if began >= self._again_at:
            self._health.refresh()
            self._rendered = generate_latest(self._registry)
            now = time.monotonic()
            self._again_at = now + 9 * (now - began)
        return web.Response(body=self._rendered, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Guarded(asyncio.Protocol):
    """A connection that is closed after MAX_SECONDS, or when a new one needs its place."""

    def __init__(self, inner: asyncio.Protocol, open_now: dict[_Guarded, None]) -> None:
        self._inner, self._open = inner, open_now

    def connection_made(self, transport: Any) -> None:
        while len(self._open) >= MAX_CONNECTIONS:
            next(iter(self._open)).close()
        self._open[self] = None
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(MAX_SECONDS, self.close)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._open.pop(self, None)
        self._timer.cancel()
        self._inner.connection_lost(error)

    def close(self) -> None:
        """Close the connection at once."""
        self._open.pop(self, None)
        self._transport.abort()
