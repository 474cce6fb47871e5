"""Someone who takes part in a room of Janus' AudioBridge by plain RTP, without WebRTC, and hears what plays."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any, Final, Self

from pipeline.engines.janus.api import JanusApi, Reply
from pipeline.errors import PipelineError

NOWHERE: Final = 9
"""A port where nobody listens."""
PAYLOAD_TYPE: Final = 100
RTP_HEADER: Final = struct.Struct("!BBHII")
SILENCE: Final = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms."""


class RefusedError(PipelineError):
    """The AudioBridge refused a request."""


class RtpMember:
    """A member. An asynchronous context manager; entering joins, leaving ends the session.

    Args:
        url, secret: of Janus' websocket API.
        member: the id in the AudioBridge, without the node.
        display: the name to show, which becomes the caller_id.
        port: where the audio goes to on 127.0.0.1.

    Methods raise EngineAwayError and RefusedError.
    """

    def __init__(
        self, url: str, secret: str, room: str, member: str, display: str = "", *, muted: bool = False,
        port: int = NOWHERE,
    ) -> None:  # fmt: skip
        self._room, self.id, self._display, self._muted, self._port = room, member, display, muted, port
        self._api = JanusApi(url, secret)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            await opened.enter_async_context(self._api)
            await self.join(self._room)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def join(self, room: str) -> Reply:
        """Join a room."""
        reply = await self.request(
            "join", room=room, id=self.id, display=self._display, muted=self._muted,
            rtp={"ip": "127.0.0.1", "port": self._port, "payload_type": PAYLOAD_TYPE},
        )  # fmt: skip
        self.port = int(reply.data["rtp"]["port"])
        return reply

    async def request(self, request: str, **fields: object) -> Reply:
        """Send a request of the member's own session, such as `leave` or `configure`."""
        reply = await self._api.audiobridge(request, **fields)
        if reply.code:
            raise RefusedError(f"the AudioBridge refused {request}: error {reply.code}: {reply.error}")
        return reply

    async def keep_alive(self) -> None:
        """Keep the session, until cancelled."""
        await self._api.keep_alive()


class Ear(asyncio.DatagramProtocol):
    """Receives a member's audio on `port`. An asynchronous context manager; entering listens."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def greet(self, port: int) -> None:
        """Send a silent packet to the member's port of Janus, which sends audio only to those who sent some."""
        self._transport.sendto(RTP_HEADER.pack(2 << 6, PAYLOAD_TYPE, 1, 960, 1) + SILENCE, ("127.0.0.1", port))

    def datagram_received(self, data: bytes, _: object) -> None:
        """Count a packet."""
        self.sizes.append(len(data) - RTP_HEADER.size)
