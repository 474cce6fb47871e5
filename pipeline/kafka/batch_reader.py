"""A consumer whose records come by the batch, without the ConsumerRecord that aiokafka makes of each, whose task rests
while there is nothing to do, and which does not go on when a task has ended.

What to skip (aborted transactions, markers) aiokafka decides by the batch, but it takes three calls for each record of
it. Here its loop over the records of a batch gets the batch as the only one, and `as_records` reads it in one go. This
file touches private names of aiokafka; the versions are pinned, and tests/test_private_names.py fails when one goes
away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record, as_records
from pipeline.errors import FatalError

LOOK_SECONDS: Final = 1.0


class _Bare(OrderedDict[TopicPartition, Any]):
    """What a consumer has fetched and not handed over yet."""

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        records = getattr(result, "_partition_records", None)  # an error has none
        if records is not None:
            records._records = _Batches(records._records, records.next_fetch_offset)
            records._consumer_record = _read
        super().__setitem__(tp, result)


class _Batches:
    """`MemoryRecords`, each batch of it as a `_Batch`."""

    def __init__(self, records: Any, start: int) -> None:
        self._records = records
        self._start = start
        self.has_next = records.has_next

    def next_batch(self) -> _Batch:
        return _Batch(self._records.next_batch(), self._start)


class _Batch:
    """A batch as its only record, which has the batch's last offset. All else that is asked of it, it is itself."""

    def __init__(self, batch: Any, start: int) -> None:
        self._batch = batch
        self._start = start
        self.offset = batch.next_offset - 1

    def __iter__(self) -> Iterator[_Batch]:
        return iter((self,))

    def __next__(self) -> Any:
        return next(self._batch)  # of a marker, which is read before it is skipped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def records(self) -> list[Record]:
        """Those that were asked for: a fetch from the middle of a batch brings all of it."""
        return as_records(self._batch, self._start)


def _read(_: TopicPartition, batch: _Batch) -> list[Record]:
    return batch.records()


def by_batch(consumer: AIOKafkaConsumer) -> None:
    """From now on each record that this consumer, which has been started, gives is the list of the records of a batch:
    see `records_of`. What it has fetched and not handed over yet is forgotten, and fetched again: its position is still
    before it."""
    if not isinstance(consumer._fetcher._records, _Bare):
        consumer._fetcher._records = _Bare()


def records_of(fetched: Iterable[Any]) -> list[Record]:
    """The records of one topic-partition, of what a consumer gives that reads `by_batch`."""
    return list(chain.from_iterable(fetched))


def look_rarely(consumer: AIOKafkaConsumer) -> None:
    """From now on the task of this consumer that sends the fetches, which is woken for all there is to do, looks for it
    by itself only now and then. It does five times a second from the start, for each partition."""
    consumer._fetcher._fetcher_timeout = LOOK_SECONDS


def check_tasks(consumer: AIOKafkaConsumer) -> None:
    """Raises what a task of this consumer, which has been started, has ended with. aiokafka ends the one that fetches
    for an error that it does not expect, and tells nobody; the one that keeps up the membership of the group it stops
    until somebody asks for its error. Polls go on in both cases, and bring nothing, for ever.

    Raises:
        FatalError: nothing is fetched any more.
        KafkaError: the group's coordinator gave an answer that aiokafka does not expect.
    """
    consumer._coordinator.check_errors()
    task = consumer._fetcher._fetch_task
    if task.done() and not consumer._fetcher._closed:
        error = None if task.cancelled() else task.exception()
        cause = getattr(error, "__cause__", None) or error
        raise FatalError(f"aiokafka has ceased to fetch ({cause!r}): start again, and report it")
