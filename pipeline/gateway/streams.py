"""Event streams: server-sent events of one app, from now on or from a `Last-Event-ID` on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from pipeline.gateway.event_feed import EventFeed, Subscriber, part_of
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.positions import from_text, to_text
from pipeline.gateway.problems import Problem, unavailable
from pipeline.gateway.settings import GatewaySettings
from pipeline.model.events import EVENTS

EVENT_TYPES: Final = tuple(event.EVENT for event in EVENTS)
COMMENT_SECONDS: Final = 15.0
REACH_SECONDS: Final = 5.0
"""Longest wait for the shared reader to reach a position that another gateway has given out."""
SLICE: Final = 500
GAP: Final = b'event: gap\ndata: {"message":"older events were deleted before they could be read"}\n\n'


class Streams:
    """The event streams of one gateway."""

    def __init__(self, feed: EventFeed, settings: GatewaySettings, metrics: GatewayMetrics) -> None:
        self._feed, self._settings, self._metrics = feed, settings, metrics
        self._open: Counter[str] = Counter()
        self._readers = asyncio.Semaphore(settings.replay_readers)

    def open(
        self, app: str, most: int | None, room_id: str | None, kind: str | None, last_id: str | None
    ) -> AsyncIterator[bytes]:
        """Return the stream of an app. `most`: its own limit of streams. Raises Problem."""
        if self._open.total() >= self._settings.max_streams:
            raise unavailable("too_many_streams", "this gateway has no more event streams")
        if self._open[app] >= (self._settings.app_streams if most is None else most):
            raise Problem(429, "too_many_streams", "the app has too many event streams", retry=5)
        positions = None
        if last_id is not None:
            topic_id, positions = from_text(last_id, self._feed.partitions)
            if topic_id != (self._feed.topic_id or "-"):  # the topic was created again: all old events are gone
                positions = dict.fromkeys(positions, 0)
            if not self._feed.ring.covers(positions) and self._readers.locked():
                raise unavailable("too_many_replays", "too many streams read older events: try again")
        return self._stream(Subscriber(app, room_id, kind), positions)

    async def _stream(self, subscriber: Subscriber, positions: dict[int, int] | None) -> AsyncIterator[bytes]:
        self._open[subscriber.app] += 1
        self._metrics.streams.inc()
        try:
            async with self._feed.reading():
                if positions is not None:
                    async for part in self._resumed(subscriber, positions):
                        yield part
                self._feed.add(subscriber)
                yield _comment(self._feed.id)
                async for part in self._live(subscriber):
                    yield part
        finally:
            self._feed.remove(subscriber)
            self._metrics.streams.dec()
            self._open[subscriber.app] -= 1
            self._open += Counter()  # drops what is 0

    async def _live(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        while not subscriber.closed:
            await subscriber.wait(COMMENT_SECONDS)
            # Without an event for it, the id of the present position is safe: nothing waits.
            yield subscriber.take() or _comment(self._feed.id)

    async def _resumed(self, subscriber: Subscriber, positions: dict[int, int]) -> AsyncIterator[bytes]:
        """Yield what came between the positions and now. At the end of the last, no event waits."""
        began = time.monotonic()
        while not all(self._feed.positions[number] >= at for number, at in positions.items()):
            if time.monotonic() - began > REACH_SECONDS:
                yield GAP  # a position that this topic does not have
                return
            await asyncio.sleep(0.02)
        number = -1
        while True:
            if number < 0:
                async for part in self._older(subscriber, positions):
                    yield part
                number = self._feed.ring.start(positions)
            try:
                entries = list(self._feed.ring.entries(number, SLICE))
            except LookupError:  # the client reads so slowly that the ring went on
                number = -1
                continue
            if not entries:
                return
            number += len(entries)
            wanted = []
            for entry in entries:
                if entry.offset >= positions[entry.partition]:
                    positions[entry.partition] = entry.offset + 1
                    if subscriber.wants(entry):
                        wanted.append(entry._replace(id=to_text(self._feed.topic_id, positions)))
            if wanted:
                yield b"".join(map(part_of, wanted))
            else:
                await asyncio.sleep(0)

    async def _older(self, subscriber: Subscriber, positions: dict[int, int]) -> AsyncIterator[bytes]:
        if self._feed.ring.covers(positions):
            return
        async with self._readers, contextlib.aclosing(self._feed.older(positions)) as found:
            async for entries in found:
                if entries is None:
                    yield GAP
                elif wanted := [entry for entry in entries if subscriber.wants(entry)]:
                    yield b"".join(map(part_of, wanted))


def _comment(position: str) -> bytes:
    """Return a comment with the id of a position: it moves the client's Last-Event-ID, and is no event."""
    return b": alive\nid: %b\n\n" % position.encode()
