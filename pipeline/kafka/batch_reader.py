"""Consumer patches: return whole batches, wake less often, fail when a background task dies.

aiokafka's reader makes several calls and a ConsumerRecord for each record, and an unexpected byte ends its fetch task.
Here, a consumer returns the batches of a fetch as they are stored. What they hold is read later (`stored_batch`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.errors import FatalError
from pipeline.kafka.stored_batch import BASE_END, LENGTH_END, UNCOUNTED, BatchHead, StoredBatch, head_of

LOOK_SECONDS: Final = 1.0
"""Time after which an idle fetch task wakes without a reason."""
OnCorrupt = Callable[[TopicPartition, int], None]
"""Called with the first offset of a batch whose checksum is wrong. The batch will be fetched again."""
OnAnswer = Callable[[TopicPartition], object]
"""Called when a partition's leader has answered a fetch, also with nothing."""
OnResult = Callable[[], object]
"""Called when the consumer has something to return: batches, markers only, or an error."""


class _Client:
    """A client that keeps the bytes of each fetched partition until `_FetchedBatches` takes them.

    aiokafka's own container of them does not give them away.
    """

    def __init__(self, client: Any, on_answer: OnAnswer | None) -> None:
        self._client, self._on_answer = client, on_answer
        self.fetched: dict[TopicPartition, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        response = await self._client.send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            for topic, partitions in response.topics:
                for number, error, *_, records in partitions:
                    tp = TopicPartition(topic, number)
                    self.fetched[tp] = records
                    if self._on_answer is not None and not error:
                        self._on_answer(tp)
        return response


class _FetchedBatches(OrderedDict[TopicPartition, Any]):
    """A fetcher's results that the consumer has not returned yet."""

    def __init__(
        self, fetched: dict[TopicPartition, bytes], on_corrupt: OnCorrupt, on_result: OnResult | None, strict: bool
    ) -> None:
        super().__init__()
        self._fetched, self._on_corrupt, self._on_result, self._strict = fetched, on_corrupt, on_result, strict

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        records = getattr(result, "_partition_records", None)  # absent from an error
        if records is not None:
            data = self._fetched.pop(tp, None)
            if data is None:
                return  # from a request that was sent before `by_batch`: it is sent again
            result._partition_records = _Batches(tp, data, records, self._on_corrupt, self._strict)
        super().__setitem__(tp, result)
        if self._on_result is not None:
            self._on_result()


class _Batches:
    """The batches of one topic-partition in a response, in place of aiokafka's `PartitionRecords`.

    Markers, batches of aborted transactions and batches before the fetch offset are skipped unread.
    """

    def __init__(self, tp: TopicPartition, data: bytes, records: Any, on_corrupt: OnCorrupt, strict: bool) -> None:
        self._tp, self._data, self._on_corrupt, self._strict = tp, data, on_corrupt, strict
        self._pos = 0
        self.next_fetch_offset: int = records.next_fetch_offset
        # Without the isolation level read_committed, the broker lists no aborted transactions.
        self._aborted: list[tuple[int, int]] = records._aborted_transactions
        """Producers and first offsets of aborted transactions, by offset, that begin behind the current batch."""
        self._aborting: set[int] = set()

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> StoredBatch:
        while (begin := self._pos) + LENGTH_END <= len(self._data):
            end = begin + UNCOUNTED + int.from_bytes(self._data[begin + BASE_END : begin + LENGTH_END], signed=True)
            if end > len(self._data):
                break  # the rest was not sent
            data = self._data[begin:end]
            head = head_of(data)
            if head is None:
                self._pos = len(self._data)
                self._on_corrupt(self._tp, self.next_fetch_offset)
                break
            self._pos, start = end, self.next_fetch_offset
            self.next_fetch_offset = max(start, head.last + 1)
            if not self._skipped(head) and head.last >= start:
                return StoredBatch(head, data, start, strict=self._strict)
        raise StopIteration

    def _skipped(self, head: BatchHead) -> bool:
        """Return whether the batch is a marker, or belongs to an aborted transaction."""
        while self._aborted and self._aborted[0][1] <= head.base:
            self._aborting.add(self._aborted.pop(0)[0])
        if head.control:
            self._aborting.discard(head.producer)  # the first marker after its first record ends a transaction
            return True
        return head.transactional and head.producer in self._aborting


def _raise(tp: TopicPartition, offset: int) -> None:
    raise CorruptRecordException(f"{tp.topic} partition {tp.partition}: wrong checksum of the batch at offset {offset}")


def by_batch(
    consumer: AIOKafkaConsumer,
    on_corrupt: OnCorrupt = _raise,
    *,
    strict: bool = False,
    on_answer: OnAnswer | None = None,
    on_result: OnResult | None = None,
) -> None:
    """Make a started consumer return each batch as a StoredBatch. Unreturned results are fetched again.

    `on_corrupt` raises CorruptRecordException by default. `strict`: see StoredBatch.
    """
    fetcher = consumer._fetcher
    if not isinstance(fetcher._records, _FetchedBatches):
        client = fetcher._client = _Client(fetcher._client, on_answer)
        fetcher._records = _FetchedBatches(client.fetched, on_corrupt, on_result, strict)


def records_of(batches: Iterable[StoredBatch]) -> list[Record]:
    """Return the records of batches. Raises BatchError for one that can't be read."""
    return list(chain.from_iterable(batch.read_all() for batch in batches))


def read_up_to(consumer: AIOKafkaConsumer, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Return the position of each of these assigned partitions: behind all that was returned; as before if invalid."""
    subscription = consumer._fetcher._subscriptions.subscription
    if subscription is None or subscription.assignment is None:
        return dict(before)
    states = ((tp, subscription.assignment.state_value(tp)) for tp in before)
    return {
        tp: state.position if state is not None and state.has_valid_position else before[tp] for tp, state in states
    }


def look_rarely(consumer: AIOKafkaConsumer) -> None:
    """Let the fetch task wake without a reason every `LOOK_SECONDS`, instead of five times a second per partition."""
    consumer._fetcher._fetcher_timeout = LOOK_SECONDS


def check_tasks(consumer: AIOKafkaConsumer) -> None:
    """Raise the error that ended a background task of this started consumer.

    After an unexpected error, aiokafka silently ends its fetch task (raises FatalError), and stops its group task until
    the error is read (raises that KafkaError). In both cases, polls return nothing for ever.
    """
    consumer._coordinator.check_errors()
    task = consumer._fetcher._fetch_task
    if task.done() and not consumer._fetcher._closed:
        error = None if task.cancelled() else task.exception()
        cause = getattr(error, "__cause__", None) or error
        raise FatalError(f"aiokafka's fetch task has ended ({cause!r}): restart, and report it")
