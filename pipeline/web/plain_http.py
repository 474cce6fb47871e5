"""Plain HTTP/1.1 requests, read and answered without h11, which takes half a millisecond for each.

A request is plain if it came whole in one piece, and nothing in it could be read in two ways: see `plain_request`.
All others are left to h11, which decides about them as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from uvicorn.protocols.http.h11_impl import RequestResponseCycle

_HEAD: Final = re.compile(
    rb"(GET|POST|PUT|DELETE) (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+)\r\n"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,7}")
_UNUSUAL: Final = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"http2-settings", b"proxy-connection")
)
"""Headers that change how a request is read, or what comes after it."""
_FIRST_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
_NO_BODY: Final = (204, 304)
PUSH: Final = "conference.push"
"""The extension of ASGI that is `PlainCycle.push`."""


class PlainRequest(NamedTuple):
    """A request as it came. The names of its headers are in lower case."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def plain_request(data: bytes, most: int) -> PlainRequest | None:
    """Return the request that these bytes are, None if they are not exactly one plain request.

    Its head has at most this number of bytes. It names one host, it has no more than one length, which is that of its
    body, and nothing asks for another framing, another protocol or the end of the connection.
    """
    found = _HEAD.match(data)
    if found is None or found.end() > most:
        return None
    headers, names = [], set()
    for line in found[3].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in (b"host", b"content-length") and name in names:
            return None
        if name == b"connection" and value.lower() != b"keep-alive":
            return None
        names.add(name)
        headers.append((name, value))
    if b"host" not in names or not names.isdisjoint(_UNUSUAL):
        return None
    body = data[found.end() :]
    length = next((value for name, value in headers if name == b"content-length"), b"0")
    if not _LENGTH.fullmatch(length) or int(length) != len(body):
        return None
    return PlainRequest(found[1].decode(), found[2], headers, body)


class PlainCycle(RequestResponseCycle):
    """A plain request and its answer. The connection's h11 takes no notice of them."""

    def __init__(self, body: bytes, **parts: Any) -> None:
        super().__init__(**parts)
        self.body = bytearray(body)
        self.more_body = False
        self.message_event.set()
        self._head: bytes | None = None
        self._chunked = self._silent = False

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]
        """Send a part of the answer. The head goes with the first bytes of the body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
            return
        if self.response_complete or message["type"] != "http.response.body":
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        more = message.get("more_body", False)
        self._write(b"" if self._silent else message.get("body", b""), b"" if more else b"0\r\n\r\n")
        if not more:
            self._end()

    def push(self, data: bytes) -> bool:
        """Send a part of an answer that has begun, without waiting. Return False, and send nothing, if it can't be."""
        if self.flow.write_paused or self.disconnected or self.response_complete or not self.response_started:
            return False
        self._write(data, b"")
        return True

    def _write(self, data: bytes, last: bytes) -> None:
        if self._chunked:
            data = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + last
        if self._head is not None:
            data, self._head = self._head + data, None
        if data:
            self.transport.write(data)

    def _begin(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        self.response_started = True
        status, headers = message["status"], [*self.default_headers, *message.get("headers", ())]
        names = {name.lower() for name, _ in headers}
        self._silent = status in _NO_BODY
        self._chunked = not self._silent and b"content-length" not in names
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        self._head = _FIRST_LINES[status] + _lines(headers) + b"\r\n"

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of headers. Raises ValueError for one that would end its line."""
    lines = b"".join(b"%b: %b\r\n" % one for one in headers)
    count = sum(1 for _ in headers)
    if lines.count(b"\r") != count or lines.count(b"\n") != count or b"\0" in lines:
        raise ValueError("a header of an answer has a line break")
    return lines
