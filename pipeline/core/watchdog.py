"""The watchdog of a playback: its rules, and the signal of a deadline that is reached."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

SECOND: Final = 1_000_000  # microseconds


class Rules(msgspec.Struct, frozen=True):
    """When the watchdog fails a playback.

    `watchdog` is the time a playback may last without a terminal event, in microseconds. With `progress`, every
    `play.progress` of a playing playback restarts that time (contract §5).
    """

    watchdog: int = 10 * SECOND
    progress: bool = False


class Timeout(msgspec.Struct, frozen=True):
    """The watchdog's signal. `occurred_at` is the deadline, `signal_id` the playback's operation_id."""

    TYPE: ClassVar[Literal["timeout"]] = "timeout"
    TOPIC: ClassVar[str] = "watchdog"

    room_id: str
    occurred_at: int
    signal_id: str
