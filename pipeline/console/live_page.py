"""What the pages have in common: the parts that change, made for the first answer and for the stream alike."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol, Self

from pipeline.console.feed import Feed
from pipeline.console.flow import FlowReader
from pipeline.console.fragments import Fragments, Rows
from pipeline.console.room_hub import RoomHub
from pipeline.console.settings import ConsoleSettings
from pipeline.console.templating import part, safe
from pipeline.settings import Settings
from pipeline.view import RoomsView


class Sources(NamedTuple):
    """What pages are made from."""

    settings: Settings
    own: ConsoleSettings
    view: RoomsView
    hub: RoomHub
    feed: Feed
    flow: FlowReader


class LivePage(Protocol):
    """A page that one viewer looks at. An asynchronous context manager.

    Entering raises TooManyViewedError. `fragments` raises StaleViewError while the rooms view is not current.
    """

    template: str
    title: str

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

    def fragments(self) -> Fragments:
        """Return the parts as they are now."""

    def wants(self, changed: frozenset[str]) -> bool:
        """Return whether changes of these rooms may change a part."""

    def values(self) -> dict[str, Any]:
        """Return what the template needs besides the parts."""

    async def settled(self, seconds: float) -> None:
        """Wait up to so many seconds for what is worth waiting for before the first answer."""


def state(view: RoomsView) -> str:
    """Return the part that tells whether the rooms are current."""
    return part("parts.html", "state", view.why_stale)


def markup(fragments: Fragments) -> dict[str, Any]:
    """Return parts for a template, by their ids with `_` for `-`."""
    return {name.replace("-", "_"): safe(one.html if isinstance(one, Rows) else one) for name, one in fragments.items()}


def now_micros() -> int:
    """Return the time of this machine, in microseconds since 1970."""
    return time.time_ns() // 1000
