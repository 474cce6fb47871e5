"""Delays the fetches of a consumer at a low rate, so that each returns more records."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

MANY: Final = 1000
"""Pause after a poll with fewer records: a poll and its fetch cost much the same, however few records they return.
Live signals stay below this number; with a backlog, a single partition exceeds it."""
PAUSE_SECONDS: Final = 0.01
"""About the duration of a unit at a low rate. With half of it, a worker used 0.55 instead of 0.38 of a core for 500
signals/s, and on two cores shared with the broker the 99th percentile of the latency rose."""
FEW: Final = 3
SHORT_SECONDS: Final = 0.005
"""The pause after fewer than `FEW` records: a longer one would only add latency."""


def pause_after(records: int, interval: float = 0.0) -> float:
    """Return the pause in seconds after a poll that returned this number of records.

    `interval` is the commit interval in seconds: what comes sooner would only wait for the next transaction.
    """
    if records >= MANY:
        return 0.0
    return max(interval, SHORT_SECONDS if records < FEW else PAUSE_SECONDS)


class Pace:
    """Delays each fetch of a consumer by `pause` seconds, so that at a low rate it returns more records.

    It replaces `Fetcher._proc_fetch_request`. A broker answers a fetch as soon as it has one record. The pause comes
    before the request: after the response, it would delay new records twice, by this pause and by the next.
    """

    def __init__(self, send: Any) -> None:
        self._send = send
        self.pause = 0.0

    def pause_next(self, seconds: float) -> None:
        """Send the next fetches this many seconds later."""
        self.pause = seconds

    async def __call__(self, assignment: Any, node_id: int, request: Any) -> bool:
        if self.pause:
            try:
                await asyncio.sleep(self.pause)
            except asyncio.CancelledError:
                return False  # like the original: the caller reads the result
        return bool(await self._send(assignment, node_id, request))


def pace(consumer: AIOKafkaConsumer) -> Pace:
    """Return the `Pace` of a started consumer; add it first, if it has none."""
    fetcher = consumer._fetcher
    if not isinstance(fetcher._proc_fetch_request, Pace):
        fetcher._proc_fetch_request = Pace(fetcher._proc_fetch_request)
    found: Pace = fetcher._proc_fetch_request
    return found
