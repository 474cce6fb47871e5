"""A measure of the machine's current speed, by which tests scale bounds in seconds."""

from __future__ import annotations

import time
from typing import Final

STEPS: Final = 50_000
USUAL: Final = 0.0027
"""CPU seconds of a loop of STEPS steps on a machine of 2020."""


def slowness() -> float:
    """Return how many times longer code takes now than on that machine, at least 1."""
    began, n = time.thread_time(), 0
    for step in range(STEPS):
        n += step
    return max(1.0, (time.thread_time() - began) / USUAL)
