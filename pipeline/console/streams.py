"""The streams: server-sent events with the parts of a page that have changed.

What a slow viewer has not read adds up to nothing: a stream makes its next message when the last one was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from pipeline.console.fragments import Sent
from pipeline.console.live_page import LivePage, state
from pipeline.console.room_hub import RoomHub, Viewer
from pipeline.view import RoomsView, StaleViewError

PAUSE_SECONDS: Final = 0.1
"""Least time between two looks of a stream at its page: what happens meanwhile is one message."""
REST: Final = 2.0
"""How many times longer than all streams take to look at their pages each one rests: they take half a core."""
TICK_SECONDS: Final = 1.0
"""Time after which a stream looks at what changes without a notice: counts, and whether the view is stale."""
ALIVE_SECONDS: Final = 5.0
"""Time after which a stream sends a message without a change, so that the page can tell that it is current."""


class TooManyStreamsError(Exception):
    """As many streams as may be are open."""


class Streams:
    """The streams of one console."""

    def __init__(self, view: RoomsView, hub: RoomHub, most: int) -> None:
        self._view, self._hub, self._most = view, hub, most
        self._stop = False
        self._viewers: set[Viewer] = set()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return len(self._viewers)

    def close(self) -> None:
        """End all streams."""
        self._stop = True
        for viewer in self._viewers:
            viewer.event.set()

    def check(self) -> None:
        """Raise TooManyStreamsError if no stream more may be opened."""
        if len(self._viewers) >= self._most:
            raise TooManyStreamsError

    async def open(self, page: LivePage) -> AsyncGenerator[bytes, None]:
        """Yield messages, the first with all parts, until the viewer has gone. Raises TooManyViewedError at first."""
        viewer = Viewer(page.wants)
        self._viewers.add(viewer)
        self._hub.add(viewer)
        sent, last = Sent(), 0.0
        try:
            async with page:
                while not self._stop:
                    viewer.event.clear()
                    began = time.perf_counter()
                    message = self._message(page, sent)
                    cost = time.perf_counter() - began
                    if message is not None or time.monotonic() - last > ALIVE_SECONDS:
                        last = time.monotonic()
                        yield _event(message or {})
                    await asyncio.sleep(max(PAUSE_SECONDS, REST * cost * self.count))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(TICK_SECONDS):
                            await viewer.event.wait()
        finally:
            self._hub.remove(viewer)
            self._viewers.discard(viewer)

    def _message(self, page: LivePage, sent: Sent) -> dict[str, object] | None:
        try:
            return sent.difference(page.fragments())
        except StaleViewError:
            return sent.difference({"state": state(self._view)})


def _event(message: dict[str, object]) -> bytes:
    """Return a message with the time of this machine in milliseconds."""
    return b"data: %b\n\n" % msgspec.json.encode({**message, "now": time.time_ns() // 1_000_000})
