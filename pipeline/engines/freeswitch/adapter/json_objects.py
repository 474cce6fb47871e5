"""Finds the objects in JSON text that spans lines: pretty-printed, in an array, or several in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.engines.freeswitch.adapter.headers import MAX_EVENT
from pipeline.errors import SignalError

MAX_DEPTH: Final = 64
# A string (with group 1 if it ends), or a bracket. Possessive, so that no input makes it search back.
TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[][{}]', re.DOTALL)
NEXT_EVENT: Final = re.compile(rb'\{[ \t\r]*(?:"|\Z)')
CLOSES: Final = {0x7D: 0x7B, 0x5D: 0x5B}  # } and ] → what they close


class JsonObjects:
    """One JSON text at the top level. It keeps one object, of at most MAX_EVENT bytes."""

    def __init__(self) -> None:
        self.rest: bytes | None = None
        """What follows the text in its last line, once the text has ended."""
        self._open = bytearray()  # the brackets that are open
        self._kept = bytearray()  # of the object that is open
        self._tail = b""  # a string that has not ended yet

    def is_cut_off_by(self, line: bytes) -> bool:
        """Return whether a line begins a new event although an object is open: its end was lost."""
        return 0x7B in self._open and NEXT_EVENT.match(line) is not None

    def push(self, line: bytes, *, ends: bool) -> Iterator[bytes]:
        """Yield the objects that end in a line, or in a piece of one. Raises SignalError if it is no JSON."""
        data = self._tail + line
        start = last = 0
        self._tail = b""
        for token in TOKEN.finditer(data):
            self._check_between(data, last, token.start())
            last = token.end()
            first = data[token.start()]
            if first == 0x22:
                if not token[1]:
                    if ends:
                        raise SignalError("not JSON: a string does not end in its line")
                    last = token.start()
                    self._tail = data[last:]
                    break
            elif first in CLOSES:
                if not self._open or self._open.pop() != CLOSES[first]:
                    raise SignalError("not JSON: a bracket closes none")
                if first == 0x7D and 0x7B not in self._open:
                    self._keep(data[start:last])
                    yield bytes(self._kept)
                    self._kept.clear()
                if not self._open:
                    self.rest = data[last:]
                    return
            else:
                if first == 0x7B and 0x7B not in self._open:
                    start = token.start()
                self._open.append(first)
                if len(self._open) > MAX_DEPTH:
                    raise SignalError(f"not an event: nested more than {MAX_DEPTH} deep")
        if not self._tail:
            self._check_between(data, last, len(data))
            last = len(data)
        if 0x7B in self._open:
            self._keep(data[start:last] + (b"\n" if ends else b""))
        if len(self._kept) + len(self._tail) > MAX_EVENT:
            raise SignalError(f"the event has more than {MAX_EVENT} bytes; the rest of its line is skipped")

    def _check_between(self, data: bytes, start: int, end: int) -> None:
        """Check that between the events of an array stand only commas."""
        if 0x7B not in self._open and self._open and data[start:end].strip(b" \t\r\n,"):
            raise SignalError("the JSON array holds something else than events")

    def _keep(self, part: bytes) -> None:
        self._kept += part
        if len(self._kept) > MAX_EVENT:
            raise SignalError(f"the event has more than {MAX_EVENT} bytes; the rest of its line is skipped")
