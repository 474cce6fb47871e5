"""One connection to FreeSWITCH's event socket: authentication, commands and their replies, events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final, Self

from pipeline.engines.engine import EngineAwayError
from pipeline.engines.freeswitch.frames import Frame, FrameError, FrameReader
from pipeline.errors import ConfigError

REPLY_SECONDS: Final = 5.0
CHUNK: Final = 64 << 10
MAX_REPLY: Final = 64 << 20
"""Bytes of a reply; `json_list` of 10,000 members has 8 MB."""
IN_FLIGHT: Final = 100
"""Commands that are sent before their replies are read."""


class EventSocket:
    """A connection. An asynchronous context manager; entering authenticates.

    Entering raises EngineAwayError, and ConfigError for a wrong password. Methods raise EngineAwayError.
    """

    def __init__(self, host: str, port: int, password: str, max_body: int = MAX_REPLY) -> None:
        self._host, self._port, self._password = host, port, password
        self._frames = FrameReader(max_body)
        self._ready: deque[Frame] = deque()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise EngineAwayError(f"FreeSWITCH at {self._host}:{self._port}: {error or 'no answer'}") from None
        try:
            await self._authenticate()
        except BaseException:
            self.close()
            raise
        return self

    async def _authenticate(self) -> None:
        if (frame := await self.frame(REPLY_SECONDS)).kind != "auth/request":
            reason = "access denied, see acl.conf" if "rude" in frame.kind else "no event socket"
            raise EngineAwayError(f"FreeSWITCH at {self._host}:{self._port}: {reason}")
        if "\n" in self._password or "\r" in self._password:
            raise ConfigError("the password of the event socket must not contain a line break")
        if not (await self.request(f"auth {self._password}")).startswith("+OK"):
            raise ConfigError(
                f"FreeSWITCH at {self._host}:{self._port} rejected the password: set ENGINE_PASSWORD, or "
                "ENGINE_PASSWORD_FILE, to that of event_socket.conf"
            )

    async def __aexit__(self, *_: object) -> None:
        self.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed, by either side."""
        return self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None

    async def frame(self, seconds: float) -> Frame:
        """Return the next frame; nothing may come for so many seconds."""
        while not self._ready:
            try:
                async with asyncio.timeout(seconds):
                    data = await self._reader.read(CHUNK)
                self._ready.extend(self._frames.push(data))
            except TimeoutError:
                raise EngineAwayError(f"FreeSWITCH was silent for {seconds:g} s") from None
            except (OSError, FrameError) as error:
                raise EngineAwayError(f"FreeSWITCH: {error}") from None
            if not data:
                raise EngineAwayError("FreeSWITCH closed the connection")
        return self._ready.popleft()

    async def request(self, line: str) -> str:
        """Send a command of the event socket and return its reply."""
        return (await self._exchange([line]))[0]

    async def api(self, commands: Sequence[str]) -> list[str]:
        """Run API commands, one after the other, and return their replies."""
        found: list[str] = []
        for begin in range(0, len(commands), IN_FLIGHT):
            found += await self._exchange([f"api {one}" for one in commands[begin : begin + IN_FLIGHT]])
        return found

    async def _exchange(self, lines: list[str]) -> list[str]:
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError("a command must be one line")
        async with self._lock:
            try:
                self._writer.write("".join(f"{line}\n\n" for line in lines).encode())
                await self._writer.drain()
                return [await self._reply() for _ in lines]
            except (OSError, EngineAwayError) as error:
                self.close()  # a late reply would be taken for that of the next command
                raise EngineAwayError(str(error)) from None
            except asyncio.CancelledError:
                self.close()
                raise

    async def _reply(self) -> str:
        while True:
            frame = await self.frame(REPLY_SECONDS)
            if frame.kind == "command/reply":
                return frame.headers.get("reply-text", "")
            if frame.kind == "api/response":
                if frame.body is None:
                    raise EngineAwayError("FreeSWITCH: a reply is too long")
                return frame.body.decode("utf-8", "replace")
            if frame.kind == "text/disconnect-notice":
                raise EngineAwayError("FreeSWITCH is shutting down")
