"""Texts of headers: UTF-8 where it can be read, U+FFFD where not; percent-encoding; ids of bounded length."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

MAX_ID: Final = 255  # code points, contract §4
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def percent_decoded(text: str) -> str:
    """Return `text` with each `%XX` replaced by its byte; a byte that is not UTF-8 becomes U+FFFD."""
    return decoded_percent(text.encode("utf-8", "replace")) if "%" in text else text


def decoded_percent(value: bytes) -> str:
    """Return the text of percent-encoded bytes; a byte that is not UTF-8 becomes U+FFFD."""
    return _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), value).decode("utf-8", "replace")


def lenient_text(raw: bytes) -> str:
    """Return the text of a JSON string that a strict parser refuses. Raises ValueError if it is no string at all.

    Bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD; raw control characters stay.
    """
    text: str = json.loads(raw.decode("utf-8", "replace"), strict=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def bounded_id(text: str) -> str:
    """Return `text`, or a digest of it if it is longer than an id may be."""
    if len(text) <= MAX_ID:
        return text
    return hashlib.blake2b(text.encode(), digest_size=24).hexdigest()
