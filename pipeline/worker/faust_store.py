"""Faust's table store, which loads a partition whole when it is assigned.

Faust's own recovery hangs or swallows errors in four known ways and is forty times slower. Here a partition is
loaded from its log in `on_recovery_completed`, and Faust is told an offset that leaves it nothing to recover.
This file touches private names of Faust; tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import structlog
from faust import Table
from faust.stores.base import Store
from faust.types import TP

from pipeline.model.records import Room
from pipeline.worker.recovery import Lane, Recovery
from pipeline.worker.transactions import left_out

log = structlog.get_logger("table")


class RoomsStore(Store[str, Room]):
    """The rooms of the partitions that this worker owns. Faust sees a mapping of room_id to Room; the engine, which
    alone changes it, works on `lanes`."""

    recovery: Recovery

    def __post_init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self._generation: int | None = None
        self._mine: set[int] = set()
        self._held: set[int] = set()
        self._ends: dict[int, int] = {}
        self._loading: asyncio.Task[Any] | None = None

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop what is gone. aiokafka sends no heartbeats in here, so the loading, which may take longer than the
        session timeout, comes in `on_recovery_completed`."""
        await self._stop_loading()
        topic = self.table.changelog_topic.get_topic_name()
        self._mine = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic}
        if self.app.consumer.expelled:
            self._held |= self.lanes.keys()
        if self._held or self._generation is None or generation_id > self._generation + 1:
            # Out of the group for a while: somebody else may have owned, and changed, what we still hold.
            self.lanes.clear()
        self._generation = generation_id
        for number in self.lanes.keys() - self._mine:
            del self.lanes[number]
        # Where Faust's consumer is put on the table's log: at its end, it need not read what is loaded anyway.
        ends = await self.recovery.ends([self.recovery.table(number) for number in sorted(self._mine)])
        self._ends = {tp.partition: end for tp, end in ends.items()}

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Load what is new. Faust goes on to seek and to resume when this returns; it would swallow an error."""
        # Faust may call for the generation before while `on_rebalance` of this one is under way, and then again: two
        # loads would share what the one reader reads.
        await self._stop_loading()
        self._loading = asyncio.current_task()
        try:
            await self._load()
        except Exception as error:
            await self.app.crash(error)
        finally:
            self._loading = None

    async def _stop_loading(self) -> None:
        """End the load of a rebalance before this one, if it is still under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})

    async def _load(self) -> None:
        new = sorted(self._mine - self.lanes.keys())
        loaded = await self.recovery.load(new)
        # Another rebalance may have come meanwhile, and taken some away.
        self.lanes.update({number: lane for number, lane in loaded.items() if number in self._mine})
        taken = [n for n in self._held if n not in self.lanes or not self._ours(self.lanes[n])]
        if taken:
            raise left_out(self.app.consumer.settings, sorted(taken))
        self._held.clear()
        log.info(
            "partitions assigned",
            generation=self._generation,
            partitions=sorted(self._mine),
            loaded=len(new),
            seconds=round(self.recovery.seconds, 3) if new else 0,
        )

    def _ours(self, lane: Lane) -> bool:
        """Whether nobody else has written to the partition since we did."""
        return lane.owner in ("", self.app.consumer.settings.worker_id)

    def persisted_offset(self, tp: TP) -> int | None:
        end = self._ends.get(tp.partition)
        return None if end is None else end - 1

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Nothing: the log is the truth."""

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Nothing: `on_recovery_completed` reads it all."""

    def reset_state(self) -> None:
        """Nothing is kept on disk."""

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        """Nothing is kept on disk."""

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None:
        """Nothing is kept on disk."""

    def __getitem__(self, room_id: str) -> Room:
        for lane in self.lanes.values():
            if room_id in lane.partition.rooms:
                return lane.partition.rooms[room_id]
        raise KeyError(room_id)

    def __setitem__(self, room_id: str, room: Room) -> None:
        raise TypeError("rooms change by signals only")

    def __delitem__(self, room_id: str) -> None:
        raise TypeError("rooms change by signals only")

    def __iter__(self) -> Iterator[str]:
        for lane in self.lanes.values():
            yield from lane.partition.rooms

    def __len__(self) -> int:
        return sum(len(lane.partition.rooms) for lane in self.lanes.values())


class RoomsTable(Table):
    """The table `rooms`, on a RoomsStore."""

    def _new_store(self) -> RoomsStore:
        return RoomsStore("rooms://", self.app, self, loop=self.loop)
