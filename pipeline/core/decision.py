"""A decision, and its words: what a rejection and a no-op are."""

from __future__ import annotations

from typing import Final, Literal

from mypy_extensions import mypyc_attr

from pipeline.model.events import Event
from pipeline.model.records import Member, Room

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


@mypyc_attr(acyclic=True)
class Decision:
    """What one signal does. `room` is the room afterwards, None when it is unknown or forgotten;
    `members` are the entries that change, None for one that is gone; at most one of `rejected`, `no_op` is set."""

    __slots__ = ("events", "members", "no_op", "rejected", "room")

    def __init__(
        self,
        room: Room | None,
        members: tuple[tuple[str, Member | None], ...] = (),
        events: tuple[Event, ...] = (),
        rejected: Rejection | None = None,
        no_op: NoOp | None = None,
    ) -> None:
        self.room = room
        self.members = members
        self.events = events
        self.rejected = rejected
        self.no_op = no_op

    def _all(self) -> tuple[object, ...]:
        return self.room, self.members, self.events, self.rejected, self.no_op

    def __eq__(self, other: object) -> bool:
        """Whether it does the same."""
        return isinstance(other, Decision) and self._all() == other._all()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """For test reports."""
        return f"Decision{self._all()}"
