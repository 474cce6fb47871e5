"""What a terminal may get: one colour for each kind of event, and no character that controls it.

Texts from outside (events, names, errors of servers, settings, lines of a file) go to a terminal through `printable`
only. Errors and other texts for people do so always, because logs are read on a terminal later. Data, such as JSON
lines, stays as it is in a file or a pipe; `data_writer` makes the difference.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from typing import IO, Any, Final

COLOURS: Final = {
    "created": "bright_blue",
    "destroyed": "blue",
    "joined": "green",
    "left": "yellow",
    "muted": "magenta",
    "unmuted": "bright_magenta",
    "started": "cyan",
    "paused": "bright_black",
    "resumed": "bright_cyan",
    "stopped": "bright_yellow",
    "volume_changed": "white",
    "finished": "bright_green",
    "failed": "bright_red",
}
"""The last word of an event's name → its colour, one of the 16 of a terminal."""

# C0 controls, DEL and C1 controls; marks, embeddings, overrides and isolates of bidirectional text; line and paragraph
# separators; halves of surrogate pairs, which no encoding can write.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES: Final = re.compile(f"(?![\n\t]){_UNSAFE.pattern}")


def event_colour(name: str) -> str:
    """Return the colour of the event `name`, such as `conference.created`."""
    return COLOURS[name.rpartition(".")[2]]


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return `str(text)` with each unsafe character as `\u001b`, the form that JSON has for it.

    With `lines`, LF and tab stay: only for text whose lines are its own, such as a traceback.
    """
    return (_UNSAFE_IN_LINES if lines else _UNSAFE).sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def show(text: object, *, err: bool = False, colour: str | None = None, lines: bool = False) -> None:
    """Print a text for people as one line, or several with `lines`."""
    import typer

    safe = printable(text, lines=lines)
    typer.echo(typer.style(safe, fg=colour) if colour else safe, err=err)


def warn(text: object) -> None:
    """Print a text for people on standard error, as one line."""
    show(text, err=True)


def data_writer(stream: IO[bytes]) -> Callable[[bytes], Any]:
    """Return what writes lines of JSON to a stream: unchanged, but to a terminal with escapes; it is the same JSON."""
    if not stream.isatty():
        return stream.write

    def write(line: bytes) -> int:
        return stream.write(printable(line.decode("utf-8", "replace"), lines=True).encode())

    return write


def excepthook(kind: Any, error: Any, traceback: Any) -> None:
    """Print the traceback of an unexpected error, which may quote anything."""
    from traceback import format_exception

    sys.stderr.write(printable("".join(format_exception(kind, error, traceback)), lines=True))


class SafeFormatter(logging.Formatter):
    """Formats the log records of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return printable(super().format(record), lines=True)
