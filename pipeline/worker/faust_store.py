"""Faust's table `rooms`: loaded whole when a partition is assigned, read-only for everything but signals.

Faust's own recovery hangs or swallows errors in four known ways, and is 40 times slower. Here a partition is loaded
from its log in `on_recovery_completed`, and Faust gets an offset that leaves it nothing to recover. Uses private names
of Faust; tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, NoReturn

import structlog
from faust import Table
from faust.stores.base import Store
from faust.types import TP

from pipeline.model.records import Room
from pipeline.worker.kafka_errors import expelled
from pipeline.worker.task import PartitionTask

READ_ONLY = (
    "the table `rooms` is read-only: its rows are written in the transaction of the signals that change them; "
    "to change a room, produce a signal (docs/reference/signals.md)"
)
log = structlog.get_logger("table")


class RoomsStore(Store[str, Room]):
    """The live rooms of this worker's partitions, as a mapping of room_id to Room over the engine's tasks."""

    def __post_init__(self) -> None:
        self._generation: int | None = None
        self._assigned: set[int] = set()
        self._suspect: set[int] = set()
        """Partitions that were held when the group had removed this worker: another may have written to them."""
        self._ends: dict[int, int] = {}
        self._loading: asyncio.Task[Any] | None = None

    @property
    def _owned(self) -> dict[int, PartitionTask]:
        return self.app.engine.tasks  # type: ignore[no-any-return]

    # --- rebalances ------------------------------------------------------------------------------------------

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the tasks of revoked partitions.

        aiokafka sends no heartbeats in here. Loading may take longer than the session timeout, so it happens in
        `on_recovery_completed`.
        """
        await self._stop_loading()
        topic = self.table.changelog_topic.get_topic_name()
        self._assigned = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic}
        if self.app.consumer.expelled:
            self._suspect |= self._owned.keys()
        if self._suspect or self._generation is None or generation_id > self._generation + 1:
            # Out of the group for a generation: another worker may have owned and changed what is held here.
            self._owned.clear()
        self._generation = generation_id
        for number in self._owned.keys() - self._assigned:
            del self._owned[number]
        # Faust puts its consumer of the table's log here. From the end it reads nothing that is loaded anyway.
        self._ends = await self.app.recovery.table_ends(sorted(self._assigned))

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Load the tasks of new partitions. Faust seeks and resumes when this returns; it would swallow an error."""
        # Faust may call this for the previous generation while `on_rebalance` of this one runs, and then again. Two
        # loads would share what the one consumer reads.
        await self._stop_loading()
        self._loading = asyncio.current_task()
        try:
            await self._load()
        except Exception as error:
            await self.app.crash(error)
        finally:
            self._loading = None

    async def _stop_loading(self) -> None:
        """Cancel the load of an earlier rebalance, if it is still running."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})

    async def _load(self) -> None:
        tasks, recovery, settings = self._owned, self.app.recovery, self.app.settings
        new = sorted(self._assigned - tasks.keys())
        loaded = await recovery.load(new)
        # Another rebalance may have revoked some meanwhile.
        tasks.update({number: task for number, task in loaded.items() if number in self._assigned})
        own = ("", settings.worker_id)
        taken = [n for n in self._suspect if n not in tasks or tasks[n].owner not in own]
        if taken:
            raise expelled(settings, sorted(taken))
        self._suspect.clear()
        for number in recovery.take_unclaimed() & tasks.keys():
            self.app.engine.request_broker_time(number)
        log.info(
            "partitions assigned",
            generation=self._generation,
            partitions=sorted(self._assigned),
            loaded=len(new),
            seconds=round(recovery.seconds, 3) if new else 0,
        )

    # --- what Faust's recovery asks --------------------------------------------------------------------------

    def persisted_offset(self, tp: TP) -> int | None:
        end = self._ends.get(tp.partition)
        return None if end is None else end - 1

    # The log is the truth: positions are in it, `on_recovery_completed` reads it, and nothing is kept on disk.

    def set_persisted_offset(self, tp: TP, offset: int) -> None: ...

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None: ...

    def reset_state(self) -> None: ...

    async def backup_partition(self, tp: Any, flush: bool = True, purge: bool = False, keep: int = 1) -> None: ...

    def restore_backup(self, tp: Any, latest: bool = True, backup_id: int = 0) -> None: ...

    # --- the mapping -----------------------------------------------------------------------------------------

    def __getitem__(self, room_id: str) -> Room:
        for task in self._owned.values():
            if (room := task.partition.rooms.get(room_id)) is not None:
                return room
        raise KeyError(room_id)

    def __contains__(self, room_id: object) -> bool:
        return any(room_id in task.partition.rooms for task in self._owned.values())

    def __iter__(self) -> Iterator[str]:
        for task in self._owned.values():
            yield from task.partition.rooms

    def __len__(self) -> int:
        return sum(len(task.partition.rooms) for task in self._owned.values())

    # Faust's own versions read an attribute `data`, which a store does not have.

    def keys(self) -> KeysView[str]:
        return KeysView(self)

    def values(self) -> ValuesView[Room]:
        return ValuesView(self)

    def items(self) -> ItemsView[str, Room]:
        return ItemsView(self)

    def __setitem__(self, room_id: str, room: Room) -> NoReturn:
        raise TypeError(READ_ONLY)

    def __delitem__(self, room_id: str) -> NoReturn:
        raise TypeError(READ_ONLY)


class RoomsTable(Table):
    """The table `rooms`. Reads return the live rooms of this worker's partitions; writes raise TypeError."""

    def _new_store(self) -> RoomsStore:
        return RoomsStore("rooms://", self.app, self, loop=self.loop)

    def on_key_set(self, key: str, value: Room) -> NoReturn:
        raise TypeError(READ_ONLY)

    def on_key_del(self, key: str) -> NoReturn:
        raise TypeError(READ_ONLY)

    def on_clear(self) -> NoReturn:
        raise TypeError(READ_ONLY)
