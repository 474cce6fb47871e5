"""One transactional producer, one transaction per unit (shared by everything a unit writes), the broker's clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from typing import Final, NamedTuple

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError
from pipeline.kafka import acls
from pipeline.kafka.authorization import told
from pipeline.kafka.fenced_producer import LEFT_OUT, FencedProducer
from pipeline.kafka.record_batch import Batch
from pipeline.settings import Settings
from pipeline.worker.fencing import TRANSACTION_TIMEOUT_MS, OpenTransactions, take

MENDINGS: Final = 2
"""How often a commit is repeated where it does not show. That may have another cause: the open transaction of a worker
that had the partition before us, which the next looks of `hanging.HangingTransactionMonitor` end."""
log = structlog.get_logger("transactions")


class BrokerClock:
    """A lower bound of the broker's time, in microseconds; never the worker's own clock (contract §5, promise 5).

    The broker's time is at least the append time in its last answer, plus what has passed here since.
    """

    def __init__(self) -> None:
        self._heard: int | None = None
        self._at = 0

    def heard(self, milliseconds: int) -> None:
        """The broker has just answered that it appended something at this time."""
        self._heard = milliseconds * 1000
        self._at = time.monotonic_ns()

    @property
    def age(self) -> float:
        """Seconds since the broker was heard; infinite before the first time."""
        return float("inf") if self._heard is None else (time.monotonic_ns() - self._at) / 1e9

    def now(self) -> int | None:
        """The least that the broker's clock can show now; None before it was heard."""
        if self._heard is None:
            return None
        return self._heard + (time.monotonic_ns() - self._at) // 1000


def in_rounds(
    outputs: Mapping[TopicPartition, Iterable[Batch]],
) -> Iterator[tuple[TopicPartition, Batch]]:
    """The first batch of each partition, then the second of each, and so on. aiokafka takes the next one of a partition
    when the one before is on its way, and has one request on its way: partition after partition, that was a request
    for each batch but the first ones."""
    for one_of_each in zip_longest(*outputs.values()):
        for tp, batch in zip(outputs, one_of_each, strict=True):
            if batch is not None:
                yield tp, batch


class SealedUnit(NamedTuple):
    """What a unit writes, once it takes in nothing more: its records, and the group offsets behind its input. It ends
    what is open of ours in the partitions `also`, too."""

    outputs: Mapping[TopicPartition, Iterable[Batch]]
    offsets: dict[TopicPartition, int]
    also: AbstractSet[TopicPartition] = frozenset()


