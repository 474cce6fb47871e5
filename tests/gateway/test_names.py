"""The names of an app's rooms follow the view from before their first reading on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.gateway.names import Names
from pipeline.model.records import Room
from pipeline.view import StaleViewError


class RenamedWhileRead:
    """A view with one room, which gets another name just after it was read for the first time."""

    def __init__(self) -> None:
        self._room = Room("r", app_id="app", name="old")
        self._changed: asyncio.Queue[frozenset[str]] | None = None
        self.stale = False

    def changes(self) -> AsyncIterator[frozenset[str]]:
        self._changed = changed = asyncio.Queue[frozenset[str]]()

        async def found() -> AsyncIterator[frozenset[str]]:
            while True:
                yield await changed.get()

        return found()

    def room_ids(self) -> list[str]:
        if self.stale:
            raise StaleViewError("a leader has not answered")
        return ["r"]

    def room(self, _: str) -> Room:
        read, self._room = self._room, Room("r", app_id="app", name="new")
        if read.name == "old" and self._changed is not None:
            self._changed.put_nowait(frozenset({"r"}))
        return read


async def test_a_view_that_is_stale_at_first_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.gateway.names.RETRY_SECONDS", 0.0)
    view: Any = RenamedWhileRead()
    view.stale = True
    names = Names(view)
    following = asyncio.create_task(names.follow())
    for _ in range(3):
        await asyncio.sleep(0)
    view.stale = False
    async with asyncio.timeout(10):
        while names.find("app", "new") != ["r"]:
            await asyncio.sleep(0.001)
    following.cancel()


async def test_a_change_during_the_first_reading_is_not_missed() -> None:
    view: Any = RenamedWhileRead()
    names = Names(view)
    following = asyncio.create_task(names.follow())
    async with asyncio.timeout(10):
        while names.find("app", "new") != ["r"]:
            await asyncio.sleep(0.001)
    assert names.find("app", "old") == []
    following.cancel()
