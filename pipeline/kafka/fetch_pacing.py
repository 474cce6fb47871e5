"""Fetches that are sent a little later when there is little to fetch, so that each brings more.

A broker answers a fetch as soon as it has one record. When the pause comes after the answer, all that is appended
meanwhile waits for the pause to end, for the next fetch, and for the next pause: twice as long as when it comes
before the question. This file touches private names of aiokafka; the versions are pinned, and
tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

MANY: Final = 1000
"""A poll that brought less records than this calls for a pause: each poll costs two switches of thread, and the broker
a look at all partitions. Records that come at a rate bring less; of a backlog, a partition alone has more."""
PAUSE_SECONDS: Final = 0.01
"""As long as a unit takes at a low rate. With half of it the worker spent 0.55 of a core on 500 signals a second, not
0.38, and on two cores, which it shares with the broker, the latency's 99th percentile was longer, not shorter."""
FEW: Final = 3
SHORT_SECONDS: Final = 0.005
"""The pause after less than `FEW` records: a longer one would not bring more with the next, only later."""


def pause_after(records: int) -> float:
    """Seconds to pause after a poll that brought so many records."""
    if records >= MANY:
        return 0.0
    return SHORT_SECONDS if records < FEW else PAUSE_SECONDS


class Pace:
    """When the next fetches of a consumer are sent: `pause` seconds later than they could be."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.pause = 0.0

    def pause_next(self, seconds: float) -> None:
        """Send the next fetches this many seconds later."""
        self.pause = seconds

    async def __call__(self, assignment: Any, node_id: int, request: Any) -> bool:
        """In place of `Fetcher._proc_fetch_request`; whether it brought anything."""
        if self.pause:
            try:
                await asyncio.sleep(self.pause)
            except asyncio.CancelledError:
                return False  # as the original, whose caller asks for the result
        return bool(await self._send(assignment, node_id, request))


def pace(consumer: AIOKafkaConsumer) -> Pace:
    """The pace of this consumer, which has been started."""
    fetcher = consumer._fetcher
    if not isinstance(fetcher._proc_fetch_request, Pace):
        fetcher._proc_fetch_request = Pace(fetcher._proc_fetch_request)
    found: Pace = fetcher._proc_fetch_request
    return found
