"""The id of an event in a stream: the position in all partitions of one topic, as short text. Pure."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.gateway.problems import Problem

_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,36})\.([A-Za-z0-9_-]{1,12000})")
MAX_OFFSET: Final = (1 << 63) - 1


def to_text(topic_id: str, positions: Mapping[int, int]) -> str:
    """Return the id of these positions, the next offset of each partition from 0 on."""
    packed = bytearray()
    for number in range(len(positions)):
        offset = positions[number]
        while offset > 127:
            packed.append(offset & 127 | 128)
            offset >>= 7
        packed.append(offset)
    return f"{topic_id or '-'}.{urlsafe_b64encode(packed).decode().rstrip('=')}"


def from_text(text: str, partitions: int) -> tuple[str, dict[int, int]]:
    """Return the topic id and the positions of an id. Raises Problem (400) for a text that is none."""
    problem = Problem(400, "invalid_request", "Last-Event-ID is no id of this stream")
    found = _ID.fullmatch(text)
    if found is None or len(found[2]) % 4 == 1:
        raise problem
    positions = _varints(urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)))
    if positions is None or len(positions) != partitions:
        raise problem
    made = dict(enumerate(positions))
    if to_text(found[1], made) != text:  # one position has one id
        raise problem
    return found[1], made


def _varints(packed: bytes) -> Sequence[int] | None:
    """Return the numbers, None if the bytes are not all numbers of at most 63 bits."""
    found, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte & 127) << shift
        shift += 7
        if number > MAX_OFFSET or shift > 70:
            return None
        if byte < 128:
            found.append(number)
            number = shift = 0
    return None if shift else found
