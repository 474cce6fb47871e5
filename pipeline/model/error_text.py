"""Short, printable texts for error messages, made of values and schemas that anyone may have written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

SHOWN: Final = 40  # characters of a bad value that an error message shows
UNKNOWN_TYPE: Final = "Expected the type of a signal, got"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def shorten(value: object) -> str:
    """Return `repr(value)` cut to SHOWN characters; a long str or bytes is cut first."""
    text = repr(value[: SHOWN + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def one_line(text: str, longest: int = 240) -> str:
    """Return `text` cut to `longest` characters, without line ends and other unprintable characters."""
    cut = _CONTROLS.sub(" ", text if len(text) <= longest else text[:longest] + "…")
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


def fault(message: str, find: Callable[[str, str], str], prefix: str = "") -> str:
    """Return a validation error of msgspec as one line: the path (`field[3]`), what was expected and what was found.

    `find` returns the text of the value at a field and the rest of its path (`3]`). `prefix` precedes the path.
    """
    # The last mark: the message may quote the value.
    what, path = message.rsplit(" - at `$", 1) if " - at `$" in message else (message, "")
    what, path = one_line(what).replace("`", ""), path.rstrip("`").lstrip(".")
    if what.startswith("Invalid value "):  # of the tag: the only field with a fixed list of values
        what = f"{UNKNOWN_TYPE} " + what.removeprefix("Invalid value ")
    elif path and what.startswith("Expected") and ", got" not in what:
        field, _, index = path.partition("[")
        what = f"{what}, got {find(field, index)}"
    return f"{prefix}{path}: {what}" if path else what
