"""Short, printable texts for error messages, made of values and schemas that anyone may have written."""

from __future__ import annotations

import re
from typing import Final

SHOWN: Final = 40  # characters of a bad value that an error message shows
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def shorten(value: object) -> str:
    """Return `repr(value)` cut to SHOWN characters; a long str or bytes is cut first."""
    text = repr(value[: SHOWN + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def one_line(text: str, longest: int = 240) -> str:
    """Return `text` cut to `longest` characters, without line ends and other unprintable characters."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    if cut.isprintable():
        return cut
    cut = _CONTROLS.sub(" ", cut)
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


def path_and_fault(message: str) -> tuple[str, str]:
    """Split a validation error of msgspec into the path (`field`, `field[3]`, "" for the whole value) and the fault."""
    what, mark, path = message.rpartition(" - at `$")  # the last one: the message may quote the value
    if not mark:
        what, path = path, ""
    what = one_line(what).replace("`", "")
    if what.startswith("Invalid value "):  # of the tag: the only field with a fixed list of values
        what = "Expected the type of a signal, got " + what.removeprefix("Invalid value ")
    return path.rstrip("`").lstrip("."), what
