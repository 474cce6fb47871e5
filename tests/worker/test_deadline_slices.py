"""Deadlines in the engine's slices and units, without a broker."""

from __future__ import annotations

import pytest

from pipeline.core.merge import Record
from pipeline.model.codec import signal_json
from pipeline.model.records import Room
from pipeline.model.signals import ConferenceVolume
from pipeline.worker.engine import SLICE_DEADLINES, SLICE_SIGNALS
from pipeline.worker.unit import MAX_BYTES, MAX_SIGNALS
from testkit.engine import NOW, Core

LATER = NOW + 10**9


def burst(count: int, partitions: int = 4, url: str = "u") -> Core:
    """A worker with `count` deadlines that have passed the barrier, one millisecond apart, in turn on the partitions."""
    core = Core(0, partitions=partitions)
    for n in range(count):
        name = f"room-{n:05}"
        room = Room(
            name, "app", sequence=1, playback_status="playing", operation_id=name, urls=(url,), deadline=NOW + n * 1000
        )
        core.tasks[n % partitions].partition.restore_room(name, room)
    for task in core.tasks.values():
        task.partition.restored()
        for source in task.merge.inputs:
            source.end = source.position
            source.observe_end(LATER, source.position)
    return core


def armed(core: Core) -> list[int]:
    """The deadlines that have not fired, in milliseconds after the first."""
    partitions = [task.partition for task in core.tasks.values()]
    return sorted((time - NOW) // 1000 for one in partitions for time, _ in one.rooms.deadlines())


def queue_volumes(core: Core, number: int, count: int) -> None:
    """Queue signals of an unknown room, which are rejected."""
    source = core.tasks[number].merge.api
    value = signal_json(ConferenceVolume("v", "other", NOW, 1, "volume"))
    source.fetched((Record(NOW, n, b"other", value, ()) for n in range(count)), count, count)


def test_a_slice_fires_the_earliest_deadlines_of_all_partitions() -> None:
    core = burst(1000)
    assert core.engine._decide()
    assert core.engine._unit.signals == SLICE_SIGNALS
    for _ in range(3):
        assert core.engine._decide()
    fired = set(range(1000)) - set(armed(core))
    assert len(fired) == 4 * SLICE_SIGNALS
    assert max(fired) < 4 * 4 * SLICE_SIGNALS / 2, "no partition is far ahead of another"
    while core.engine._decide():
        pass
    assert armed(core) == []
    assert core.engine._unit.counts["timeouts"][""] == 1000


def test_signals_and_deadlines_share_a_slice() -> None:
    core = burst(1000)
    queue_volumes(core, 2, 1000)
    assert core.engine._decide()
    unit = core.engine._unit
    assert unit.signals == SLICE_SIGNALS
    assert unit.counts["timeouts"][""] == SLICE_DEADLINES
    assert unit.counts["rejected"].total() == SLICE_SIGNALS - SLICE_DEADLINES


@pytest.mark.parametrize(("count", "url"), [(MAX_SIGNALS + 300, "u"), (18_000, "u" * 2000)])
def test_deadlines_fill_a_unit(count: int, url: str) -> None:
    core = burst(count, url=url)
    while core.engine._decide():
        pass
    unit = core.engine._unit
    assert unit.full
    assert unit.signals == MAX_SIGNALS or MAX_BYTES <= unit.bytes < MAX_BYTES + 5000
    assert len(armed(core)) == count - unit.signals > 0
    core.engine._seal()
    assert core.engine._decide()


def test_a_signal_waits_for_the_deadlines_before_it() -> None:
    """Its room's deadline is due, behind more deadlines than the unit has room for."""
    core = burst(300, partitions=1)
    source = core.tasks[0].merge.api
    value = signal_json(ConferenceVolume("v", "room-00299", NOW, 1, "volume"))
    source.fetched((Record(LATER, 0, b"room-00299", value, ()),), 1, 1)
    applied = []
    while core.engine._decide():
        applied.append((len(armed(core)), source.offset))
    assert (armed(core), source.offset) == ([], 1)
    assert all(offset == 0 for left, offset in applied if left)


async def test_the_first_unit_of_a_burst_waits_for_no_other() -> None:
    core = burst(5000)
    core.engine._enough = 4000  # as after a backlog
    sizes: list[int] = []
    commit = core.builder.commit

    async def counting(unit: object) -> None:
        sizes.append(len(armed(core)))
        core.engine._stopping = sizes[-1] == 0
        await commit(unit)  # type: ignore[arg-type]

    core.builder.commit = counting  # type: ignore[assignment,method-assign]
    await core.engine.run()
    assert len(sizes) > 2
    assert sizes[0] > 4000
