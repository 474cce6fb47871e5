"""Looks, while the worker lives, for transactions that hang (see `take`) in the partitions that are its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.worker.fencing import OpenTransactions, standing
from pipeline.worker.recovery import Lane, Recovery

LOOK_SECONDS: Final = 2.0
log = structlog.get_logger("transactions")


class HangingTransactionMonitor:
    """A transaction of our own that hangs is ended by the next unit, if that takes part in what it holds. One that
    stands even then is of somebody who had the partition before us: of a dead worker, or of one that is frozen."""

    def __init__(
        self,
        own_id: str,
        recovery: Recovery,
        lanes: Callable[[], Mapping[int, Lane]],
        include: Callable[[set[TopicPartition]], None],
        ended: Callable[[], set[TopicPartition]],
    ) -> None:
        """`include` makes the next unit take part in these partitions; `ended` says in which of them one has committed
        since it was asked last: a unit that takes long holds its own, and nobody is to be fenced for that."""
        self._own_id, self._recovery = own_id, recovery
        self._lanes, self._include, self._ended = lanes, include, ended
        self._held: OpenTransactions = {}

    async def run(self) -> None:
        """Look every two seconds; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except KafkaError as error:  # a broker that is away: there will be another look
                log.debug("could not look for open transactions", error=str(error))

    async def _look(self) -> None:
        lanes = self._lanes()
        ended = self._ended()
        held = await self._recovery.held(lanes)
        still, self._held = standing(self._held, held), held
        tried = still & ended
        if still - tried:
            log.info("repeat a commit that left a transaction open", partitions=_shown(still - tried))
        self._include(still - tried)
        owners = {lanes[tp.partition].owner for tp in tried if tp.partition in lanes}
        for owner in owners - {"", self._own_id}:
            await self._recovery.fence(owner)


def _shown(partitions: set[TopicPartition]) -> list[str]:
    return sorted(f"{tp.topic}/{tp.partition}" for tp in partitions)
