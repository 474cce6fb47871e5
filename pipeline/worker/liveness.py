"""A rebalance that never ends, polls that have ended, and polls that bring nothing: Faust waits for a signal that does
not come, the group counts us as a member, and our partitions stand still. Nothing is lost then. Only a new process
helps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.errors import FatalError

LOOK_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 60.0
"""Twice as long as the group waits for its slowest member (`rebalance_timeout_ms`)."""
SILENT_LOOKS: Final = 8
"""A poll takes a second at most (`consumer.IDLE_POLL_SECONDS`), be there records, or a broker, or not."""
DEAF_LOOK_SECONDS: Final = 10.0
DEAF_LOOKS: Final = 3
"""A fetch is answered after half a second at most where there is something to read."""


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


async def end_when_deaf(
    read: Callable[[], Mapping[TopicPartition, int]],
    ends: Callable[[Iterable[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
    why: Callable[[], str],
) -> None:
    """Raise FatalError when an input is not read on, though Kafka says that there is more to read; until cancelled.

    `read` says how far each input with room for more was read, `ends` how far it can be read, and raises KafkaError
    when Kafka is away. It counts its own looks, as `end_when_silent`, whose polls return here, but bring nothing.
    """
    before: Mapping[TopicPartition, int] = {}
    looks: dict[TopicPartition, int] = {}
    while True:
        await asyncio.sleep(DEAF_LOOK_SECONDS)
        now = read()
        still = {tp: position for tp, position in now.items() if before.get(tp) == position}
        before = now
        try:
            found = await ends(still) if still else {}
        except KafkaError:
            found = {}
        looks = {tp: looks.get(tp, 0) + 1 for tp, position in still.items() if found.get(tp, 0) > position}
        if deaf := [tp for tp, count in looks.items() if count >= DEAF_LOOKS]:
            places = ", ".join(f"{tp.topic} partition {tp.partition}" for tp in deaf)
            raise FatalError(
                f"nothing was read of {places} for {DEAF_LOOKS * DEAF_LOOK_SECONDS:.0f} s, though there is more "
                f"({why()}): start again"
            )
