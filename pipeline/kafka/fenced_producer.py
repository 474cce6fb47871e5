"""A transactional producer. Its group offsets are fenced by the group's generation (KIP-447).

aiokafka 0.14 sends TxnOffsetCommit v0, which carries no generation: a worker that has lost its partitions could still
commit their offsets. Version 3 carries it.

The requests of a transaction are sent from here, one after another, with aiokafka's handlers of their answers. Its
sender task would wake for each of them, and once more for each answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as Errors
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.producer.sender import (
    BACKOFF_OVERRIDE,
    AddOffsetsToTxnHandler,
    AddPartitionsToTxnHandler,
    Sender,
    TxnOffsetCommitHandler,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.kafka.direct_produce import DirectProduce, Written
from pipeline.kafka.protocol import NO_TAGS, TxnOffsetCommit
from pipeline.kafka.record_batch import Batch
from pipeline.kafka.transaction_state import was_committed

_NO_LEADER_EPOCH = -1
SOON_SECONDS = 0.002
"""First backoff while the broker still ends the previous transaction, which takes a few milliseconds. aiokafka always
waits 20 ms; that was the 99th percentile of the latency."""
LEFT_OUT = (Errors.UnknownMemberIdError, Errors.IllegalGenerationError, Errors.RebalanceInProgressError)
"""Errors of the group coordinator for a worker that is no longer a member of the current generation."""


class _FencedOffsetCommit(TxnOffsetCommitHandler):
    """aiokafka's handler with TxnOffsetCommit v3 and the errors that only v3 returns."""

    def create_request(self) -> TxnOffsetCommit:
        manager = self._sender._txn_manager
        topics: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for tp, offset in sorted(self._offsets.items()):
            topics[tp.topic].append((tp.partition, offset.offset, _NO_LEADER_EPOCH, offset.metadata, NO_TAGS))
        ids = (manager.transactional_id, self._group_id, manager.producer_id, manager.producer_epoch)
        offsets = [(topic, partitions, NO_TAGS) for topic, partitions in topics.items()]
        return TxnOffsetCommit(*ids, *self._sender.membership, None, offsets, NO_TAGS)

    def handle_response(self, response: Any) -> float | None:
        manager = self._sender._txn_manager
        for topic, partitions, _ in response.errors:
            for partition, code, _ in partitions:
                error = Errors.for_code(code)
                if error is Errors.NoError:
                    del self._offsets[TopicPartition(topic, partition)]
                    continue
                if error in LEFT_OUT or error is Errors.GroupAuthorizationFailedError:
                    manager.error_transaction(error(self._group_id))
                    return None
                if error is Errors.RequestTimedOutError:
                    self._sender.client.mark_lost()
                # The other errors have the same meaning in v0: leave them to aiokafka.
                response.errors = [(topic, [(partition, code)])]
                return super().handle_response(response)  # type: ignore[no-any-return]
        return None


class _AddPartitions(AddPartitionsToTxnHandler):
    """aiokafka's handler with a shorter backoff, which doubles up to aiokafka's own."""

    def handle_response(self, response: Any) -> float | None:
        if not self._sender._txn_manager.partitions_to_add():
            return None  # the transaction has failed since the request
        backoff: float | None = super().handle_response(response)
        return self._sender.next_backoff(type(self)) if backoff == BACKOFF_OVERRIDE else backoff


class _AddOffsets(AddOffsetsToTxnHandler):
    """The same for AddOffsetsToTxn."""

    def handle_response(self, response: Any) -> float | None:
        backoff: float | None = super().handle_response(response)
        busy = Errors.for_code(response.error_code) is Errors.ConcurrentTransactions
        return self._sender.next_backoff(type(self)) if busy else backoff


class _SenderClient:
    """A sender's client. `lost` is whether a request to a coordinator got no response."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def mark_lost(self) -> None:
        self.lost = True

    async def send(self, node_id: int, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        try:
            return await self._client.send(node_id, request, group=group)
        except Errors.KafkaError:
            if group == ConnectionGroup.COORDINATION:
                self.mark_lost()
            raise


class _FencedSender(Sender):
    """A sender that commits offsets as a member of a generation of the group. Its task does nothing."""

    membership: tuple[int, str] = (-1, "")
    previous_outcome: bool | None = None  # see FencedProducer

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self._backoffs: dict[type, float] = {}

    def join(self, generation: int, member_id: str) -> None:
        self.membership = (generation, member_id)

    def next_backoff(self, handler: type) -> float:
        """Return the seconds until this handler may send its request again."""
        backoff = self._backoffs.get(handler, SOON_SECONDS)
        self._backoffs[handler] = min(2 * backoff, float(BACKOFF_OVERRIDE))
        return backoff

    async def _sender_routine(self) -> None:
        """Send nothing: `FencedProducer` does."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    async def _do_add_partitions_to_txn(self, tps: Any) -> bool:
        return await self._add(_AddPartitions(self, tps))

    async def _do_add_offsets_to_txn(self, group_id: str) -> bool:
        return await self._add(_AddOffsets(self, group_id))

    async def _add(self, handler: _AddPartitions | _AddOffsets) -> bool:
        node_id = await self._find_coordinator(CoordinationType.TRANSACTION, self._txn_manager.transactional_id)
        done = bool(await handler.do(node_id))
        if done:
            self._backoffs.pop(type(handler), None)
        return done

    async def _do_init_pid(self, node_id: int) -> bool:
        # InitProducerId erases this state at the coordinator, so read it first.
        if self.previous_outcome is None:
            try:
                self.previous_outcome = await was_committed(self.client, node_id, self._txn_manager.transactional_id)
            except Errors.KafkaError:
                self._coordinator_dead(CoordinationType.TRANSACTION)
                await asyncio.sleep(self._retry_backoff)
                return False
        return bool(await super()._do_init_pid(node_id))

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        node_id = await self._find_coordinator(CoordinationType.GROUP, group_id)
        await _FencedOffsetCommit(self, offsets, group_id).do(node_id)


