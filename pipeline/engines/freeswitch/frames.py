"""Frames of FreeSWITCH's event socket: `Name: value` lines, an empty line, then Content-Length bytes. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.errors import PipelineError

MAX_HEAD: Final = 64 << 10
"""Bytes of a head. A longer one is no event socket's."""
MAX_BODY: Final = 1 << 20
"""Bytes of an event. A longer one is skipped."""


class FrameError(PipelineError):
    """The bytes are not those of an event socket. Reconnect."""


class Frame(NamedTuple):
    """A frame. `body` is None if it was longer than the limit and skipped."""

    headers: dict[str, str]
    body: bytes | None

    @property
    def kind(self) -> str:
        """The Content-Type."""
        return self.headers.get("content-type", "")


class FrameReader:
    """Splits a stream into frames, wherever it is cut. `max_body`: longer bodies are skipped."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._data = bytearray()
        self._headers: dict[str, str] | None = None
        self._left = 0
        self._skips = False

    def push(self, data: bytes) -> list[Frame]:
        """Add bytes and return the frames that are complete. Raises FrameError."""
        self._data += data
        found: list[Frame] = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        if self._headers is None and not self._read_head():
            return None
        assert self._headers is not None
        if self._skips:
            cut = min(self._left, len(self._data))
            del self._data[:cut]
            self._left -= cut
            if self._left:
                return None
            return self._complete(None)
        if len(self._data) < self._left:
            return None
        body = bytes(self._data[: self._left])
        del self._data[: self._left]
        return self._complete(body)

    def _complete(self, body: bytes | None) -> Frame:
        frame = Frame(self._headers or {}, body)
        self._headers = None
        return frame

    def _read_head(self) -> bool:
        while self._data[:1] == b"\n":  # between frames
            del self._data[:1]
        end = self._data.find(b"\n\n")
        if end < 0 or end > MAX_HEAD:
            if len(self._data) > MAX_HEAD:
                raise FrameError(f"a head of more than {MAX_HEAD} bytes: expected FreeSWITCH's event socket")
            return False
        headers = {}
        for line in self._data[:end].decode("utf-8", "replace").split("\n"):
            name, found, value = line.partition(":")
            if found:
                headers[name.strip().lower()] = value.strip()
        del self._data[: end + 2]
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            raise FrameError(f"Content-Length: expected a number, got {length[:20]!a}")
        self._headers, self._left = headers, int(length)
        self._skips = self._left > self._max_body
        return True
