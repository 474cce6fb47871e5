"""Receives the events that one of Janus' event handlers sends to the bridge: the server that both kinds share.

`websocket_listener` is for the websocket handler (wsevh), `post_listener` for the HTTP handler (sampleevh).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, ClassVar, Final, NamedTuple, Self

from aiohttp import web

from pipeline.errors import ConfigError

MAX_MESSAGE: Final = 1 << 20
"""Bytes of a message. Janus groups up to 100 events."""
CLOSE_SECONDS: Final = 1.0
REFUSED_SECONDS: Final = 10.0
"""Seconds between two notices of refused requests; the refusals between them are not reported."""


class Taken(Enum):
    """What became of a message.

    ALL   its events were taken
    BAD   it, or one of its events, can't be read; the others were taken
    FULL  the queue is full: some of its events were not taken
    """

    ALL = "all"
    BAD = "bad"
    FULL = "full"


class Receiver(NamedTuple):
    """What a listener calls.

    take     with each message
    room     waits until the queue is half empty
    noticed  with a text when the handler connected or disconnected, was refused, or sent what is lost
    counts   its `too_long` are the messages that were longer than the limit
    """

    take: Callable[[bytes], Taken]
    room: Callable[[], Awaitable[None]]
    noticed: Callable[[str], object]
    counts: Counter[str]


class Listener(ABC):
    """A server for one Janus. An asynchronous context manager; entering listens, and raises ConfigError.

    Args:
        address: host and port.
        token: the path of the backend in Janus' configuration, or the password of its basic authentication; "" for
            none.

    `file` is the handler's configuration, `scheme` begins its backend, `method` is that of its requests.
    """

    scheme: ClassVar[str]
    file: ClassVar[str]
    method: ClassVar[str]

    def __init__(self, address: tuple[str, int], token: str, receiver: Receiver) -> None:
        self._host, self._port = address
        self._token = token.encode()
        self._receiver = receiver
        self._refused_at = -REFUSED_SECONDS

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether Janus' event handler reaches the bridge."""

    @property
    def needs_probe(self) -> bool:
        """Whether only an event can show that the event handler reaches the bridge."""
        return False

    @abstractmethod
    async def _accept(self, request: web.Request) -> web.StreamResponse:
        """Answer a request that has the right token."""

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        options: dict[str, Any] = {"auto_decompress": False, "shutdown_timeout": CLOSE_SECONDS}
        self._runner = web.AppRunner(application, access_log=None, **options)
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
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not self._authorized(request):
            self._refuse("has neither the path nor the password that ENGINE_EVENTS_TOKEN names")
            return web.Response(status=404)
        if request.method != self.method:
            self._refuse(f"is a {request.method}: --events-listen {self.scheme}:// is for {self.file}")
            return web.Response(status=405, headers={"Allow": self.method})
        return await self._accept(request)

    def _authorized(self, request: web.Request) -> bool:
        """Return whether the path is the token, or "/" with the token as the password."""
        given = request.path.encode()
        secret = _password(request) if given == b"/" and self._token else given[1:]
        return hmac.compare_digest(secret, self._token)

    def _refuse(self, what: str) -> None:
        now = time.monotonic()
        if now - self._refused_at >= REFUSED_SECONDS:
            self._refused_at = now
            self._receiver.noticed(f"a request to the port of the events {what}")


def _password(request: web.Request) -> bytes:
    """Return the password of the basic authentication, b"" without one."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        found = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        found = b""
    return found.partition(b":")[2]
