"""Values that many rooms have in common, kept once: the files that all play, the application that owns them.

Each signal brings strings of its own. Kept in every room they take memory, and are not in the processor's cache when
the room is written.
"""

from __future__ import annotations

from typing import Final, TypeVar

Value = TypeVar("Value", str, tuple[str, ...])

MOST: Final = 1024
_kept: Final[dict[object, object]] = {}


def interned(value: Value) -> Value:
    """An equal value that is kept already, or this one from now on."""
    kept = _kept.get(value)
    if kept is None:
        if len(_kept) >= MOST:
            _kept.clear()
        _kept[value] = kept = value
    return kept  # type: ignore[return-value]
