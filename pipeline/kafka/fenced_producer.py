"""Group offsets in a transaction, fenced by the group's generation (KIP-447).

aiokafka 0.14 speaks TxnOffsetCommit v0, which carries no generation: nothing would stop a worker that lost its
place in the group. Version 3 does. This file touches private names of aiokafka's producer; the versions are
pinned, and tests/test_private_names.py fails when a name goes away.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
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
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import TopicPartition

from pipeline.kafka.produce_request import JoinedProduce
from pipeline.kafka.transaction_state import was_committed

_NO_TAGS: dict[int, bytes] = {}
_NO_LEADER_EPOCH = -1

SOON_SECONDS = 0.002
"""When to ask again for the first time, while the broker ends the transaction before: that takes it a few milliseconds,
and aiokafka would wait 20 each time, which was the 99th percentile of our latency."""
LEFT_OUT = (Errors.UnknownMemberIdError, Errors.IllegalGenerationError, Errors.RebalanceInProgressError)
"""What the group coordinator answers to a worker that has lost its place in the group."""


class TxnOffsetCommitResponse_v3(Response):
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequest_v3(RequestStruct):
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommit(Request[TxnOffsetCommitRequest_v3]):
    API_KEY = 28

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[TxnOffsetCommitRequest_v3]) -> TxnOffsetCommitRequest_v3:
        return request_struct_class(*self._fields)


class _FencedOffsetCommit(TxnOffsetCommitHandler):
    """The handler of aiokafka with our request, and with the answers that only v3 gives."""

    def create_request(self) -> _TxnOffsetCommit:
        manager = self._sender._txn_manager
        generation, member_id = self._sender.membership
        topics: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for tp, offset in sorted(self._offsets.items()):
            topics[tp.topic].append((tp.partition, offset.offset, _NO_LEADER_EPOCH, "", _NO_TAGS))
        return _TxnOffsetCommit(
            manager.transactional_id,
            self._group_id,
            manager.producer_id,
            manager.producer_epoch,
            generation,
            member_id,
            None,
            [(topic, partitions, _NO_TAGS) for topic, partitions in topics.items()],
            _NO_TAGS,
        )

    def handle_response(self, response: Any) -> float | None:
        manager = self._sender._txn_manager
        for topic, partitions, _ in response.errors:
            for partition, code, _ in partitions:
                error = Errors.for_code(code)
                if error is Errors.NoError:
                    tp = TopicPartition(topic, partition)
                    manager.offset_committed(tp, self._offsets[tp].offset, self._group_id)
                    continue
                if error in LEFT_OUT or error is Errors.GroupAuthorizationFailedError:
                    manager.error_transaction(error(self._group_id))
                    return None
                if error is Errors.RequestTimedOutError:
                    self._sender.client.mark_lost()
                # Everything else has one meaning in both versions: let aiokafka judge it.
                response.errors = [(topic, [(partition, code)])]
                return super().handle_response(response)  # type: ignore[no-any-return]
        return None


class _AddPartitions(AddPartitionsToTxnHandler):
    """The handler of aiokafka, which asks again sooner, then later and later, up to as late as aiokafka does."""

    def handle_response(self, response: Any) -> float | None:
        if not self._sender._txn_manager.partitions_to_add():
            return None  # the transaction has failed meanwhile
        backoff: float | None = super().handle_response(response)
        return self._sender.next_backoff(_AddPartitions) if backoff == BACKOFF_OVERRIDE else backoff


class _AddOffsets(AddOffsetsToTxnHandler):
    """The same for the group's offsets."""

    def handle_response(self, response: Any) -> float | None:
        backoff: float | None = super().handle_response(response)
        busy = Errors.for_code(response.error_code) is Errors.ConcurrentTransactions
        return self._sender.next_backoff(_AddOffsets) if busy else backoff


