"""The table `rooms`: its loads, and what reads and writes of it do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.records import Room
from pipeline.settings import Settings
from pipeline.worker.app import topology
from pipeline.worker.faust_store import RoomsStore
from pipeline.worker.task import PartitionTask
from tests.support.worker import a_task, an_engine


def holding(*room_ids: str) -> Partition:
    """A partition with these rooms."""
    partition = Partition(Rules())
    for room_id in room_ids:
        partition.restore_room(room_id, Room(room_id, "app"))
    partition.restored()
    return partition


@pytest.fixture
def rooms(settings: Settings) -> Any:
    """The table of a worker with rooms on two partitions."""
    engine = an_engine(settings, None)
    engine.tasks.update({0: a_task(0, holding("a", "b")), 1: a_task(1, holding("c"))})
    recovery: Any = None
    return topology(engine, recovery, settings).tables["rooms"]


def test_the_table_reads_the_live_rooms(rooms: Any) -> None:
    assert rooms["b"] == Room("b", "app")
    assert rooms["c"].app_id == "app"
    assert (list(rooms), len(rooms)) == (["a", "b", "c"], 3)
    assert ("a" in rooms, "z" in rooms, rooms.get("z")) == (True, False, None)
    assert list(rooms.keys()) == [room_id for room_id, _ in rooms.items()] == ["a", "b", "c"]
    assert [room.room_id for room in rooms.values()] == ["a", "b", "c"]
    with pytest.raises(KeyError):
        rooms["z"]


def test_writing_to_the_table_explains_what_to_do(rooms: Any) -> None:
    writes = [
        lambda: rooms.__setitem__("a", Room("a")),
        lambda: rooms.__delitem__("a"),
        lambda: rooms.update({"a": Room("a")}),
        lambda: rooms.pop("a"),
        rooms.clear,
        lambda: rooms.data.__setitem__("a", Room("a")),
        lambda: rooms.data.__delitem__("a"),
    ]
    for write in writes:
        with pytest.raises(TypeError, match=r"read-only.*produce a signal"):
            write()
    assert len(rooms) == 3


async def test_a_load_ends_before_the_next_begins() -> None:
    """Faust may call for a load twice in a row. Two at once would each read a part of the log's records."""
    running, overlapped, ended = 0, False, 0
    began, proceed = asyncio.Event(), asyncio.Event()

    class SlowRecovery:
        seconds = 0.0

        def take_unclaimed(self) -> set[int]:
            return set()

        async def load(self, numbers: list[int]) -> dict[int, PartitionTask]:
            nonlocal running, overlapped, ended
            overlapped |= running > 0
            running += 1
            began.set()
            try:
                await proceed.wait()
            finally:
                await asyncio.sleep(0.01)
                running -= 1
            ended += 1
            return {}

    store: Any = RoomsStore.__new__(RoomsStore)
    store.app = SimpleNamespace(
        engine=SimpleNamespace(tasks={}), recovery=SlowRecovery(), settings=SimpleNamespace(worker_id="w")
    )
    store.__post_init__()
    loads = []
    for _ in range(3):
        began.clear()
        loads.append(asyncio.create_task(store.on_recovery_completed(set(), set())))
        await asyncio.wait_for(began.wait(), 10)
    proceed.set()
    done = await asyncio.gather(*loads, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in done] == [True, True, False]
    assert (overlapped, ended) == (False, 1)
