"""Follows what was decided for the rooms of a node, and hands it out in order, one record per partition at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.engines.api_log import ApiLog
from pipeline.engines.rules.commands import Command, of_event, of_no_op
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.journal import Begun, decode
from pipeline.engines.rules.order import Entry, Order
from pipeline.engines.topic_log import TopicLog
from pipeline.kafka.group_offsets import commit_offsets, committed_offsets
from pipeline.kafka.record_reader import find_headers
from pipeline.model.events import EVENTS
from pipeline.model.records import NoOp
from pipeline.settings import Settings
from pipeline.view.follower import Notice

SIGNAL: Final = "ce_signal"


class Decision(NamedTuple):
    """A command, the event_id or signal_id of the record that gave it, and when that was appended (microseconds)."""

    command: Command
    cause: str
    time: int


Perform = Callable[[TopicPartition, int, Decision], Awaitable[None]]


class Decisions:
    """Events and no-ops of a node. Enter `log`, then call `begin`, then run `log.run` and `run`."""

    def __init__(self, settings: Settings, node: Node, partitions: int, api: ApiLog, notice: Notice) -> None:
        self.group = f"{settings.topic_prefix}-bridge-{node.name}"
        self._node, self._api, self._notice = node, api, notice
        self._events = topics.EVENTS.full_name(settings.topic_prefix)
        self._no_ops = topics.NOOPS.full_name(settings.topic_prefix)
        self._partitions = range(partitions)
        self._orders: list[Order[tuple[int, Any]]] = [Order() for _ in self._partitions]
        self._news = [asyncio.Event() for _ in self._partitions]
        self._pending: dict[str, int] = {}
        self.begun: dict[TopicPartition, Begun] = {}
        """Plays that were begun before the start."""
        self.log = TopicLog(settings, (*EVENTS, NoOp), self._take, notice, self._wanted)

    async def begin(self) -> None:
        """Start at the committed offsets, at the end where there are none. Raises KafkaError."""
        all_of = [TopicPartition(name, n) for name in (self._events, self._no_ops) for n in self._partitions]
        starts, ends, committed = await asyncio.gather(
            self.log.offsets.beginnings(all_of),
            self.log.offsets.stable(all_of),
            committed_offsets(self.log.offsets.uncommitted, self.group, all_of),
        )
        missing = {tp: OffsetAndMetadata(ends[tp], "") for tp in all_of if tp not in committed}
        if missing:
            await commit_offsets(self.log.offsets.uncommitted, self.group, missing)
        for tp, (_, metadata) in committed.items():
            if (begun := decode(metadata)) is not None:
                self.begun[tp] = begun
        offsets = {tp: found.offset for tp, found in {**missing, **committed}.items()}
        self.log.begin({tp: min(max(offset, starts[tp]), max(ends[tp], starts[tp])) for tp, offset in offsets.items()})

    def _wanted(self, record: Record) -> bool:
        return self._node.owns((record.key or b"").decode("utf-8", "replace"))

    def _take(self, tp: TopicPartition, record: Record, value: Any) -> None:
        if value is None:
            return
        order = self._orders[tp.partition]
        if isinstance(value, NoOp):
            if value.topic != self._api.topic or value.reason not in ("join", "leave"):
                return
            order.no_ops.append(Entry(record.offset, value.offset, (record.time, value)))
        else:
            api = self._api_offset(record)
            if (command := of_event(value, by_api=api >= 0)) is None:
                return
            order.events.append(
                Entry(record.offset, api, (record.time, Decision(command, value.meta.event_id, record.time)))
            )
        self._pending[value.room_id] = self._pending.get(value.room_id, 0) + 1
        self._news[tp.partition].set()

    def _api_offset(self, record: Record) -> int:
        """Return the offset of the API signal that caused an event; -1 if it had another cause."""
        headers = record.headers
        found = dict(find_headers(headers, (SIGNAL,))) if isinstance(headers, bytes) else dict(headers)
        topic, _, place = (found.get(SIGNAL) or b"").decode("utf-8", "replace").partition("/")
        return int(place.rpartition("/")[2]) if topic == self._api.topic else -1

    def pending(self, room_id: str) -> bool:
        """Return whether a command of a room waits, or is being performed."""
        return room_id in self._pending

    async def run(self, perform: Perform) -> None:
        """Call `perform` for each decision until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in self._partitions:
                group.create_task(self._run(number, perform))

    async def _run(self, number: int, perform: Perform) -> None:
        order, news = self._orders[number], self._news[number]
        events, no_ops = TopicPartition(self._events, number), TopicPartition(self._no_ops, number)
        while True:
            await news.wait()
            news.clear()
            while order.mark():
                await self.log.read_end(events, no_ops)
                while (found := order.next()) is not None:
                    is_event, entry = found
                    await self._hand_out(events if is_event else no_ops, entry, perform)

    async def _hand_out(self, tp: TopicPartition, entry: Entry[tuple[int, Any]], perform: Perform) -> None:
        time, item = entry.item
        decision = item if isinstance(item, Decision) else await self._of_no_op(tp, time, item)
        room_id = item.room_id if isinstance(item, NoOp) else item.command.room_id
        try:
            if decision is not None:
                await perform(tp, entry.offset, decision)
            await self.commit(tp, entry.offset + 1)
        finally:
            self._pending[room_id] -= 1
            if not self._pending[room_id]:
                del self._pending[room_id]

    async def _of_no_op(self, tp: TopicPartition, time: int, record: NoOp) -> Decision | None:
        session = await self._api.session(record.partition, record.offset)
        if session is None:
            self._notice(f"{record.type} of room {record.room_id}: its signal was deleted; not performed")
            return None
        command = of_no_op(record, session)
        return None if command is None else Decision(command, record.signal_id, time)

    async def commit(self, tp: TopicPartition, offset: int, metadata: str = "") -> None:
        """Commit an offset, and wait for the answer."""
        await commit_offsets(self.log.offsets.uncommitted, self.group, {tp: OffsetAndMetadata(offset, metadata)})