class FencedProducer(AIOKafkaProducer):
    """A transactional producer whose group offsets are rejected unless its group membership is current.

    Records are written with `write` only: what aiokafka's own `send` and `send_batch` queue is never sent. Methods
    raise KafkaError.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        client = _SenderClient(self.client)
        self._sender = _FencedSender(
            client,
            acks=-1,
            txn_manager=self._txn_manager,
            message_accumulator=self._message_accumulator,
            retry_backoff_ms=options["retry_backoff_ms"],
            request_timeout_ms=options["request_timeout_ms"],
        )
        names = "transactional_id", "request_timeout_ms", "retry_backoff_ms"
        self._direct = DirectProduce(client, *(options[name] for name in names))

    def join(self, generation: int, member_id: str) -> None:
        """Commit offsets as this member of this generation from now on."""
        self._sender.join(generation, member_id)

    async def begin(self, group_id: str, partitions: Iterable[TopicPartition] = ()) -> None:
        """Begin a transaction; add the group's offsets, and partitions known so far."""
        self._txn_manager.begin_transaction()
        self.will_write(partitions)
        await asyncio.gather(self._add_group(group_id), self._add_partitions())

    async def _add_group(self, group_id: str) -> None:
        """Add the group's offsets to the transaction."""
        while not await self._sender._do_add_offsets_to_txn(group_id):
            pass  # until the broker has ended the previous transaction
        self._check()

    async def _add_partitions(self) -> None:
        """Add the partitions given to `will_write` that are not in the transaction yet."""
        while wanted := set(self._txn_manager.partitions_to_add()):
            await self._sender._do_add_partitions_to_txn(wanted)
            self._check()

    async def write(self, batches: Mapping[TopicPartition, Batch]) -> dict[TopicPartition, Written]:
        """Write one batch to each of these partitions, of which `will_write` knows."""
        await self._add_partitions()
        manager = self._txn_manager
        for tp, batch in batches.items():
            batch.set_producer(manager.producer_id, manager.producer_epoch, manager.sequence_number(tp))
            manager.increment_sequence_number(tp, batch.record_count())
        return await self._direct.write(batches)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        """Commit the group's offsets with the transaction."""
        left = dict(offsets)
        while left:
            await self._sender._do_txn_offset_commit(left, group_id)
            self._check()

    async def commit_transaction(self) -> None:
        """Commit: everything that was written becomes visible."""
        await self._end(self._txn_manager.committing_transaction)

    async def abort_transaction(self) -> None:
        """Abort: nothing that was written becomes visible."""
        await self._end(self._txn_manager.aborting_transaction)

    async def _end(self, state: Callable[[], object]) -> None:
        await self._add_partitions()
        state()
        while (result := self._txn_manager.needs_transaction_commit()) is not None:
            await self._sender._do_txn_commit(result)

    def _check(self) -> None:
        """Raise the error that ended the transaction, if any: the next call would report only its consequence."""
        if (failure := self.failure) is not None:
            raise failure

    def will_write(self, partitions: Iterable[TopicPartition]) -> None:
        """Note partitions that the next request adds to the transaction, all at once."""
        self._check()
        for partition in partitions:
            self._txn_manager.maybe_add_partition_to_txn(partition)

    @property
    def previous_outcome(self) -> bool | None:
        """Whether the id's last transaction before this producer was committed; None when unknown."""
        return self._sender.previous_outcome

    async def repeat_outcome(self, partitions: set[TopicPartition], group_id: str, *, commit: bool) -> None:
        """Run an empty transaction; its markers end the open one on partitions and offsets."""
        await self.begin(group_id)
        self.will_write(partitions)
        await (self.commit_transaction() if commit else self.abort_transaction())

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the current transaction, else None. Later calls only report that none is open."""
        waiter = self._txn_manager.wait_for_transaction_end()
        return waiter.exception() if waiter is not None and waiter.done() and not waiter.cancelled() else None

    @property
    def unsure(self) -> bool:
        """Whether an unanswered transactional request of this producer may still be in the network.

        It was sent again, so the first one may arrive late and end the next transaction (KIP-890). Replace the producer
        with one of the same id: its higher epoch makes the broker reject the late request.
        """
        return bool(self._sender.client.lost)
