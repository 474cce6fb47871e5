"""The broker's time, estimated without the worker's wall clock."""

from __future__ import annotations

import time


class BrokerClock:
    """A lower bound of the broker's time, in microseconds since the epoch (contract §5, promise 5).

    It is the append time in the last produce response plus the monotonic time since. Deadlines depend on it, so a wrong
    wall clock of the worker cannot fire one.
    """

    def __init__(self) -> None:
        self._appended: int | None = None
        self._at = 0

    def observe(self, milliseconds: int) -> None:
        """Take the append time that the broker has just returned."""
        self._appended = milliseconds * 1000
        self._at = time.monotonic_ns()

    @property
    def age(self) -> float:
        """Seconds since the last append time; infinite before the first."""
        return float("inf") if self._appended is None else (time.monotonic_ns() - self._at) / 1e9

    def now(self) -> int | None:
        """Return the earliest time that the broker's clock can show now; None before the first append time."""
        if self._appended is None:
            return None
        return self._appended + (time.monotonic_ns() - self._at) // 1000
