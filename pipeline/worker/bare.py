"""A consumer whose records come as they were parsed, without the ConsumerRecord that aiokafka makes of each, whose
task rests while there is nothing to do, and which does not go on when a task has ended.

Key, value, headers, offset and timestamp are all that anybody reads here. This file touches private names of aiokafka;
the versions are pinned, and tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.errors import FatalError

LOOK_SECONDS: Final = 1.0


class _Bare(OrderedDict[TopicPartition, Any]):
    """What a consumer has fetched and not handed over yet."""

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        records = getattr(result, "_partition_records", None)  # an error has none
        if records is not None:
            records._consumer_record = _as_parsed
        super().__setitem__(tp, result)


def _as_parsed(_: TopicPartition, record: Any) -> Any:
    return record


def bare_records(consumer: AIOKafkaConsumer) -> None:
    """From now on this consumer, which has been started, gives records as they were parsed. What it has fetched and not
    handed over yet is forgotten, and fetched again: its position is still before it."""
    if not isinstance(consumer._fetcher._records, _Bare):
        consumer._fetcher._records = _Bare()


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
