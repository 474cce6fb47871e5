"""A connection with the fast codec, which fails with KafkaError when the broker has closed it.

uvloop raises RuntimeError for a write to a closed transport, where asyncio only warns. aiokafka expects neither: a
broker that ended in that moment would end the worker.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any, Final

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.struct import Struct

from pipeline.kafka.fast_codec import decode, encode

_HEAD: Final = struct.Struct(">hhih")
"""The header of a request: its key and version, its number, and the length of the client's name."""
_NUMBER_END: Final = 4
_NO_TAGS: Final = b"\0"


class Connection(conn.AIOKafkaConnection):
    """aiokafka's connection. A request to one that was closed raises KafkaConnectionError, which is retried."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; return the awaitable of its response. Raises KafkaConnectionError."""
        writer = self._writer
        if writer is None or writer.is_closing():
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection to {self.host}:{self.port} was closed")
        made = request.prepare(self._versions)
        number = self._next_correlation_id()
        name = self._client_id.encode()
        head = _HEAD.pack(made.API_KEY, made.API_VERSION, number, len(name)) + name
        if made.FLEXIBLE_VERSION:
            head += _NO_TAGS
        message = head + (encode(made) if type(made).encode is Struct.encode else made.encode())
        try:
            writer.write(struct.pack(">i", len(message)) + message)
        except OSError as error:
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection to {self.host}:{self.port} is broken: {error}") from error
        if not expect_response:
            return writer.drain()
        future = self._loop.create_future()
        self._requests.append((number, made, future))
        return self._response(future)

    async def _response(self, future: asyncio.Future[Any]) -> Any:
        """Return the response. Raises TimeoutError, for which aiokafka's client closes the connection."""
        timer = self._loop.call_later(self._request_timeout, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _handle_frame(self, resp: bytes) -> None:
        number, request, future = self._requests[0]
        if request is None or type(request).parse_response_header is not RequestStruct.parse_response_header:
            super()._handle_frame(resp)  # a token of SASL, or a header of its own
            return
        begin = _NUMBER_END
        if request.FLEXIBLE_VERSION:
            begin += 1
        tags = resp[_NUMBER_END:begin]
        if int.from_bytes(resp[:_NUMBER_END], signed=True) != number or (tags and tags != _NO_TAGS):
            super()._handle_frame(resp)  # out of order, or with tags
            return
        if not future.done():
            future.set_result(decode(request.RESPONSE_TYPE, resp, begin))
        self._last_action = time.monotonic()
        self._requests.popleft()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def use_own_connections() -> None:
    """Let all clients that are made from now on use `Connection`."""
    conn.AIOKafkaConnection = Connection  # where `create_conn` looks it up
