"""Someone who takes part in a room of Janus' AudioBridge by plain RTP, without WebRTC, and hears what plays."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Final, Self

from pipeline.demo.command_process import DemoError
from pipeline.engines.janus.api import JanusApi, Reply

NOWHERE: Final = 9
"""A port where nobody listens."""
PAYLOAD_TYPE: Final = 100
RTP_HEADER: Final = struct.Struct("!BBHII")
RTP_VERSION: Final = 2 << 6
SILENCE: Final = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms."""
PACKET_SECONDS: Final = 0.02
QUIET_BYTES: Final = 16
"""Most bytes of the payload of a silent packet: Janus 1.1.2 sends 8 or 9, and more than 20 for any sound."""


class RtpMember:
    """A member. An asynchronous context manager; entering joins, leaving ends the session.

    Args:
        url, secret: of Janus' websocket API.
        member: the id in the AudioBridge, without the node.
        display: the name to show, which becomes the caller_id.
        ear: receives the audio; None: nobody does.

    Methods raise EngineAwayError, and DemoError for a request that the AudioBridge refused.
    """

    def __init__(
        self, url: str, secret: str, room: str, member: str, display: str = "", *, muted: bool = False,
        ear: Ear | None = None,
    ) -> None:  # fmt: skip
        self._room, self.id, self._display, self._muted, self._ear = room, member, display, muted, ear
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
        port = NOWHERE if self._ear is None else self._ear.port
        reply = await self.request(
            "join", room=room, id=self.id, display=self._display, muted=self._muted,
            rtp={"ip": "127.0.0.1", "port": port, "payload_type": PAYLOAD_TYPE},
        )  # fmt: skip
        if self._ear is not None:
            self._ear.open(int(reply.data["rtp"]["port"]))
        return reply

    async def request(self, request: str, **fields: object) -> Reply:
        """Send a request of the member's own session, such as `leave` or `configure`."""
        reply = await self._api.audiobridge(request, **fields)
        if reply.code:
            raise DemoError(f"the AudioBridge refused {request}: error {reply.code}: {reply.error}")
        return reply

    async def keep_alive(self) -> None:
        """Keep the session, until cancelled."""
        await self._api.keep_alive()


class Ear(asyncio.DatagramProtocol):
    """Receives audio by RTP on `port` of 127.0.0.1. An asynchronous context manager; entering listens.

    `packets` is the number of packets so far.
    """

    def __init__(self) -> None:
        self.packets = self._loud = self.port = 0

    @property
    def seconds(self) -> float:
        """The seconds of sound so far, without silence."""
        return self._loud * PACKET_SECONDS

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def open(self, port: int) -> None:
        """Send a silent packet to this port of Janus, which sends audio only to members that have sent some."""
        self._transport.sendto(RTP_HEADER.pack(RTP_VERSION, PAYLOAD_TYPE, 1, 0, 1) + SILENCE, ("127.0.0.1", port))

    def datagram_received(self, data: bytes, _: object) -> None:
        """Count a packet."""
        self.packets += 1
        self._loud += len(data) - RTP_HEADER.size > QUIET_BYTES
