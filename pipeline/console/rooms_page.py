"""The page of all rooms: a page of the list that was asked for."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlencode

from pipeline.console.fragments import Fragments, Rows, element_id
from pipeline.console.live_page import Sources, state
from pipeline.console.room_hub import RoomHub
from pipeline.console.room_index import MOST_TEXT, ORDERS, STATUSES, Listing, filter_of
from pipeline.console.templating import part
from pipeline.view import RoomsView, StaleViewError

PAGE_ROWS: Final = 50
MOST_CHOICES: Final = 200
"""Apps and nodes that are offered as completions."""
MOST_ROOMS: Final = 10
"""Rooms of a session that are named."""
_PARTS: Final = "rooms_parts.html"


class Asked(NamedTuple):
    """What was asked for, as it came, but cut."""

    q: str
    app: str
    node: str
    status: str
    order: str
    page: int

    def url(self, page: int) -> str:
        """Return the address of another page of the same list."""
        given = {name: value for name, value in self._asdict().items() if value and name != "page"}
        if page > 1:
            given["page"] = page
        return "/?" + urlencode(given, errors="replace")


class ShownRoom(NamedTuple):
    """A row of the list. Times are microseconds."""

    element: str
    room_id: str
    name: str
    app: str
    members: int
    status: str
    deadline: int | None
    since: int | None
    last: int | None


class Found(NamedTuple):
    """Where in the list the page is."""

    first: int
    last: int
    total: int
    is_filtered: bool
    before: str
    after: str
    session_rooms: tuple[str, ...]


def asked_of(query: Any) -> Asked:
    """Return what the parameters of an address ask for; whatever they are, it is something."""
    q, app, node, status, order = (
        str(query.get(name, ""))[:MOST_TEXT].strip() for name in ("q", "app", "node", "status", "order")
    )
    number = str(query.get("page", ""))
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 8 else 1
    return Asked(q, app, node, status, order, max(1, page))


class RoomsPage:
    """See LivePage."""

    template = "rooms.html"
    title = "Rooms"
    _listing: Listing

    def __init__(self, sources: Sources, asked: Asked) -> None:
        self._view: RoomsView = sources.view
        self._hub: RoomHub = sources.hub
        self._asked = asked
        self._filter = filter_of(asked.q, asked.app, asked.node, asked.status, asked.order)
        self._first = 0
        self._ids: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        self._listing = await self._hub.acquire(self._filter)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hub.release(self._filter)

    def wants(self, changed: frozenset[str]) -> bool:
        return not changed.isdisjoint(self._ids) or self._chosen() != self._ids

    async def settled(self, seconds: float) -> None:
        return

    def fragments(self) -> Fragments:
        """Return the parts of the page. Raises StaleViewError."""
        counts = self._view.counts
        listing, page = self._listing, self._page()
        self._first = first = (page - 1) * PAGE_ROWS
        self._ids = self._chosen()
        shown = [one for room_id in self._ids if (one := self._shown(room_id)) is not None]
        total, last = len(listing.rows), first + len(self._ids)
        is_filtered = self._filter != filter_of("", "", "", "", self._filter.order)
        found = Found(
            min(first + 1, last),
            last,
            total,
            is_filtered,
            self._asked.url(page - 1) if page > 1 else "",
            self._asked.url(page + 1) if last < total else "",
            () if total or not self._asked.q else self._view.rooms_of(self._asked.q)[:MOST_ROOMS],
        )
        empty = (
            ""
            if total
            else "No room matches."
            if is_filtered
            else "No rooms: none has been created, or all have ended."
        )
        return {
            "state": state(self._view),
            "summary": part(_PARTS, "summary", counts),
            "rooms": Rows(tuple((one.element, part(_PARTS, "row", one)) for one in shown)),
            "empty": part(_PARTS, "empty", empty),
            "pager": part(_PARTS, "pager", found),
        }

    def _chosen(self) -> tuple[str, ...]:
        """Return the ids of the rooms on the page."""
        return tuple(row.room_id for row in self._listing.rows[self._first : self._first + PAGE_ROWS])

    def _page(self) -> int:
        """Return the number of the page: the last one if there are fewer than was asked for."""
        pages = max(1, -(-len(self._listing.rows) // PAGE_ROWS))
        return min(self._asked.page, pages)

    def _shown(self, room_id: str) -> ShownRoom | None:
        room = self._view.room(room_id)
        if room is None:
            return None
        return ShownRoom(
            element_id("r", room_id),
            room_id,
            room.name,
            room.app_id,
            self._view.member_count(room_id),
            room.playback_status,
            room.deadline,
            room.created_at,
            room.last_event_at,
        )

    def values(self) -> dict[str, Any]:
        """Return the choices of the form."""
        try:
            apps, nodes = self._view.apps, self._view.nodes
        except StaleViewError:
            apps = nodes = {}
        return {
            "asked": self._asked,
            "statuses": STATUSES,
            "orders": tuple(ORDERS),
            "apps": _most_rooms(apps),
            "nodes": _most_rooms(nodes),
        }


def _most_rooms(counts: Any) -> list[str]:
    """Return the names with the most rooms, in their order."""
    return sorted(sorted(filter(None, counts), key=lambda name: -counts[name])[:MOST_CHOICES])
