"""When a worker deletes the records of gone rooms (contract §2), without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from pipeline.core.decision import GONE_FOR
from pipeline.core.merge import GRACE, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import SECOND, Rules
from pipeline.metrics import Metrics
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.decoders import SignalDecoder
from pipeline.model.records import Gone
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.worker import barrier as barriers
from pipeline.worker.barrier import Barrier
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.task import PartitionTask, SignalReader
from pipeline.worker.unit import MAX_DELETED, Unit
from tests.support.worker import a_task

END = 100 * SECOND  # when the room "room" ended
OVER = END + GONE_FOR


@pytest.fixture
def signals(settings: Settings) -> SignalReader:
    return SignalReader(settings, SignalDecoder(), Metrics())


def a_unit() -> Unit:
    return Unit(OutputEncoder("conference", dict.fromkeys(SCHEMAS, 1)), "owner")


def gone_rooms(*rooms: str) -> PartitionTask:
    """A task whose rooms have ended one microsecond after the other."""
    partition = Partition(Rules())
    for n, room in enumerate(rooms):
        partition.restore_gone(room, Gone(room, END + n))
    partition.restored()
    return a_task(0, partition)


def deleted(unit: Unit) -> list[str]:
    return [room for output in unit._outputs.values() for room, gone in output.gone.items() if gone is None]


@pytest.mark.parametrize(
    ("api", "media", "expected"),
    [(OVER, OVER, ["room"]), (OVER - 1, OVER, []), (OVER, OVER - 1, []), (OVER + 1, OVER + 9, ["room", "next"])],
)
def test_records_are_deleted_when_both_topics_are_behind_the_barrier(
    api: int, media: int, expected: list[str], signals: SignalReader
) -> None:
    task, unit = gone_rooms("room", "next"), a_unit()
    task.merge.api.time, task.merge.media.time = api, media
    task.advance(unit, 100, signals)
    assert deleted(unit) == expected
    assert [room for room in ("room", "next") if room not in task.partition.gone] == expected


def test_an_unread_signal_still_finds_its_room_gone(signals: SignalReader) -> None:
    task, unit = gone_rooms("room"), a_unit()
    echo = s.MemberLeft("e", "room", END, "alice")
    media, api = task.merge.media, task.merge.api
    media.fetched([Record(OVER - 1, 0, b"room", signal_json(echo), b"")], 1, 1)
    media.topic = "conference.media.signals"
    api.time, api.end = OVER + SECOND, 0
    task.advance(unit, 100, signals)
    assert unit.counts["no_ops"] == {"room_gone": 1}
    assert deleted(unit) == []
    media.observe_end(OVER + GRACE, 1)
    task.advance(unit, 100, signals)
    assert deleted(unit) == ["room"]


def test_a_unit_deletes_some_and_the_next_goes_on(signals: SignalReader) -> None:
    task = gone_rooms(*(f"room-{n}" for n in range(2 * MAX_DELETED + 5)))
    task.merge.api.time = task.merge.media.time = OVER + SECOND
    counts = []
    while task.partition.gone:
        unit = a_unit()
        task.advance(unit, 100, signals)
        task.advance(unit, 100, signals)
        counts.append(len(deleted(unit)))
    assert counts == [MAX_DELETED, MAX_DELETED, 5]


async def test_an_idle_partition_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs one look-up of two ends, and nothing once the records are deleted."""
    monkeypatch.setattr(barriers, "GONE_SECONDS", 0.0)
    asked: list[set[TopicPartition]] = []

    class Ends:
        async def ends(self, inputs: dict[TopicPartition, Any]) -> dict[TopicPartition, int]:
            asked.append(set(inputs))
            return dict.fromkeys(inputs, 0)

    clock, woken, task = BrokerClock(), asyncio.Event(), gone_rooms("room")
    barrier = Barrier(Ends(), clock, {0: task}, woken.set, pytest.fail)  # type: ignore[arg-type]
    clock.observe((OVER + GRACE) // 1000 - 500)
    running = asyncio.create_task(barrier.run())
    await asyncio.sleep(0.3)
    assert asked == [], "the 60 s are not over"
    await asyncio.wait_for(woken.wait(), 5)
    assert asked == [{TopicPartition("api", 0), TopicPartition("media", 0)}]
    assert task.merge.reached(OVER)
    task.partition.delete_gone()
    await asyncio.sleep(0.5)
    running.cancel()
    assert len(asked) == 1


async def test_the_idle_look_is_rare() -> None:
    clock, task = BrokerClock(), gone_rooms("room")
    clock.observe((OVER + GRACE) // 1000 + 1000)
    barrier = Barrier(None, clock, {0: task}, pytest.fail, pytest.fail)  # type: ignore[arg-type]
    running = asyncio.create_task(barrier.run())
    await asyncio.sleep(0.7)
    running.cancel()
    assert barrier.lookups == 0
    assert barriers.GONE_SECONDS >= 5
