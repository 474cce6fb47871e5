"""The HTTP server of a service: uvicorn with h11, which refuses heads over 16 KiB and ambiguous lengths.

uvicorn has no time limits for a client that sends the head of a request slowly or does not read its answer;
`TimedProtocol` closes such connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import ConfigError

HEAD_BYTES: Final = 16_384
"""Bytes of a request's path and headers."""
HEAD_SECONDS: Final = 10.0
"""Longest time for the head of a request to come, from its first byte or the connection on."""
READ_SECONDS: Final = 30.0
"""Longest time for which a client may read nothing while an answer waits for it."""
STOP_SECONDS: Final = 5
"""Seconds for open requests to end when the service stops."""


class TimedProtocol(H11Protocol):
    """A connection that is closed when the head of a request takes too long."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self._head_since: float | None = time.monotonic()
        self._full_since: float | None = None
        self._timer = self.loop.call_later(HEAD_SECONDS / 2, self._check)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._head_since is None and self._is_idle():
            self._head_since = time.monotonic()
        super().data_received(data)
        if not self._is_idle():
            self._head_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _check(self) -> None:
        now, since = time.monotonic(), self._head_since
        if not self.flow.write_paused:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        unread = self._full_since is not None and now - self._full_since > READ_SECONDS
        if unread or (since is not None and self._is_idle() and now - since > HEAD_SECONDS):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(HEAD_SECONDS / 2, self._check)


class _Server(uvicorn.Server):
    """A server whose process handles the signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers of signals as they are."""
        yield

    def begin_stop(self) -> None:
        """Take no new connections, and end when the open requests have ended."""
        self.should_exit = True


class WebServer:
    """An asynchronous context manager that serves an ASGI application. Entering raises ConfigError.

    `variables` names the settings of host and port, for the error.
    """

    def __init__(self, app: Any, host: str, port: int, *, max_connections: int, variables: str) -> None:
        self._host, self._port, self._variables = host, port, variables
        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=STOP_SECONDS,
            limit_concurrency=max_connections,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        self._server = _Server(config)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)

    async def __aenter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}): set {self._variables}"
            ) from None
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._task.done():
                self._task.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.begin_stop()
        await self._task
        self._socket.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._socket.getsockname()[1]
        return port
