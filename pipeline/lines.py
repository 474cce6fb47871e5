"""Lines of an input of any length, in bounded memory: `replay`, `import` and `send` read with it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from pipeline.model.codec import MAX_VALUE

CHUNK: Final = 1 << 18  # bytes that a caller should read at once; at most MAX_LINE
MAX_LINE: Final = 2 << 20  # bytes of a line that is kept whole: a value of 1 MiB and white space around it
KEPT: Final = 1 << 16  # bytes that are kept of a longer line
PIECE: Final = 1 << 16  # least bytes of a Piece, except the last of its line


class CutLine(bytes):
    """The first KEPT bytes of a line of more than MAX_LINE bytes, and `…`, so that it is never a valid signal."""

    size: int
    """Bytes of the whole line."""

    @property
    def error(self) -> str:
        """Return why it is no signal."""
        return f"the line has {self.size} bytes, more than {MAX_VALUE}"


class Piece(bytes):
    """A part of a line of more than MAX_LINE bytes, without its LF."""

    last: bool = False
    """Whether the line ends here."""


class Lines:
    """Splits chunks of bytes at LF.

    A line of more than MAX_LINE bytes becomes a CutLine, or with `pieces` several Piece. It keeps at most MAX_LINE
    bytes and one chunk.
    """

    def __init__(self, *, pieces: bool = False) -> None:
        self._pieces = pieces
        self._rest = bytearray()  # of the line that has not ended yet
        self._dropped = 0  # bytes of that line that are not kept
        self._is_long = False

    def push(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in `chunk`, without their LF. A chunk has at most MAX_LINE bytes."""
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            return self._keep(chunk)
        tail = lines.pop()
        if self._rest or self._is_long:
            first = lines[0]
            lines[:1] = [*self._keep(first), *self._end_line()]
        if tail:
            lines += self._keep(tail)
        return lines

    def end(self) -> list[bytes]:
        """Return what follows the last LF."""
        return self._end_line() if self._rest or self._is_long else []

    def _keep(self, part: bytes) -> list[bytes]:
        """Add a part of the line that has not ended yet; return the pieces that are ready."""
        self._rest += part
        if not self._is_long and len(self._rest) <= MAX_LINE:
            return []
        self._is_long = True
        if not self._pieces:
            self._dropped += max(len(self._rest) - KEPT, 0)
            del self._rest[KEPT:]
            return []
        if len(self._rest) < PIECE:
            return []
        piece = Piece(self._rest)
        self._rest.clear()
        return [piece]

    def _end_line(self) -> list[bytes]:
        line: bytes
        if not self._is_long:
            line = bytes(self._rest)
        elif self._pieces:
            line = Piece(self._rest)
            line.last = True
        else:
            line = CutLine(self._rest + "…".encode())
            line.size = len(self._rest) + self._dropped
        self._rest.clear()
        self._dropped, self._is_long = 0, False
        return [line]


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of chunks, each as soon as it has ended. A chunk has at most MAX_LINE bytes."""
    lines = Lines()
    # chain iterates in C: a generator for each line would take 2 % of the time of `replay`.
    return chain.from_iterable(chain(map(lines.push, chunks), _later(lines)))


def _later(lines: Lines) -> Iterator[list[bytes]]:
    yield lines.end()
