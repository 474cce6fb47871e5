"""The node of a new room. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence


def emptier(nodes: Sequence[str], rooms: Mapping[str, int]) -> str:
    """Return the one with fewer rooms of two random nodes."""
    chosen = random.sample(nodes, min(2, len(nodes)))
    return min(chosen, key=lambda node: rooms.get(node, 0))


def rendezvous(nodes: Sequence[str], room_uuid: str) -> str:
    """Return the node with the highest hash for this uuid: another node moves only the rooms that it gets."""
    return max(nodes, key=lambda node: hashlib.sha256(f"{node}/{room_uuid}".encode()).digest())
