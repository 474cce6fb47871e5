"""One connection to Janus' websocket API: a session, a handle of the AudioBridge, requests and their replies."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from pipeline.engines.engine import EngineAwayError
from pipeline.engines.janus.adapter.events import AUDIOBRIDGE
from pipeline.errors import ConfigError
from pipeline.model.error_text import one_line

REPLY_SECONDS: Final = 5.0
KEEPALIVE_SECONDS: Final = 5.0
"""Seconds between two keepalives. Janus ends a session that is silent for `session_timeout`, 60 s by default."""
MAX_REPLY: Final = 64 << 20
"""Bytes of a message of Janus; `listparticipants` of 10,000 members has 1 MB."""
IN_FLIGHT: Final = 100
"""Requests that are sent before their replies are read."""
PROTOCOL: Final = "janus-protocol"
UNAUTHORIZED: Final = (403, 405)
ENDED: Final = ("timeout", "detached")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Reply(NamedTuple):
    """The AudioBridge's reply. `code` is 0, or the number of `error`."""

    data: dict[str, Any]
    code: int = 0
    error: str = ""


class _Waiting(NamedTuple):
    future: asyncio.Future[dict[str, Any]]
    ack_ends: bool
    """Whether an `ack` is the reply; else it only says that the reply follows."""


class JanusApi:
    """A connection. An asynchronous context manager; entering makes the session and the handle.

    Args:
        url: ws:// or wss://.
        secret: the `api_secret` of janus.jcfg, "" for none.

    Entering raises EngineAwayError, and ConfigError for a wrong secret. Methods raise EngineAwayError.
    """

    def __init__(self, url: str, secret: str = "") -> None:
        self._url, self._secret = url, secret
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._flight = asyncio.Semaphore(IN_FLIGHT)
        self._ids: dict[str, int] = {}
        self._failure = ""
        self.version = ""

    @property
    def session(self) -> int:
        """The id of the session: a new one for each connection."""
        return self._ids["session_id"]

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REPLY_SECONDS)
        self._http = aiohttp.ClientSession(timeout=timeout)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                self._socket = await self._http.ws_connect(
                    self._url, protocols=(PROTOCOL,), max_msg_size=MAX_REPLY, heartbeat=3 * KEEPALIVE_SECONDS
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            await self._http.close()
            raise EngineAwayError(f"Janus at {self._url}: {one_line(str(error)) or 'no answer'}") from None
        self._tasks = [asyncio.create_task(self._read())]
        try:
            info = await self.call({"janus": "info"})  # refused within a session
            self.version = one_line(str(info.get("version_string") or "unknown"), 100)
            self._ids["session_id"] = await self._made({"janus": "create"})
            self._ids["handle_id"] = await self._made({"janus": "attach", "plugin": AUDIOBRIDGE})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _made(self, request: dict[str, Any]) -> int:
        data = (await self.call(request)).get("data")
        made = data.get("id") if isinstance(data, dict) else None
        if not isinstance(made, int):
            raise EngineAwayError(f"Janus at {self._url}: no id in the reply to {request['janus']}")
        return made

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()
        await self._http.close()

    # --- requests --------------------------------------------------------------------------------------------

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request of the Janus API and return the reply."""
        transaction = str(next(self._numbers))
        body = {**request, **self._ids, "transaction": transaction}
        if self._secret:
            body["apisecret"] = self._secret
        async with self._flight:
            if self._failure:
                raise EngineAwayError(self._failure)
            future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self._waiting[transaction] = _Waiting(future, request["janus"] == "keepalive")
            try:
                await self._socket.send_str(msgspec.json.encode(body).decode())
                async with asyncio.timeout(REPLY_SECONDS):
                    reply = await future
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise EngineAwayError(f"Janus: {request['janus']}: {one_line(str(error)) or 'no reply'}") from None
            finally:
                self._waiting.pop(transaction, None)
        if reply.get("janus") == "error":
            self._refuse(reply.get("error"))
        return reply

    def _refuse(self, error: object) -> None:
        found = error if isinstance(error, dict) else {}
        code, reason = found.get("code"), one_line(str(found.get("reason")), 200)
        if code in UNAUTHORIZED:
            raise ConfigError(
                f"Janus at {self._url}: {reason}: set ENGINE_API_SECRET, or ENGINE_API_SECRET_FILE, to the api_secret "
                "of janus.jcfg"
            )
        raise EngineAwayError(f"Janus: error {code}: {reason}")

    async def audiobridge(self, request: str, **fields: Any) -> Reply:
        """Send a request of the AudioBridge and return its reply."""
        reply = await self.call({"janus": "message", "body": {"request": request, **fields}})
        plugin = reply.get("plugindata")
        data = plugin.get("data") if isinstance(plugin, dict) else None
        if not isinstance(data, dict):
            raise EngineAwayError(f"Janus: {request}: a reply without the AudioBridge's data")
        code = data.get("error_code")
        return Reply(data, code if isinstance(code, int) else 0, one_line(str(data.get("error") or ""), 200))

    async def keep_alive(self) -> None:
        """Send keepalives until the connection fails. Raises EngineAwayError."""
        while True:
            await asyncio.sleep(KEEPALIVE_SECONDS)
            await self.call({"janus": "keepalive"})

    async def closed(self) -> None:
        """Wait until the connection ends, and raise EngineAwayError."""
        await asyncio.wait(self._tasks)
        raise EngineAwayError(self._failure or "Janus closed the connection")

    # --- what Janus sends ------------------------------------------------------------------------------------

    async def _read(self) -> None:
        why = "Janus closed the connection"
        try:
            async for message in self._socket:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    self._take(message.data)
                elif message.type == aiohttp.WSMsgType.ERROR:
                    why = f"Janus: {one_line(str(message.data)) or 'the connection failed'}"
        except EngineAwayError as error:
            why = str(error)
        finally:
            self._failure = why
            for waiting in self._waiting.values():
                if not waiting.future.done():
                    waiting.future.set_exception(EngineAwayError(why))

    def _take(self, text: str | bytes) -> None:
        try:
            message = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EngineAwayError(f"Janus: no message of its API: {one_line(str(error))}") from None
        kind = message.get("janus")
        if kind in ENDED and message.get("session_id") == self._ids.get("session_id"):
            raise EngineAwayError(f"Janus ended the session: {kind}")
        transaction = message.get("transaction")
        waiting = self._waiting.get(transaction) if isinstance(transaction, str) else None
        if waiting is None or waiting.future.done() or (kind == "ack" and not waiting.ack_ends):
            return
        waiting.future.set_result(message)