class _Witness:
    """The client of a sender, which remembers that a transactional request got no answer, and copies records less."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def mark_lost(self) -> None:
        """A transactional request may still be in flight without an answer."""
        self.lost = True

    async def send(self, node_id: int, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        if isinstance(request, ProduceRequest):
            request = JoinedProduce(request)
        try:
            return await self._client.send(node_id, request, group=group)
        except Errors.KafkaError:
            if group == ConnectionGroup.COORDINATION:
                self.mark_lost()
            raise


class _FencedSender(Sender):
    """A sender that commits offsets as a member of a generation of the group.

    `previous_outcome` is the outcome of the id's last transaction before this producer acquired it.
    """

    membership: tuple[int, str] = (-1, "")
    previous_outcome: bool | None = None

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self._backoffs: dict[type, float] = {}

    def join(self, generation: int, member_id: str) -> None:
        """Commit group offsets as this member of this generation."""
        self.membership = (generation, member_id)

    def next_backoff(self, request: type) -> float:
        """Seconds until this transaction may be begun again with such a request."""
        backoff = self._backoffs.get(request, SOON_SECONDS)
        self._backoffs[request] = min(2 * backoff, float(BACKOFF_OVERRIDE))
        return backoff

    async def _do_add_partitions_to_txn(self, tps: Any) -> bool:
        node_id = await self._find_coordinator(
            CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return self._begun(_AddPartitions, await _AddPartitions(self, tps).do(node_id))

    async def _do_add_offsets_to_txn(self, group_id: str) -> bool:
        node_id = await self._find_coordinator(
            CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return self._begun(_AddOffsets, await _AddOffsets(self, group_id).do(node_id))

    def _begun(self, request: type, done: bool) -> bool:
        if done:
            self._backoffs.pop(request, None)
        return done

    async def _do_init_pid(self, node_id: int) -> bool:
        # Once the id is ours, its coordinator does not know any more.
        if self.previous_outcome is None:
            try:
                self.previous_outcome = await was_committed(
                    self.client, node_id, self._txn_manager.transactional_id
                )
            except Errors.KafkaError:
                self._coordinator_dead(CoordinationType.TRANSACTION)
                await asyncio.sleep(self._retry_backoff)
                return False
        return bool(await super()._do_init_pid(node_id))

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        node_id = await self._find_coordinator(CoordinationType.GROUP, group_id)
        await _FencedOffsetCommit(self, offsets, group_id).do(node_id)


class FencedProducer(AIOKafkaProducer):
    """A transactional producer whose group offsets only count while `membership` is current."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sender = _FencedSender(
            _Witness(self.client),
            acks=-1,
            txn_manager=self._txn_manager,
            message_accumulator=self._message_accumulator,
            retry_backoff_ms=options["retry_backoff_ms"],
            request_timeout_ms=options["request_timeout_ms"],
        )

    def join(self, generation: int, member_id: str) -> None:
        """From now on, commit offsets as this member of this generation."""
        self._sender.join(generation, member_id)

    async def begin(self, group_id: str, partitions: Iterable[TopicPartition] = ()) -> None:
        """Begin a transaction with the group's offsets: the broker takes them only when it has ended the transaction
        before. What is known already of its `partitions` is registered on the way. Raises KafkaError."""
        await self.begin_transaction()
        self.will_write(partitions)
        while not await self._sender._do_add_offsets_to_txn(group_id):
            pass
        self._check()

    def _check(self) -> None:
        """Raise what the transaction has failed of, when it has: without a word here, the next step would stumble."""
        if (refused := self.failure) is not None:
            raise refused

    def will_write(self, partitions: Iterable[TopicPartition]) -> None:
        """Register partitions of a transaction at once; aiokafka would send a request for each. Raises KafkaError."""
        self._check()
        for partition in partitions:
            self._txn_manager.maybe_add_partition_to_txn(partition)

    @property
    def previous_outcome(self) -> bool | None:
        """Whether the id's last transaction before this producer was committed; None when it is unknown."""
        outcome = self._sender.previous_outcome
        return None if outcome is None else bool(outcome)

    async def repeat_outcome(self, partitions: set[TopicPartition], group_id: str, *, commit: bool) -> None:
        """Run a transaction without records: its markers end an earlier one of this id that is open in these
        partitions and in the group's offsets. Raises KafkaError."""
        await self.begin(group_id)
        self.will_write(partitions)
        await (self.commit_transaction() if commit else self.abort_transaction())

    @property
    def failure(self) -> BaseException | None:
        """What ended the current transaction, when it failed: later calls only say that there is none."""
        waiter = self._txn_manager.wait_for_transaction_end()
        return waiter.exception() if waiter is not None and waiter.done() and not waiter.cancelled() else None

    @property
    def unsure(self) -> bool:
        """Whether a transactional request of this producer may still be under way, unanswered, in the network.

        It had to be sent again, so it can arrive late and end the next transaction (KIP-890): the producer must
        be replaced by one of the same id, whose higher epoch makes the broker refuse the late one.
        """
        return bool(self._sender.client.lost)
