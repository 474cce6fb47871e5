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
LITERALS: Final = b" \t\r\n,:0123456789+-.eEtrufalsn"  # what may stand between strings and brackets
OPENS: Final = b"{["
NO_EVENTS: Final = "the JSON array holds something else than events"
TOO_LONG: Final = f"the event has more than {MAX_EVENT} bytes; the rest of its line is skipped"
CLOSES: Final = {0x7D: 0x7B, 0x5D: 0x5B}  # } and ] → what they close


class JsonObjects:
    """JSON texts at the top level, one after the other. It keeps one object, of at most MAX_EVENT bytes."""

    def __init__(self) -> None:
        self.rest: bytes | None = None
        """What follows the texts in their last line, once all have ended."""
        self._open = bytearray()  # the brackets that are open
        self._kept = bytearray()  # of the object that is open
        self._tail = b""  # a string that has not ended yet

    def is_cut_off_by(self, line: bytes) -> bool:
        """Return whether a line begins a new event although an object is open: its end was lost."""
        return 0x7B in self._open and NEXT_EVENT.match(line) is not None

    def push(self, line: bytes, *, ends: bool) -> Iterator[bytes]:
        """Yield the objects that end in a line, or in a piece of one. Raises SignalError if it is no JSON."""
        data = self._tail + line
        start = last = 0  # where the open object begins, and where the last token ends
        self._tail = b""
        for token in TOKEN.finditer(data):
            first = data[token.start()]
            if not self._open and (first not in OPENS or data[last : token.start()].strip(b" \t\r\n,")):
                break  # the texts have ended
            self._check_between(data, last, token.start())
            if first == 0x22 and not token[1] and not ends:
                self._tail = data[token.start() :]
                last = token.start()
                break
            last = token.end()
            if first in OPENS:
                if self._is_at_top(first):
                    start = token.start()
                self._open.append(first)
                if len(self._open) > MAX_DEPTH:
                    raise SignalError(f"not an event: nested more than {MAX_DEPTH} deep")
            elif first in CLOSES:
                if self._open.pop() != CLOSES[first]:
                    raise SignalError("not JSON: a bracket closes none")
                if self._is_at_top(CLOSES[first]):
                    self._keep(data[start:last])
                    yield bytes(self._kept)
                    self._kept.clear()
            else:
                self._check_string(token)
        self._finish(data, start, last, ends=ends)

    def _finish(self, data: bytes, start: int, last: int, *, ends: bool) -> None:
        """Keep what is open at the end of the data."""
        if not self._open:
            self.rest = data[last:]
            return
        if not self._tail:
            self._check_between(data, last, len(data))
            last = len(data)
        if 0x7B in self._open:
            self._keep(data[start:last] + (b"\n" if ends else b""))
        if len(self._kept) + len(self._tail) > MAX_EVENT:
            raise SignalError(TOO_LONG)

    def _is_at_top(self, bracket: int) -> bool:
        """Return whether a bracket begins or ends an event: an object that is in none."""
        return bracket == 0x7B and 0x7B not in self._open

    def _check_string(self, token: re.Match[bytes]) -> None:
        if not token[1]:
            raise SignalError("not JSON: a string does not end in its line")
        if 0x7B not in self._open:
            raise SignalError(NO_EVENTS)

    def _check_between(self, data: bytes, start: int, end: int) -> None:
        """Check what stands between two tokens: in an array commas, in an object literals, too."""
        if not self._open or start == end:
            return
        if 0x7B in self._open:
            if data[start:end].strip(LITERALS):
                raise SignalError("not JSON: text without quotes")
        elif data[start:end].strip(b" \t\r\n,"):
            raise SignalError(NO_EVENTS)

    def _keep(self, part: bytes) -> None:
        self._kept += part
        if len(self._kept) > MAX_EVENT:
            raise SignalError(TOO_LONG)
