"""Receives the events of Janus' HTTP event handler (sampleevh), which posts each group of events to the bridge.

Janus does not look at the status of a reply. It sends a group again, the same bytes, only when no reply comes within
10 s or the connection fails, at most five times. It sends one group at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from typing import ClassVar, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline.engines.janus import listener
from pipeline.engines.janus.listener import Listener, Receiver, Taken

HOLD_SECONDS: Final = 8.0
"""Seconds that a request waits for the one before it, which waits for room in the queue. Janus waits 10 s."""
BODY_SECONDS: Final = 5.0
"""Seconds in which a body must arrive."""
PROBE_SECONDS: Final = 15.0
"""Seconds without a request after which an event is needed to show that the handler reaches the bridge."""
SILENT_SECONDS: Final = 3 * PROBE_SECONDS
"""Seconds without a request, in spite of the probes, after which the handler counts as not connected."""
GZIP: Final = 16 + zlib.MAX_WBITS


class _TooLongError(Exception):
    """A body is longer than MAX_MESSAGE."""


class _BadBodyError(Exception):
    """A body is incomplete, or not what its Content-Encoding says."""


class PostListener(Listener):
    """An HTTP server for one Janus.

    A body is an event or a list of events, plain or compressed with gzip. While the queue is full, requests wait, and
    after HOLD_SECONDS their connections are closed without a reply, so that Janus sends them again. The same body twice
    in a row is one whose reply was lost, and is not taken again.
    """

    scheme: ClassVar[str] = "http"
    file: ClassVar[str] = "janus.eventhandler.sampleevh.jcfg"
    method: ClassVar[str] = "POST"

    def __init__(self, address: tuple[str, int], token: str, receiver: Receiver) -> None:
        super().__init__(address, token, receiver)
        self._turn = asyncio.Lock()
        self._last = b""
        self._heard_at: float | None = None

    @property
    def connected(self) -> bool:
        """Whether a request came lately."""
        return self._since() < SILENT_SECONDS

    @property
    def needs_probe(self) -> bool:
        """Whether no request came for PROBE_SECONDS."""
        return self._since() >= PROBE_SECONDS

    def _since(self) -> float:
        return float("inf") if self._heard_at is None else time.monotonic() - self._heard_at

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            return _dropped(request)
        try:
            return await self._in_turn(request)
        finally:
            self._turn.release()

    async def _in_turn(self, request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except (TimeoutError, ConnectionError):
            return _dropped(request)
        except _TooLongError:
            self._receiver.counts["too_long"] += 1
            self._receiver.noticed("a message of Janus was too long")
            return _text(413, f"more than {listener.MAX_MESSAGE} bytes")
        except _BadBodyError as error:
            self._receiver.take(b"")  # counts it as one that can't be read
            return _text(400, str(error))
        self._heard()
        digest = hashlib.sha256(body).digest()
        if digest == self._last:
            return _text(200, "received before")
        self._last = digest
        taken = self._receiver.take(body)
        if taken is Taken.FULL:
            await self._receiver.room()
            self._receiver.noticed("events were lost while the queue was full")
        return _text(400, "not all of it can be read as events of Janus") if taken is Taken.BAD else _text(200, "")

    def _heard(self) -> None:
        was_connected, self._heard_at = self.connected, time.monotonic()
        if not was_connected:
            self._receiver.noticed("Janus' event handler is connected")


async def _body(request: web.Request) -> bytes:
    """Return the body. Raises _TooLongError, _BadBodyError."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise _BadBodyError(f"the Content-Encoding {encoding[:20]!a} is not supported")
    body = bytearray()
    try:
        async for part in request.content.iter_any():
            body += part
            if len(body) > listener.MAX_MESSAGE:
                raise _TooLongError
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise _BadBodyError(f"incomplete: {type(error).__name__}") from None
    return bytes(body) if encoding == "identity" else _unzipped(bytes(body))


def _unzipped(body: bytes) -> bytes:
    unzip = zlib.decompressobj(GZIP)
    try:
        text = unzip.decompress(body, listener.MAX_MESSAGE + 1)
    except zlib.error:
        raise _BadBodyError("no gzip") from None
    if len(text) > listener.MAX_MESSAGE:
        raise _TooLongError
    if not unzip.eof:
        raise _BadBodyError("incomplete gzip")
    return text


def _dropped(request: web.Request) -> web.Response:
    """Close the connection without a reply."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
