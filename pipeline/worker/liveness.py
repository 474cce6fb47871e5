"""Three stalls that Faust cannot detect; each ends the process.

A rebalance that never completes, polls that have stopped, and polls that return nothing. The group still counts the
worker as a member, so its partitions stand still until a new process takes over. No signal is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.errors import FatalError

CHECK_SECONDS: Final = 2.0
REBALANCE_SECONDS: Final = 60.0
"""Twice the time that the group waits for its slowest member (`rebalance_timeout_ms`)."""
POLL_CHECKS: Final = 8
"""Checks without a poll. A poll takes at most a second (`faust_consumer.IDLE_POLL_SECONDS`), with or without Kafka."""
READ_CHECK_SECONDS: Final = 10.0
READ_CHECKS: Final = 3
"""Checks without progress. A fetch is answered within half a second where there is something to read."""


async def check_rebalances(at_work: Callable[[], bool], ping: Callable[[], Awaitable[object]]) -> None:
    """Raise FatalError when the worker neither works nor loads for a minute although Kafka answers. Runs until
    cancelled.

    `ping` raises KafkaError while Kafka is away: then waiting is right.
    """
    since = time.monotonic()
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if at_work():
            since = time.monotonic()
        elif time.monotonic() - since > REBALANCE_SECONDS:
            try:
                await ping()
            except KafkaError:
                since = time.monotonic()
                continue
            raise FatalError(
                f"no rebalance has completed for {REBALANCE_SECONDS:.0f} s although Kafka answers: restart the worker"
            )


async def check_membership(refusal: Callable[[], BaseException | None]) -> None:
    """Raise the error with which the group refuses this worker, if any. Runs until cancelled."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if (error := refusal()) is not None:
            raise error


async def check_polls(polled_at: Callable[[], float], polling: Callable[[], bool], state: Callable[[], str]) -> None:
    """Raise FatalError when the time of the latest poll does not change while there should be polls. Runs until
    cancelled.

    It counts its own checks, not seconds: in a frozen process neither advances. `state` describes the consumer for the
    error.
    """
    unchanged, before = 0, -1.0
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        now = polled_at()
        unchanged = unchanged + 1 if polling() and now == before else 0
        before = now
        if unchanged >= POLL_CHECKS:
            raise FatalError(
                f"the consumer has polled nothing for {POLL_CHECKS * CHECK_SECONDS:.0f} s, though it has partitions "
                f"({state()}): restart the worker"
            )


async def check_reads(
    positions: Callable[[], Mapping[TopicPartition, int]],
    stable: Callable[[Iterable[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
    state: Callable[[], str],
) -> None:
    """Raise FatalError when the position of an input does not move although Kafka has more to read. Runs until
    cancelled.

    `positions` are those of the inputs whose queue has room. `stable` returns how far they can be read, and raises
    KafkaError while Kafka is away. It counts its own checks, as `check_polls` does.
    """
    before: Mapping[TopicPartition, int] = {}
    counts: dict[TopicPartition, int] = {}
    while True:
        await asyncio.sleep(READ_CHECK_SECONDS)
        now = positions()
        unmoved = {tp: position for tp, position in now.items() if before.get(tp) == position}
        before = now
        try:
            ends = await stable(unmoved) if unmoved else {}
        except KafkaError:
            ends = {}
        counts = {tp: counts.get(tp, 0) + 1 for tp, position in unmoved.items() if ends.get(tp, 0) > position}
        if stuck := [tp for tp, count in counts.items() if count >= READ_CHECKS]:
            places = ", ".join(f"{tp.topic} partition {tp.partition}" for tp in stuck)
            raise FatalError(
                f"nothing was read of {places} for {READ_CHECKS * READ_CHECK_SECONDS:.0f} s, though there is more "
                f"({state()}): restart the worker"
            )
