"""Which rooms and members exist now: a copy of the compacted topic `<prefix>.rooms`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from conference_events.avro import AnyRecord, Decoder
from conference_events.errors import UnknownTypeError
from conference_events.records import Member, Room
from conference_events.registry import Registry


@dataclass
class RoomState:
    """A room and its members."""

    room: Room | None = None
    """Its row; None in the instant before it has been read."""
    by_session: dict[str, Member] = field(default_factory=dict)

    @property
    def members(self) -> list[Member]:
        """The members in the order in which they joined."""
        return sorted(self.by_session.values(), key=lambda member: member.sequence)


class Rooms:
    """The rooms as the rows of the topic describe them, without Kafka."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomState] = {}

    def apply(self, key: bytes, row: AnyRecord | None) -> str:
        """Apply one row; None deletes it. Return the room that changed, "" for a row of another kind.

        A key is a JSON array: `["room",room_id]`, `["member",room_id,session_uuid]`, `["gone",room_id]` or
        `["position"]`. Kinds that are not known must be skipped.
        """
        try:
            kind, *ids = msgspec.json.decode(key, type=list[str])
        except (msgspec.DecodeError, ValueError):
            return ""
        match kind, ids:
            case "room", [room_id]:
                state = self._rooms.setdefault(room_id, RoomState())
                state.room = row if isinstance(row, Room) else None
            case "member", [room_id, session]:
                state = self._rooms.setdefault(room_id, RoomState())
                if isinstance(row, Member):
                    state.by_session[session] = row
                else:
                    state.by_session.pop(session, None)
            case _:
                return ""
        if state.room is None and not state.by_session:
            del self._rooms[room_id]
        return room_id

    def get(self, room_id: str) -> RoomState | None:
        """Return a room, None if it does not exist."""
        state = self._rooms.get(room_id)
        return state if state is not None and state.room is not None else None

    def all(self) -> dict[str, RoomState]:
        """Return all rooms by room_id."""
        return {room_id: state for room_id, state in self._rooms.items() if state.room is not None}


class RoomsTable:
    """Reads the topic into `rooms`, without a consumer group.

        async with RoomsTable("kafka:9092", Registry(url)) as table:
            await table.update()              # all rooms
            changed = await table.update()    # again, whenever you need the state of now

    It holds all rooms in memory, about 2 KB each. Other keyword arguments go to aiokafka.
    """

    def __init__(self, bootstrap_servers: str, registry: Registry, *, prefix: str = "conference", **kafka: Any) -> None:
        self.rooms = Rooms()
        """The rooms as of the last `update`."""
        self._topic = f"{prefix}.rooms"
        self._decoder = Decoder(registry.schema)
        self._options = {
            "bootstrap_servers": bootstrap_servers,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            **kafka,
        }

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(self._topic, **self._options)
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def update(self) -> set[str]:
        """Read up to the end that the topic has now; return the room_ids that changed.

        Raises InvalidDataError, RegistryError, and aiokafka's KafkaError.
        """
        partitions: list[TopicPartition] = sorted(self._consumer.assignment())
        ends = await self._consumer.end_offsets(partitions)
        changed: set[str] = set()
        while True:
            behind = [one for one in partitions if await self._consumer.position(one) < ends[one]]
            if not behind:
                return changed - {""}
            for records in (await self._consumer.getmany(*behind, timeout_ms=500)).values():
                for record in records:
                    changed.add(self.rooms.apply(record.key or b"", await self._row(record.value)))

    async def _row(self, value: bytes | None) -> AnyRecord | None:
        if value is None:
            return None
        if not self._decoder.knows(value):
            await asyncio.to_thread(self._decoder.learn, value)
        try:
            return self._decoder.decode(value)
        except UnknownTypeError:
            return None
