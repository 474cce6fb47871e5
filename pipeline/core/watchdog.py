"""The watchdog: its rule, and the signal with which it lets a deadline fire."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

SECOND: Final = 1_000_000


class Rules(msgspec.Struct, frozen=True):
    """The watchdog's rule.

    `watchdog` is the time a playback may go without a terminal event, in microseconds (the page: 10 s).
    `progress` lets every `play.progress` of a playing playback start that time anew (contract §5).
    """

    watchdog: int = 10 * SECOND
    progress: bool = False


class Timeout(msgspec.Struct, frozen=True):
    """The watchdog's own signal: `occurred_at` is the deadline, `signal_id` the playback's operation_id."""

    TYPE: ClassVar[Literal["timeout"]] = "timeout"
    TOPIC: ClassVar[str] = "watchdog"

    room_id: str
    occurred_at: int
    signal_id: str
