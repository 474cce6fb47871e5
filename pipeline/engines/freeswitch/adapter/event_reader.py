"""Splits an input into events, in each of the forms in which recordings and tools write them; see FORMS.

It is a state machine over lines. Only what is not complete yet is kept: at most one event (MAX_EVENT) and one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.engines.freeswitch.adapter.headers import (
    MAX_EVENT,
    Headers,
    NotJsonError,
    put_plain,
    read_event,
)
from pipeline.engines.freeswitch.adapter.json_objects import JsonObjects
from pipeline.errors import SignalError
from pipeline.lines import Lines, Piece
from pipeline.model.error_text import one_line

FORMS: Final = (
    "a JSON object per line, a JSON array, pretty-printed JSON, `Name: value` lines with a blank line after each event,"
    " or the JSON lines of `kcat -J`"
)
HEADER: Final = re.compile(rb"([A-Za-z_][A-Za-z0-9_.-]{0,254}):(?:[ \t](.*)|)\Z", re.DOTALL)
BOM: Final = b"\xef\xbb\xbf"
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
SPACE: Final = b" \t\r\x0b\x0c"
NOTHING: Final = (b"", b"RECV EVENT", b",", b"]", b"],")
"""Lines without meaning of their own: what fs_cli prints before an event, what is left of a damaged array."""

Found = tuple[int, Headers | SignalError]
"""The number of the line where it begins, and an event's headers or why there is none."""


class EventReader:
    """Reads an input in chunks.

    `lines` is the number of lines so far.
    """

    def __init__(self) -> None:
        self.lines = 0
        self._lines = Lines(pieces=True)
        self._is_new_line = True
        self._objects: JsonObjects | None = None  # while a JSON value is open
        self._block: Headers | None = None  # while a block of `Name: value` lines is open
        self._block_bytes = self._length = self._skip = self._start = 0
        self._frame = b""  # the Content-Type of the block
        self._ignores = self._is_utf_16 = False

    def push(self, chunk: bytes) -> Iterator[Found]:
        """Yield the events that are complete; read all of them before the next call.

        A chunk has at most pipeline.lines.MAX_LINE bytes.
        """
        if not self.lines and chunk[:2] in UTF_16:
            self._is_utf_16 = True
            self.lines = 1
            yield 1, SignalError("the input is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8")
        if not self._is_utf_16:
            yield from self._read(self._lines.push(chunk))

    def end(self) -> Iterator[Found]:
        """Yield the last event, which nothing ended, or the error that it is cut off."""
        yield from self._read(self._lines.end())
        if self._objects is not None:
            yield self._start, SignalError("the input ends within a JSON text")
        yield from self._end_block()

    def _read(self, lines: list[bytes]) -> Iterator[Found]:
        for line in lines:
            begins = self._is_new_line
            if begins:
                self.lines += 1
                self._ignores = False
            self._is_new_line = not isinstance(line, Piece) or line.last
            if not self._ignores:
                yield from self._take(line, begins=begins)

    def _take(self, line: bytes, *, begins: bool) -> Iterator[Found]:
        """Take a line, or a piece of one."""
        if self._skip:  # the body of an event in the plain form
            size = len(line) + self._is_new_line
            line, self._skip = line[self._skip :], max(self._skip - size, 0)
            if not line:
                return
        if self._objects is not None and begins and self._objects.is_cut_off_by(line):
            yield self._start, SignalError("the JSON text is cut off: the next line begins an event")
            self._objects = None
        if self._objects is not None:
            yield from self._go_on(self._objects, line)
        elif begins or self._block is None:  # not the rest of a long header
            yield from self._take_top(line)

    def _take_top(self, line: bytes) -> Iterator[Found]:
        """Take a line where no JSON text is open."""
        line = line.removeprefix(BOM)
        text = line.strip(SPACE)
        if text[:1] in (b"{", b"["):
            yield from self._end_block()
            yield from self._take_json(line, text)
        elif self._block is not None:
            yield from self._take_header(text)
        elif text in NOTHING:
            pass
        elif HEADER.match(text):
            self._block, self._start = {}, self.lines
            self._block_bytes = self._length = 0
            self._frame = b""
            yield from self._take_header(text)
        else:
            self._ignores = True
            shown = one_line(text[:160].decode("utf-8", "replace"), 40)
            yield self.lines, SignalError(f"no event: expected {FORMS}; got {shown}")

    # --- JSON ---

    def _take_json(self, line: bytes, text: bytes) -> Iterator[Found]:
        self._start = self.lines
        if text[:1] == b"{" and text[-1:] == b"}" and not isinstance(line, Piece):
            try:
                yield self.lines, read_event(text)
                return
            except NotJsonError:
                pass  # several objects, or the beginning of one
            except SignalError as error:
                yield self.lines, error
                return
        self._objects = JsonObjects()
        yield from self._go_on(self._objects, line)

    def _go_on(self, objects: JsonObjects, line: bytes) -> Iterator[Found]:
        """Read on in an open JSON text, and what follows it in the line."""
        try:
            for text in objects.push(line, ends=self._is_new_line):
                yield self.lines, _event_or_error(text)
        except SignalError as error:
            yield self._start, error
            self._objects, self._ignores = None, True
            return
        if objects.rest is not None:
            self._objects = None
            if objects.rest.strip(SPACE):
                yield from self._take_top(objects.rest)

    # --- `Name: value` ---

    def _take_header(self, text: bytes) -> Iterator[Found]:
        if not text:
            yield from self._end_block()
            return
        match = HEADER.match(text)
        if match is None or self._block is None:
            return  # the rest of a value that holds a line end
        name, value = match[1].lower(), match[2] or b""
        if name == b"content-length":
            self._length = int(value) if value.strip().isdigit() and len(value) < 10 else 0
        elif name == b"content-type":
            self._frame = value
        if self._block_bytes <= MAX_EVENT:
            self._block_bytes += put_plain(self._block, name, value)

    def _end_block(self) -> Iterator[Found]:
        """Yield the event of the block that ends here."""
        block, self._block = self._block, None
        if block is None:
            return
        if self._block_bytes > MAX_EVENT:
            yield self._start, SignalError(f"the event has more than {MAX_EVENT} bytes")
        elif "Event-Name" in block:
            self._skip = self._length
            yield self._start, block
        elif not self._frame:
            yield self._start, SignalError(f"no event: header Event-Name is missing; expected {FORMS}")
        elif not self._frame.startswith(b"text/event-"):  # of the event socket: a text that is no event
            self._skip = self._length


def _event_or_error(text: bytes) -> Headers | SignalError:
    try:
        return read_event(text)
    except SignalError as error:
        return error
