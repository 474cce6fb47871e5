"""A rebalance that never ends, and polls that have ended: Faust waits for a signal that does not come, the group counts
us as a member, and our partitions stand still. Nothing is lost then. Only a new process helps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.errors import KafkaError

from pipeline.errors import FatalError

LOOK_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 60.0
"""Twice as long as the group waits for its slowest member (`rebalance_timeout_ms`)."""


SILENT_LOOKS: Final = 8
"""A poll takes 0.2 s at most (`consumer.POLL_SECONDS`), be there records, or a broker, or not."""


async def unstick(at_work: Callable[[], bool], ask: Callable[[], Awaitable[object]]) -> None:
    """Raise FatalError when the worker is neither at work nor loading for a minute although Kafka answers; until
    cancelled. `ask` asks Kafka something, and raises KafkaError when it is away: then waiting is right."""
    since = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if at_work():
            since = time.monotonic()
        elif time.monotonic() - since > PATIENCE_SECONDS:
            try:
                await ask()
            except KafkaError:
                since = time.monotonic()
                continue
            raise FatalError(
                f"no rebalance has ended for {PATIENCE_SECONDS:.0f} s although Kafka answers: start again"
            )


async def end_when_silent(
    polled_at: Callable[[], float], polling: Callable[[], bool], why: Callable[[], str]
) -> None:
    """Raise FatalError when the time of the latest poll stands still while there should be polls; until cancelled.

    It counts its own looks, not seconds: while a worker is frozen, or its machine sleeps, neither side turns. `why` is
    for whoever looks for the cause.
    """
    silent, before = 0, -1.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = polled_at()
        silent = silent + 1 if polling() and now == before else 0
        before = now
        if silent >= SILENT_LOOKS:
            raise FatalError(
                f"the consumer has polled nothing for {SILENT_LOOKS * LOOK_SECONDS:.0f} s, though it has partitions "
                f"({why()}): start again"
            )
