"""Rates and cooldowns. Pure: time is an argument, monotonic seconds. Memory is bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_ENTRIES: Final = 100_000
"""Names that are remembered; the one that was used least recently is forgotten first."""


class Rates:
    """Token buckets by name. Each holds the tokens of one second, at least one."""

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Name → tokens left, and when that was."""

    def take(self, name: str, rate: float, now: float) -> float:
        """Take a token. Return 0.0, or the seconds until there is one."""
        full = max(1.0, rate)
        tokens, then = self._buckets.pop(name, (full, now))
        tokens = min(full, tokens + (now - then) * rate)
        short = tokens < 1
        self._buckets[name] = (tokens if short else tokens - 1, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return (1 - tokens) / rate if short else 0.0


class Cooldowns:
    """When something may be done again, by name."""

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def begin(self, name: str, seconds: float, now: float) -> float:
        """Begin a cooldown and return 0.0; during one return the seconds that are left."""
        left = self._until.get(name, now) - now
        if left > 0:
            return left
        if seconds > 0:
            self._until[name] = now + seconds
            self._until.move_to_end(name)
        while self._until and (next(iter(self._until.values())) <= now or len(self._until) > self._most):
            self._until.popitem(last=False)
        return 0.0
