"""Consumer patches: decode whole batches, pace fetches, wake less often, fail when a background task dies.

aiokafka decides per batch what to skip (aborted transactions, markers), but makes three calls and a ConsumerRecord for
each record. Here, its loop over a batch sees the batch itself as the only record, and `as_records` decodes all of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record, as_records
from pipeline.errors import FatalError

LOOK_SECONDS: Final = 1.0
"""Time after which an idle fetch task wakes without a reason."""
MANY: Final = 1000
"""Pause after a poll with fewer records: a poll costs two thread switches, and the broker a pass over all partitions.
Live signals stay below this number; with a backlog, a single partition exceeds it."""
PAUSE_SECONDS: Final = 0.01
"""About the duration of a unit at a low rate. With half of it, a worker used 0.55 instead of 0.38 of a core for 500
signals/s, and on two cores shared with the broker the 99th percentile of the latency rose."""
FEW: Final = 3
SHORT_SECONDS: Final = 0.005
"""The pause after fewer than `FEW` records: a longer one would only add latency."""


class _FetchedBatches(OrderedDict[TopicPartition, Any]):
    """A fetcher's results that the consumer has not returned yet."""

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        records = getattr(result, "_partition_records", None)  # absent from an error
        if records is not None:
            records._records = _BatchIterator(records._records, records.next_fetch_offset)
            records._consumer_record = lambda _, batch: batch.records()
        super().__setitem__(tp, result)


class _BatchIterator:
    """`MemoryRecords` that returns each batch as a `_Batch`."""

    def __init__(self, records: Any, start: int) -> None:
        self._records = records
        self._start = start
        self.has_next = records.has_next

    def next_batch(self) -> _Batch:
        return _Batch(self._records.next_batch(), self._start)


class _Batch:
    """A batch that is also its own only record, with the batch's last offset."""

    def __init__(self, batch: Any, start: int) -> None:
        self._batch = batch
        self._start = start
        self.offset = batch.next_offset - 1

    def __iter__(self) -> Iterator[_Batch]:
        return iter((self,))

    def __next__(self) -> Any:
        return next(self._batch)  # a marker's record is read before it is skipped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def records(self) -> list[Record]:
        """Decode the records from the fetch offset on: a fetch from inside a batch returns the whole batch."""
        return as_records(self._batch, self._start)


def by_batch(consumer: AIOKafkaConsumer) -> None:
    """Make a started consumer return each batch as a list: see `records_of`. Unreturned results are fetched again."""
    if not isinstance(consumer._fetcher._records, _FetchedBatches):
        consumer._fetcher._records = _FetchedBatches()


def records_of(fetched: Iterable[Any]) -> list[Record]:
    """Return the records of one topic-partition, from the result of a consumer that reads `by_batch`."""
    return list(chain.from_iterable(fetched))


def look_rarely(consumer: AIOKafkaConsumer) -> None:
    """Let the fetch task wake without a reason every `LOOK_SECONDS`, instead of five times a second per partition."""
    consumer._fetcher._fetcher_timeout = LOOK_SECONDS


def pause_after(records: int) -> float:
    """Return the pause in seconds after a poll that returned this number of records."""
    if records >= MANY:
        return 0.0
    return SHORT_SECONDS if records < FEW else PAUSE_SECONDS


class Pace:
    """Delays each fetch of a consumer by `pause` seconds, so that at a low rate it returns more records.

    It replaces `Fetcher._proc_fetch_request`. A broker answers a fetch as soon as it has one record. The pause comes
    before the request: after the response, it would delay new records twice, by this pause and by the next.
    """

    def __init__(self, send: Any) -> None:
        self._send = send
        self.pause = 0.0

    def pause_next(self, seconds: float) -> None:
        """Send the next fetches this many seconds later."""
        self.pause = seconds

    async def __call__(self, assignment: Any, node_id: int, request: Any) -> bool:
        if self.pause:
            try:
                await asyncio.sleep(self.pause)
            except asyncio.CancelledError:
                return False  # like the original: the caller reads the result
        return bool(await self._send(assignment, node_id, request))


def pace(consumer: AIOKafkaConsumer) -> Pace:
    """Return the `Pace` of a started consumer; add it first, if it has none."""
    fetcher = consumer._fetcher
    if not isinstance(fetcher._proc_fetch_request, Pace):
        fetcher._proc_fetch_request = Pace(fetcher._proc_fetch_request)
    found: Pace = fetcher._proc_fetch_request
    return found


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
