"""Reads one room, or the ids of all rooms, from the table's topic as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from heapq import nlargest
from typing import Final, NamedTuple

from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import FatalError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.partitioning import partition_of, room_key
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model import row_keys
from pipeline.model.records import Member, Room
from pipeline.model.row_keys import decode_key, encode_key
from pipeline.settings import Settings
from pipeline.view.follower import Follower, learn_schemas
from pipeline.view.tables.rooms_table import RoomsTable

_ROOM_KEY: Final = encode_key((row_keys.ROOM, ""))[:-3]
"""The beginning of the keys of all rooms, up to the quotation mark of the room_id."""


class OneRoom(NamedTuple):
    """A room, None if there is none, its members in the order in which they joined, and when a gone room ended."""

    room: Room | None
    members: tuple[Member, ...]
    gone_since: int | None


class TableScan:
    """One reading of the table's topic up to the end of what is committed. `fraction` is how much has been read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topics.ROOMS.full_name(settings.topic_prefix)
        self.fraction = 0.0

    async def room(self, room_id: str) -> OneRoom:
        """Read a room from its partition. Raises ConfigError, KafkaError, FatalError."""
        table = RoomsTable()
        key_id = room_key(room_id).decode("utf-8", "replace")  # an argument may be no UTF-8; no room has such an id
        whole = {encode_key((kind, key_id)) for kind in (row_keys.ROOM, row_keys.GONE)}
        member = encode_key((row_keys.MEMBER, key_id))[:-1] + b","
        async with Registry(self._settings) as registry:

            async def apply(tp: TopicPartition, records: list[Record]) -> None:
                own = [one for one in records if (key := one.key or b"") in whole or key.startswith(member)]
                if own:
                    await learn_schemas(registry, table.decoders, own, lambda _: None)
                    table.apply(tp.partition, own)

            await self._read(apply, room_id)
        return OneRoom(table.room(room_id), table.members(room_id), table.gone_since(room_id))

    async def ids(self) -> set[str]:
        """Read the ids of all rooms. Raises ConfigError, KafkaError."""
        found: set[str] = set()

        async def apply(tp: TopicPartition, records: list[Record]) -> None:
            for one in records:
                if (one.key or b"").startswith(_ROOM_KEY):
                    [_, room_id] = decode_key(one.key or b"")
                    (found.discard if one.value is None else found.add)(room_id)

        await self._read(apply, None)
        return found

    async def _read(
        self, apply: Callable[[TopicPartition, list[Record]], Awaitable[None]], room_id: str | None
    ) -> None:
        """Read all partitions, or that of a room."""
        count = (await require_topics(self._settings, acls.viewer(self._settings)))[self._topic]
        numbers = range(count) if room_id is None else (partition_of(room_key(room_id), count),)
        partitions = [TopicPartition(self._topic, number) for number in numbers]
        follower = Follower(self._settings, apply, _bad_batch, lambda _: None)
        await follower.start()
        try:
            starts, ends = await asyncio.gather(
                follower.consumer.beginning_offsets(partitions), follower.consumer.end_offsets(partitions)
            )
            follower.begin(starts)
            async for missing in follower.up_to(ends):
                self.fraction = 1 - missing / max(1, sum(ends.values()) - sum(starts.values()))
        finally:
            await follower.stop()


def _bad_batch(tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
    raise FatalError(f"{tp.topic}/{tp.partition}/{batch.first}: {fault}: only workers may write to this topic")


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """Return how many characters two texts share at their beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def nearest_ids(room_id: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known ids that `room_id` may stand for, the nearest first: those that contain it, and those that
    share more than half of it at the beginning and the end."""

    def likeness(one: str) -> int:
        if room_id in one:
            return 2 * len(room_id)
        front = _common(room_id, one)
        return front + _common(reversed(room_id[front:]), reversed(one[front:]))

    near = ((likeness(one), one) for one in known)
    enough = len(room_id) / 2
    return [one for like, one in nlargest(most, near) if like > enough]
