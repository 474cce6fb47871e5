"""A consumer whose records come as they were parsed, without the ConsumerRecord that aiokafka makes of each.

Key, value, headers, offset and timestamp are all that anybody reads here. This file touches private names of aiokafka;
the versions are pinned, and tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition


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