class Transactions:
    """Writes units. Any error on the way raises FatalError: the process must end, its restart is the recovery."""

    def __init__(
        self,
        settings: Settings,
        look: Callable[[], Awaitable[OpenTransactions]],
        hidden: Callable[[Mapping[TopicPartition, int]], Awaitable[set[TopicPartition]]],
    ) -> None:
        """`look` says in which output partitions a transaction is open, `hidden` where records cannot be seen yet."""
        self._settings, self._look, self._hidden = settings, look, hidden
        self._last: dict[TopicPartition, int] = {}
        """Where the last record of our last transaction is, as long as it is not known to be visible."""
        self._producer: FencedProducer | None = None
        self._membership = (-1, "")
        self.clock = BrokerClock()
        self.renewed = 0
        self._written = False
        self._failed: FatalError | None = None
        """Why a transaction was not committed."""

    @property
    def producer(self) -> FencedProducer:
        if self._producer is None:
            raise FatalError("the transactional producer is not started")
        return self._producer

    async def start(self) -> None:
        """Take the transactional id: whoever had it before is fenced, what it left open is aborted."""
        try:
            producer = await take(self._settings, self._settings.worker_id, self._look)
        except Errors.KafkaError as error:
            raise fatal(error, self._settings) from error
        self._producer = producer
        producer.join(*self._membership)

    async def stop(self) -> None:
        """Let go of the id; what is open stays for the next owner to abort."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def join(self, generation: int, member_id: str) -> None:
        """Commit offsets as this member of this generation from now on."""
        self._membership = (generation, member_id)
        if self._producer is not None:
            self._producer.join(generation, member_id)

    @property
    def decided(self) -> bool | None:
        """Whether our last transaction was committed: every one since we started was; None when nobody knows."""
        return True if self._written else self.producer.decided

    async def repeat(self, partitions: set[TopicPartition], *, commit: bool) -> None:
        """End what is open of ours there. Not while a unit is under way. Raises FatalError."""
        try:
            await (await self._sure()).decide(partitions, self._settings.group_id, commit=commit)
        except (Errors.KafkaError, Errors.IllegalOperation) as error:
            raise fatal(error, self._settings) from error

    async def write(self, places: Iterable[TopicPartition], close: Callable[[], SealedUnit]) -> SealedUnit:
        """One unit, whole or not at all; the one that `close` gives. It is closed when the broker has begun the
        transaction: what comes meanwhile is of it, too. `places` are those that it will write to, as far as is known:
        they are registered on the way. When one unit has failed, no other is written: a process that is ending may
        still hold the next one, which goes on from rooms that nobody else will ever see.

        The offsets go only after every record is acknowledged, so that whoever takes over and reads the end of a
        log *after* the rebalance sees all that we could still commit.
        """
        try:
            producer = await self._begin(places)
            unit = close()
            producer.will_write({*unit.outputs, *unit.also})
            sent = [
                await producer.send_batch(batch, tp.topic, partition=tp.partition)
                for tp, batch in in_rounds(unit.outputs)
            ]
            last: dict[TopicPartition, int] = {}
            for metadata in await asyncio.gather(*sent):
                last[metadata.topic_partition] = (
                    metadata.offset
                )  # a batch is visible from its first record on, or not
                if metadata.timestamp_type == 1:
                    self.clock.heard(metadata.timestamp)
            await producer.send_offsets_to_transaction(unit.offsets, self._settings.group_id)
            await producer.commit_transaction()
            self._written, self._last = True, last
            return unit
        except (Errors.KafkaError, Errors.IllegalOperation) as error:
            self._failed = fatal(self.producer.failure or error, self._settings)
            await self._abort(self.producer)
            raise self._failed from error

    async def _sure(self) -> FencedProducer:
        """The producer; a new one where a request of the old one may come late, and end the next transaction.

        Raises FatalError when a transaction has failed: none may follow it.
        """
        if self._failed is not None:
            raise self._failed
        # Not `if`: the new one may have ended a transaction when it took the id, and asked twice, too.
        while self.producer.unsure:
            await self.stop()
            await self.start()
            self.renewed += 1
        return self.producer

    async def _begin(self, places: Iterable[TopicPartition]) -> FencedProducer:
        """Begin a transaction in which nothing of the one before is open any more; the producer that it is of.

        The broker may have lost the marker of that one on some partition (see `take`). What is open there takes the
        next marker for its own: if this transaction were aborted, because we lose our place or die, the one that was
        committed would be lost there.
        """
        group = self._settings.group_id
        producer = await self._sure()
        await producer.begin(group, places)
        for _ in range(MENDINGS):
            hangs = await self._hidden(self._last)
            if not hangs:
                break
            log.info("repeat a commit whose marker was lost", partitions=sorted(f"{t}/{n}" for t, n in hangs))
            producer.will_write(hangs)
            await producer.commit_transaction()
            producer = await self._sure()
            await producer.begin(group, places)
        self._last.clear()
        return producer

    async def _abort(self, producer: FencedProducer) -> None:
        """Spare the next owner the wait for what we leave open, where the broker still lets us."""
        # Where it fails (fenced, broken), the next owner aborts it.
        with contextlib.suppress(Errors.KafkaError, Errors.IllegalOperation, AssertionError, TimeoutError):
            await asyncio.wait_for(producer.abort_transaction(), 2)


_DENIED: Final = (
    Errors.TopicAuthorizationFailedError,
    Errors.GroupAuthorizationFailedError,
    Errors.TransactionalIdAuthorizationFailed,
    Errors.ClusterAuthorizationFailedError,
)


def left_out(settings: Settings, taken: list[int] | None = None) -> FencedError:
    """The group gave our partitions (those `taken`, where we know) away."""
    lost = f" and gave partitions {taken} away" if taken else ""
    return FencedError(
        f"fenced: group {settings.group_id!r} has gone on without this worker{lost}, which was silent for too long "
        "(frozen, or cut off); nothing of it was committed since: start again"
    )


def fatal(error: BaseException, settings: Settings) -> FatalError:
    """What a Kafka error means for an operator."""
    causes = [error, error.__cause__, error.__context__]
    if any(isinstance(cause, Errors.ProducerFenced | Errors.InvalidProducerEpoch) for cause in causes):
        return FencedError(
            f"fenced: another process took the transactional id {settings.worker_id!r}, or the broker timed our "
            "transaction out; give each worker a PIPELINE_TRANSACTIONAL_ID of its own and start again"
        )
    if any(isinstance(cause, LEFT_OUT) for cause in causes):
        return left_out(settings)
    for cause in causes:
        if isinstance(cause, _DENIED):
            return _denied(cause, settings)
        if isinstance(cause, Errors.InvalidTransactionTimeout):
            return ConfigError(
                f"the broker allows no transaction of {TRANSACTION_TIMEOUT_MS} ms: raise its transaction.max.timeout.ms"
            )
    return FatalError(f"Kafka failed: {error!r}; nothing of the unit was committed: start again")


def _denied(error: Errors.KafkaError, settings: Settings) -> DeniedError:
    """Which permission is missing, as far as the broker says."""
    if not isinstance(error, Errors.TransactionalIdAuthorizationFailed):
        return DeniedError(f"not authorised: {error}: see docs/reference/security.md")
    [needed] = (acl for acl in acls.worker(settings) if acl.kind == "transactional-id")
    which = error.args[0] if error.args else settings.worker_id
    return DeniedError(f"{told([needed], settings)} (refused was {which!r})")
