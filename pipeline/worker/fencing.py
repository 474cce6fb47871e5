"""Acquiring a transactional id: fence its last owner, abort what that left open, keep what was decided.

The last step is not automatic. The coordinator of a transaction drops the marker for a partition that has no leader at
that moment, as if its topic had been deleted, and completes the transaction (Kafka 4.3.1, when a broker is stopped
under load: KRaftMetadataCache.getPartitionLeaderEndpoint has no node for leader -1, and
TransactionMarkerChannelManager takes that for a deletion). The transaction then hangs: its records, and all after them,
stay invisible, and no timeout ends it.

Only a producer with the same id can end it, by a transaction that writes nothing but its markers. The markers must
repeat the outcome, since other partitions of the transaction may have theirs; and only the next owner of the id can
still look the outcome up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.structs import TopicPartition

from pipeline.kafka.fenced_producer import FencedProducer
from pipeline.kafka.log_offsets import OpenTransactions
from pipeline.kafka.oauth import client_options
from pipeline.settings import Settings

TRANSACTION_TIMEOUT_MS: Final = 60_000

UnknownOutcome = Callable[[set[TopicPartition]], bool | None]
"""Whether to commit the transaction that hangs in these partitions when its outcome is unknown; None leaves it."""


def leave(_: set[TopicPartition]) -> None:
    """Leave a transaction open whose outcome is unknown."""


def unchanged(before: OpenTransactions, after: OpenTransactions) -> set[TopicPartition]:
    """Return the partitions in which the same transaction is open as before."""
    return {tp for tp, offset in after.items() if before.get(tp) == offset}


async def acquire(
    settings: Settings,
    transactional_id: str,
    find_open: Callable[[], Awaitable[OpenTransactions]],
    unknown_outcome: UnknownOutcome = leave,
) -> FencedProducer:
    """Return a started producer with this transactional id.

    `find_open` returns the transactions that are open in the output partitions. Raises KafkaError, and what
    `unknown_outcome` raises.
    """
    producer = FencedProducer(
        **client_options(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        request_timeout_ms=30_000,
        retry_backoff_ms=50,
    )
    before = await find_open()  # before the id is taken: a broker that delays this costs nothing
    try:
        await producer.start()
        if before and (hanging := unchanged(before, await find_open())):
            outcome = producer.previous_outcome
            commit = unknown_outcome(hanging) if outcome is None else outcome
            if commit is not None:
                await producer.repeat_outcome(hanging, settings.group_id, commit=commit)
    except BaseException:
        await producer.stop()
        raise
    return producer
