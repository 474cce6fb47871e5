"""Offsets from which a consumer without a group reads."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition


def assign_and_seek(reader: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Assign exactly these partitions, and seek to these offsets.

    Get the offsets from `beginning_offsets` or `end_offsets`, which find a new leader. aiokafka's own lookups
    (`auto_offset_reset`, `seek_to_beginning`, `seek_to_end`) repeat the request to the old leader until the metadata
    expire, after five minutes. To stop reading, pause: calling `unsubscribe` right after `assign` kills the fetch task.
    """
    reader.assign(list(offsets))
    for tp, offset in offsets.items():
        reader.seek(tp, offset)
