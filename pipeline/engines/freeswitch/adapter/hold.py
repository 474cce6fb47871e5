"""Holds a `member.left` whose reason is open, and what follows in its room, until its hang-up comes or is overdue."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from pipeline.model.signals import MediaSignal, MemberLeft

HANGUP_WITHIN: Final = 200_000  # microseconds after a del-member; measured: up to 80,000 (a hang-up of 300 calls)
MAX_HELD: Final = 10_000  # signals that wait; beyond it the oldest reasons are decided
MAX_WEIGHT: Final = 16 << 20  # characters that they hold, roughly


class _Entry(msgspec.Struct):
    signal: MediaSignal
    switch: str
    due: int
    session: str = ""
    """Whose reason is open; empty if nothing is."""


class Hold:
    """Keeps the order of each room: what follows an open reason waits as well."""

    def __init__(self) -> None:
        self._rooms: dict[str, deque[_Entry]] = {}
        self._open: dict[str, _Entry] = {}
        self._ready: list[MediaSignal] = []
        self._held = self._weight = 0

    @property
    def waits(self) -> bool:
        """Whether a signal waits."""
        return self._held > 0

    def add(self, signal: MediaSignal) -> None:
        """Add a signal that is decided."""
        if signal.room_id in self._rooms:
            self._append(_Entry(signal, "", 0))
        else:
            self._ready.append(signal)

    def add_open(self, signal: MemberLeft, switch: str, now: int) -> None:
        """Add the `member.left` of a del-member that shows no reason; it is `removed` unless `hang_up` follows."""
        self.decide(signal.session_uuid)
        entry = _Entry(signal, switch, now + HANGUP_WITHIN, signal.session_uuid)
        self._open[signal.session_uuid] = entry
        self._append(entry)

    def hang_up(self, session: str, time: int) -> bool:
        """Return whether the hang-up of a session at `time` tells the reason of an open `member.left`."""
        entry = self._open.get(session)
        if entry is None:
            return False
        if abs(time - entry.signal.occurred_at) <= HANGUP_WITHIN:
            entry.signal = msgspec.structs.replace(entry.signal, reason="hangup")
        self.decide(session)
        return True

    def decide(self, session: str) -> None:
        """Wait no longer for the hang-up of a session."""
        if (entry := self._open.pop(session, None)) is not None:
            entry.session = ""
            self._drain(entry.signal.room_id)

    def expire(self, now: int | None, switch: str | None = None) -> None:
        """Decide what is overdue at the time `now` (None: all), of one switch or of all."""
        overdue = []
        for session, entry in self._open.items():
            if switch is not None and entry.switch != switch:
                continue
            if now is not None and entry.due >= now:
                break  # the others came later
            overdue.append(session)
        for session in overdue:
            self.decide(session)

    def take(self) -> list[MediaSignal]:
        """Return the signals that are ready, in order, and forget them."""
        ready, self._ready = self._ready, []
        return ready

    def _append(self, entry: _Entry) -> None:
        self._rooms.setdefault(entry.signal.room_id, deque()).append(entry)
        self._held += 1
        self._weight += weight(entry.signal)
        while self._open and (self._held > MAX_HELD or self._weight > MAX_WEIGHT):
            self.decide(next(iter(self._open)))

    def _drain(self, room: str) -> None:
        queue = self._rooms[room]
        while queue and not queue[0].session:
            signal = queue.popleft().signal
            self._held -= 1
            self._weight -= weight(signal)
            self._ready.append(signal)
        if not queue:
            del self._rooms[room]


def weight(signal: MediaSignal) -> int:
    """Return roughly the characters that a signal holds."""
    return 512 + sum(map(len, getattr(signal, "urls", ())))
