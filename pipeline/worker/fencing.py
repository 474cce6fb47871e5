"""Taking a transactional id: its last owner is fenced, what that left open is aborted, what was decided holds.

The last is not a matter of course. The coordinator of a transaction drops the marker for a partition that is without a
leader at that moment, as if its topic had been deleted, and calls the transaction complete (Kafka 4.3.1, when a broker
is stopped under load: for a leader of -1 KRaftMetadataCache.getPartitionLeaderEndpoint has no node, and
TransactionMarkerChannelManager takes that for a deletion). The transaction hangs: its records, and all that come after
them, stay invisible, and no timeout ends it.

Only a producer of the same id can end it, by a transaction that writes nothing but its markers. They must repeat what
was decided, for other partitions of the same transaction may have got theirs; and only the next owner of the id can
still learn what that was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiokafka.structs import TopicPartition

from pipeline.kafka.fenced_producer import FencedProducer
from pipeline.kafka.record_batch import MAX_BATCH
from pipeline.settings import Settings

TRANSACTION_TIMEOUT_MS: Final = 60_000

OpenTransactions = Mapping[TopicPartition, int]
"""Output partitions in which a transaction is open, and the offset at which it begins."""
Unknown = Callable[[set[TopicPartition]], bool | None]
"""Whether to commit what hangs there, when nobody knows how it was decided; None to leave it."""


def nobody_knows(_: set[TopicPartition]) -> None:
    """Leave it."""


def standing(before: OpenTransactions, after: OpenTransactions) -> set[TopicPartition]:
    """The partitions that are held where they were."""
    return {tp for tp, offset in after.items() if before.get(tp) == offset}


async def take(
    settings: Settings,
    transactional_id: str,
    look: Callable[[], Awaitable[OpenTransactions]],
    unknown: Unknown = nobody_knows,
) -> FencedProducer:
    """A started producer of this id. `look` says what is held. Raises KafkaError, and what `unknown` raises."""
    producer = FencedProducer(
        **settings.kafka(),
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=MAX_BATCH,
        max_request_size=64 << 20,
        request_timeout_ms=30_000,
        retry_backoff_ms=50,
    )
    held = await look()  # first: a broker that makes us wait here loses nothing
    try:
        await producer.start()
        if held and (still := standing(held, await look())):
            commit = unknown(still) if producer.decided is None else producer.decided
            if commit is not None:
                await producer.decide(still, settings.group_id, commit=commit)
    except BaseException:
        await producer.stop()
        raise
    return producer
