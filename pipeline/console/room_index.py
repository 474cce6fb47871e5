"""All rooms as rows of a list: filtered, in an order, and kept so while rooms change. Pure.

A list of one filter and order is shared by all its viewers, and holds references only: 8 bytes for each room.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.model.records import Room

LIVE: Final = "live"
STATUSES: Final = (LIVE, "playing", "paused", "stopped")
"""What can be asked for of the playback; `live` is playing or paused."""
MOST_TEXT: Final = 128
"""Characters of a text that is searched for."""
_BULK: Final = 4
"""A change of more than one of so many rooms sorts a list again instead of moving the rooms one by one."""


class RoomRow(msgspec.Struct, frozen=True, gc=False):
    """What filters and orders need of a room. `text` has its name, id and app in one case, to search in."""

    room_id: str
    app: str
    node: str
    status: str
    members: int
    created_at: int
    text: str


def row_of(room: Room, node: str, members: int) -> RoomRow:
    """Return the row of a room."""
    text = f"{room.name}\n{room.room_id}\n{room.app_id}".casefold()
    return RoomRow(room.room_id, room.app_id, node, room.playback_status, members, room.created_at or 0, text)


ORDERS: Final[Mapping[str, Callable[[RoomRow], Any]]] = {
    "name": lambda row: (row.text, row.room_id),
    "newest": lambda row: (-row.created_at, row.room_id),
    "members": lambda row: (-row.members, row.text, row.room_id),
}
"""The orders of a list: by name, the newest first, the fullest first."""


class Filter(NamedTuple):
    """Which rooms to list, and in which order. Empty texts accept all rooms."""

    text: str = ""
    app: str = ""
    node: str = ""
    status: str = ""
    order: str = "name"

    def accepts(self, row: RoomRow) -> bool:
        """Return whether a room is to be listed."""
        return (
            (not self.text or self.text in row.text)
            and (not self.app or self.app == row.app)
            and (not self.node or self.node == row.node)
            and (not self.status or self.status == row.status or (self.status == LIVE and row.status != "stopped"))
        )


def filter_of(text: str, app: str, node: str, status: str, order: str) -> Filter:
    """Return the filter of texts from outside: unknown words count as empty, long texts are cut."""
    searched = " ".join(text[:MOST_TEXT].casefold().split())
    status, order = status if status in STATUSES else "", order if order in ORDERS else "name"
    return Filter(searched, app[:MOST_TEXT], node[:MOST_TEXT], status, order)


class Listing:
    """The rooms that a filter accepts, in its order."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.rows: list[RoomRow] = []
        self._key = ORDERS[wanted.order]

    def sort(self, rows: Iterable[RoomRow]) -> list[RoomRow]:
        """Return those of these rows that are listed, in their order. Changes nothing: a thread may call it."""
        accepts = self.wanted.accepts
        return sorted((row for row in rows if accepts(row)), key=self._key)

    def set(self, rows: list[RoomRow]) -> None:
        """List these rows, which `sort` has returned."""
        self.rows = rows

    def apply(self, changes: Sequence[tuple[RoomRow | None, RoomRow | None]]) -> None:
        """Apply changes of different rooms, each the row before and the row now."""
        accepts, rows, key = self.wanted.accepts, self.rows, self._key
        old = [before for before, _ in changes if before is not None and accepts(before)]
        new = [after for _, after in changes if after is not None and accepts(after)]
        if not old and not new:
            return
        if _BULK * (len(old) + len(new)) > len(rows):
            gone = {row.room_id for row in old}
            self.set(sorted([*(row for row in rows if row.room_id not in gone), *new], key=key))
            return
        for row in old:
            at = bisect_left(rows, key(row), key=key)
            if at < len(rows) and rows[at].room_id == row.room_id:
                del rows[at]
        for row in new:
            insort(rows, row, key=key)


class RoomIndex:
    """The rows of all rooms, and the lists of them."""

    def __init__(self) -> None:
        self.rows: dict[str, RoomRow] = {}
        self.listings: dict[Filter, Listing] = {}
        self._waiting: dict[Filter, dict[str, RoomRow | None]] = {}
        """Rooms that have changed while a list was being sorted, and their rows before that."""

    def update(self, rows: Mapping[str, RoomRow | None]) -> None:
        """Set the rows of rooms; None for those that are gone."""
        changes = []
        for room_id, row in rows.items():
            before = self.rows.get(room_id)
            if row == before:
                continue
            if row is None:
                del self.rows[room_id]
            else:
                self.rows[room_id] = row
            changes.append((before, row))
        if changes:
            for listing in self.listings.values():
                listing.apply(changes)
            for waiting in self._waiting.values():
                for before, after in changes:
                    row = before or after
                    assert row is not None
                    waiting.setdefault(row.room_id, before)

    def begin(self, wanted: Filter) -> tuple[Listing, list[RoomRow]]:
        """Return a new list, and the rows that it is to be sorted from; then call `add` with what `sort` returns."""
        self._waiting[wanted] = {}
        return Listing(wanted), list(self.rows.values())

    def add(self, listing: Listing, rows: list[RoomRow]) -> None:
        """Keep a list up to date from now on."""
        listing.set(rows)
        changed = self._waiting.pop(listing.wanted)
        listing.apply([(before, self.rows.get(room_id)) for room_id, before in changed.items()])
        self.listings[listing.wanted] = listing

    def drop(self, wanted: Filter) -> None:
        """Keep a list no longer."""
        self.listings.pop(wanted, None)
