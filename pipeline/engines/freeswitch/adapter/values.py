"""Texts of headers: UTF-8 where it can be read, U+FFFD where not; percent-encoding."""

from __future__ import annotations

import re
from typing import Final

_NO_CONTROLS: Final = b" " * 32 + bytes(range(32, 256))
_HALF: Final = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def percent_decoded(text: str) -> str:
    """Return `text` with each `%XX` replaced by its byte; a byte that is not UTF-8 becomes U+FFFD."""
    return decoded_percent(text.encode("utf-8", "replace")) if "%" in text else text


def decoded_percent(value: bytes) -> str:
    """Return the text of percent-encoded bytes; a byte that is not UTF-8 becomes U+FFFD."""
    return _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), value).decode("utf-8", "replace")


def repaired(text: bytes) -> bytes:
    """Return JSON text without what a strict parser refuses, in headers that nobody reads as well.

    Half of a surrogate pair becomes U+FFFD, a raw control character a space.
    """
    return _HALF.sub(lambda found: found[1] or b"\\ufffd", text.translate(_NO_CONTROLS))
