"""Follows the changes of rooms once, keeps the lists of them, and wakes the viewers that show what has changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.console.room_index import Filter, Listing, RoomIndex, row_of
from pipeline.view import RoomsView, StaleViewError, node_of

SLICE: Final = 500
"""Rooms read without yielding to the loop."""
RETRY_SECONDS: Final = 1.0
"""Seconds before rooms that a stale view did not give are read again."""
MOST_LISTS: Final = 64
"""Lists kept at a time; more are refused."""
SORTERS: Final = 2
"""Lists that are sorted at a time."""
KEEP_SECONDS: Final = 60.0
"""Time for which a list is kept after its last viewer has gone: for the next page, and for the stream after a page."""


class TooManyViewedError(Exception):
    """As many lists, or rooms, as may be are being viewed."""


class Viewer:
    """What waits for changes. `wants` returns whether changes of rooms with these ids concern it."""

    def __init__(self, wants: Callable[[frozenset[str]], bool]) -> None:
        self.wants = wants
        self.event = asyncio.Event()


class RoomHub:
    """The rooms for all viewers. `follow` runs until cancelled."""

    def __init__(self, view: RoomsView) -> None:
        self._view = view
        self._index = RoomIndex()
        self._viewers: set[Viewer] = set()
        self._sorting: dict[Filter, asyncio.Task[Listing]] = {}
        self._users: Counter[Filter] = Counter()
        self._timers: dict[Filter, asyncio.TimerHandle] = {}
        self._sorters = asyncio.Semaphore(SORTERS)
        self.is_complete = False

    # --- changes ---------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Read all rooms, then those that change. Raises StaleViewError when the view has ended."""
        changes = self._view.changes()
        following: asyncio.Future[frozenset[str]] = asyncio.ensure_future(anext(changes))
        missed = set(self._view.room_ids())
        try:
            await self._read(missed)
            self.is_complete = True
            while True:
                await asyncio.wait([following], timeout=RETRY_SECONDS if missed else None)
                if following.done():
                    missed |= following.result()
                    following = asyncio.ensure_future(anext(changes))
                read = frozenset(missed)
                await self._read(missed)
                self.wake(read)
        finally:
            following.cancel()

    async def _read(self, missed: set[str]) -> None:
        """Read rooms and take them out of `missed`; while the view is stale they stay in it."""
        listed = list(missed)
        for begin in range(0, len(listed), SLICE):
            rows = {}
            try:
                for room_id in listed[begin : begin + SLICE]:
                    room = self._view.room(room_id)
                    count = self._view.member_count(room_id)
                    rows[room_id] = None if room is None else row_of(room, node_of(room_id), count)
            except StaleViewError:
                return
            self._index.update(rows)
            missed.difference_update(rows)
            await asyncio.sleep(0)

    def wake(self, room_ids: Iterable[str]) -> None:
        """Wake the viewers that these changes concern."""
        changed = frozenset(room_ids)
        for viewer in self._viewers:
            if viewer.wants(changed):
                viewer.event.set()

    def add(self, viewer: Viewer) -> None:
        """Wake a viewer from now on."""
        self._viewers.add(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Wake it no longer."""
        self._viewers.discard(viewer)

    # --- lists -----------------------------------------------------------------------------------------------

    async def acquire(self, wanted: Filter) -> Listing:
        """Return the list of a filter for one user more; call `release` later. Raises TooManyViewedError."""
        if wanted not in self._users and len(self._users) >= MOST_LISTS:
            unused = next((one for one, users in self._users.items() if not users), None)
            if unused is None:
                raise TooManyViewedError
            self._drop(unused)
        self._users[wanted] += 1
        if (timer := self._timers.pop(wanted, None)) is not None:
            timer.cancel()
        try:
            found = self._index.listings.get(wanted)
            if found is not None:
                return found
            task = self._sorting.get(wanted)
            if task is None:
                task = self._sorting[wanted] = asyncio.create_task(self._sort(wanted))
            return await asyncio.shield(task)
        except BaseException:
            self.release(wanted)
            raise

    async def _sort(self, wanted: Filter) -> Listing:
        try:
            async with self._sorters:
                listing, rows = self._index.begin(wanted)
                self._index.add(listing, await asyncio.to_thread(listing.sort, rows))
            if wanted not in self._users:  # dropped meanwhile
                self._index.drop(wanted)
            return listing
        finally:
            del self._sorting[wanted]

    def release(self, wanted: Filter) -> None:
        """Note that a user of a list has gone."""
        self._users[wanted] -= 1
        if not self._users[wanted]:
            self._timers[wanted] = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._drop, wanted)

    def _drop(self, wanted: Filter) -> None:
        self._timers.pop(wanted).cancel()
        del self._users[wanted]
        self._index.drop(wanted)

    def close(self) -> None:
        """Cancel all timers and tasks."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._sorting.values():
            task.cancel()
