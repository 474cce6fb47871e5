"""How fast this machine is just now: what bounds in seconds are multiplied with."""

from __future__ import annotations

import time
from typing import Final

STEPS: Final = 50_000
USUAL: Final = 0.0027
"""Seconds of CPU that a loop of so many steps takes on a machine of 2020."""


def slowness() -> float:
    """How many times as long everything takes here and now, at least 1."""
    began, n = time.thread_time(), 0
    for step in range(STEPS):
        n += step
    return max(1.0, (time.thread_time() - began) / USUAL)
