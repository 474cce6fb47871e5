"""The words of a decision: what a rule set, a reached deadline, a rejection and a no-op are."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from pipeline.events import Event
from pipeline.records import Member, Room

SECOND: Final = 1_000_000
STOPPED: Final = "stopped"
PLAYING: Final = "playing"
PAUSED: Final = "paused"
REMEMBERED: Final = 16
"""How many of a room's last API signals are known again when their producer repeats them (contract §5)."""

Rejection = Literal[
    "room_unknown",
    "room_exists",
    "playback_active",
    "playback_inactive",
    "volume_out_of_range",
    "not_a_member",
]
"""Why a well-formed signal made no sense in the room's state."""

NoOp = Literal[
    "repeated",  # an API signal that the room has seen already
    "join",  # a request; the engine's member.joined is the fact
    "leave",  # a request; it decides the reason of the member.left that follows
    "already_member",
    "already_muted",
    "already_unmuted",
    "progress",
    "after_stop",  # engines report the end of a file that a stop ended, too
]
"""Why a signal that makes sense caused no event."""


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


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What one signal does. `room` is the room afterwards, None when it is unknown or forgotten;
    `members` are the entries that change, None for one that is gone; at most one of `rejected`, `no_op` is set."""

    room: Room | None
    members: tuple[tuple[str, Member | None], ...] = ()
    events: tuple[Event, ...] = ()
    rejected: Rejection | None = None
    no_op: NoOp | None = None
