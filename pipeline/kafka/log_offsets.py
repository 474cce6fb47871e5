"""Where a consumer that belongs to no group begins to read."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition


def assign_and_seek(reader: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Read these partitions, and no others, from these offsets on.

    Ask for beginnings and ends by `beginning_offsets` and `end_offsets`, which look for the leader. aiokafka's own
    look-ups (`auto_offset_reset`, `seek_to_beginning`, `seek_to_end`) go on asking a broker that has ceased to lead,
    until the metadata are five minutes old. And pause what is to be read no further: `unsubscribe`, right behind
    `assign`, ends the task that fetches, for good.
    """
    reader.assign(list(offsets))
    for tp, offset in offsets.items():
        reader.seek(tp, offset)
