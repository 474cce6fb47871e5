"""The page of one room: its members, its playback with the deadline, its timeline, and what was refused."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from pipeline.console.fragments import Fragments, Rows, element_id
from pipeline.console.history import Line, RoomHistory
from pipeline.console.live_page import Sources, now_micros, state
from pipeline.console.templating import part
from pipeline.model.records import Room
from pipeline.view import StaleViewError
from pipeline.view.one_room import nearest_ids
from pipeline.view.wording import MEANINGS

MOST_MEMBERS: Final = 200
MOST_REFUSED: Final = 20
MOST_COMPARED: Final = 2_000
"""Rooms up to which the ids that may be meant are looked for."""
_PARTS: Final = "room_parts.html"


class RoomPage:
    """See LivePage."""

    template = "room.html"
    _history: RoomHistory

    def __init__(self, sources: Sources, room_id: str) -> None:
        self._sources, self._room_id = sources, room_id
        self._version = (-1, False)
        self._near: list[str] = []
        self._rendered: tuple[RoomHistory, int, Rows, list[Line]] | None = None
        self.title = room_id

    async def __aenter__(self) -> Self:
        self._history = self._sources.feed.acquire(self._room_id, self._since())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sources.feed.release(self._room_id)

    def _since(self) -> int:
        """Return where its timeline begins: in its present life, some time before its last event."""
        back = round(self._sources.own.history_seconds * 1e6)
        try:
            room = self._sources.view.room(self._room_id)
        except StaleViewError:
            room = None
        if room is None:
            return now_micros() - back
        return max(room.created_at or 0, (room.last_event_at or now_micros()) - back)

    def wants(self, changed: frozenset[str]) -> bool:
        return self._room_id in changed

    async def settled(self, seconds: float) -> None:
        """Wait for the timeline, and look for the ids that may be meant."""
        history, view = self._current(), self._sources.view
        for _ in range(round(seconds / 0.05)):
            if history.is_read or history.failure:
                break
            await asyncio.sleep(0.05)
        if not view.stale and view.room(self._room_id) is None and view.counts.rooms <= MOST_COMPARED:
            self._near = await asyncio.to_thread(nearest_ids, self._room_id, view.room_ids())

    def _current(self) -> RoomHistory:
        return self._sources.feed.current(self._room_id) or self._history

    def fragments(self) -> Fragments:
        """Return the parts of the page. Raises StaleViewError."""
        view = self._sources.view
        room, members = view.room(self._room_id), view.members(self._room_id)
        gone = view.gone_since(self._room_id)
        shown = tuple((element_id("m", one.session_uuid), one) for one in members[:MOST_MEMBERS])
        lines, found = self._lines()
        refused = [one for one in found if one.is_refused][:MOST_REFUSED]
        return {
            "state": state(view),
            "head": part(_PARTS, "head", room, len(members), gone),
            "playback": part(_PARTS, "playback", room, self._total(room), now_micros()),
            "member-count": part(_PARTS, "count", len(members), len(shown)),
            "members": Rows(tuple((name, part(_PARTS, "member", name, one)) for name, one in shown)),
            "no-members": part(_PARTS, "empty", "no-members", "" if members else "Nobody is in it."),
            "refused": Rows(tuple(_refusal(one) for one in refused)),
            "no-refused": part(_PARTS, "empty", "no-refused", "" if refused else "Nothing was refused."),
            "origin": part(_PARTS, "origin", self._origin(len(found))),
            "lines": lines,
        }

    def _lines(self) -> tuple[Rows, list[Line]]:
        """Return the rows of the timeline, rendered again only when it has changed, and its lines."""
        history = self._current()
        known = self._rendered
        if known is None or known[0] is not history or known[1] != history.version:
            found = history.lines()
            rows = Rows(tuple((name := element_id("t", one.id), part(_PARTS, "line", name, one)) for one in found))
            known = self._rendered = (history, history.version, rows, found)
        return known[2], known[3]

    def _total(self, room: Room | None) -> int:
        """Return the milliseconds that the watchdog gives the playback, for the bar of its deadline."""
        seconds = self._sources.settings.watchdog_seconds
        if room is None or room.deadline is None or room.started_at is None:
            return round(seconds * 1000)
        return max(1, min(round(seconds * 1000), (room.deadline - room.started_at) // 1000))

    def _origin(self, number: int) -> str:
        history = self._current()
        if history.failure:
            return f"The timeline can't be read: {history.failure}"
        if not history.is_read:
            return "The timeline is being read …"
        missing = " Some lines are missing: too many signals came at a time." if history.is_incomplete else ""
        if not number:
            return f"Nothing since {history.origin[:19]}. Older: conference-pipeline timeline.{missing}"
        return f"The newest first, since {history.origin[:19]}. Older: conference-pipeline timeline.{missing}"

    def values(self) -> dict[str, Any]:
        return {"room_id": self._room_id, "near": self._near}


def _refusal(line: Line) -> tuple[str, str]:
    name = element_id("f", line.id)
    meaning = MEANINGS.get(line.results[0].text.partition(" ")[0], "")
    return name, part(_PARTS, "refusal", name, line, meaning)
