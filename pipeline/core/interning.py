"""Values that many rooms share, such as the files that they play and their app_id, kept once in memory.

Each decoded signal has its own copies. Kept per room they take memory, and they are not in the processor's cache when
the room's row is encoded.
"""

from __future__ import annotations

from typing import Final, TypeVar

Value = TypeVar("Value", str, tuple[str, ...])

MOST: Final = 1024  # when this many values are kept, all are dropped

# Global, because the rooms of different partitions share values, too. No result depends on it, only memory and time:
# with it the engine alone takes 0.97 of the processor time (ADR 6).
_values: Final[dict[object, object]] = {}


def interned(value: Value) -> Value:
    """Return an equal value that is already kept, or keep this one."""
    kept = _values.get(value)
    if kept is None:
        if len(_values) >= MOST:
            _values.clear()
        _values[value] = kept = value
    return kept  # type: ignore[return-value]
