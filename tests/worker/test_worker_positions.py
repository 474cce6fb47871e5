"""What keeps a worker in its place, without a broker: positions, shares, what stands still, what must not be written."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.cluster import ClusterMetadata
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.errors import FatalError, FencedError, LossError
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.worker import liveness, schemas
from pipeline.worker.app import topology
from pipeline.worker.engine import Engine
from pipeline.worker.faust_store import RoomsStore
from pipeline.worker.hanging_transactions import HangingTransactionMonitor
from pipeline.worker.recovery import Lane, Recovery
from pipeline.worker.transactions import BrokerClock, SealedUnit
from pipeline.worker.unit import OutputEncoder
from tests.worker.test_worker_parts import Book, nothing_held


def an_engine(settings: Settings, writer: Any) -> Engine:
    """One without lanes, that writes by `writer`."""
    names, signals = OutputEncoder("p", dict.fromkeys(SCHEMAS, 1)), SignalDecoder()
    learner = schemas.Learner(Book(), signals)  # type: ignore[arg-type]
    return Engine(settings, names, signals, learner, writer, Metrics())


async def test_a_rebalance_that_never_ends_ends_the_worker_unless_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "PATIENCE_SECONDS", 0.1)
    away = asyncio.Event()
    away.set()

    async def ask() -> None:
        if away.is_set():
            raise Errors.KafkaConnectionError("away")

    polls = itertools.count()
    lively = asyncio.create_task(
        liveness.end_when_silent(lambda: float(next(polls)), lambda: True, lambda: "")
    )
    idle = asyncio.create_task(liveness.end_when_silent(lambda: 0.0, lambda: False, lambda: ""))
    with pytest.raises(
        FatalError,
        match=r"polled nothing for 0 s, though it has partitions \(flow active False\): start again",
    ):
        await asyncio.wait_for(
            liveness.end_when_silent(lambda: 0.0, lambda: True, lambda: "flow active False"), 20
        )
    assert not lively.done()
    assert not idle.done()
    for task in (lively, idle):
        task.cancel()
    busy = asyncio.create_task(liveness.unstick(lambda: True, nothing_held))
    stands = asyncio.create_task(liveness.unstick(lambda: False, ask))
    await asyncio.sleep(0.4)
    assert not busy.done()
    assert not stands.done()
    away.clear()
    with pytest.raises(
        FatalError, match="no rebalance has ended for 0 s although Kafka answers: start again"
    ):
        await asyncio.wait_for(stands, 2)
    busy.cancel()


async def test_an_input_that_is_not_read_on_ends_the_worker_unless_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "DEAF_LOOK_SECONDS", 0.01)
    stands, moves, read_up = (TopicPartition("t", number) for number in range(3))
    away, steps = [True], itertools.count()

    async def ends(asked: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if away[0]:
            raise Errors.KafkaConnectionError("away")
        return dict.fromkeys(asked, 1 << 40) | {read_up: 7}

    sound = asyncio.create_task(
        liveness.end_when_deaf(lambda: {moves: next(steps), read_up: 7}, ends, lambda: "")
    )
    deaf = asyncio.create_task(liveness.end_when_deaf(lambda: {stands: 5, read_up: 7}, ends, lambda: "why"))
    await asyncio.sleep(0.3)
    assert not deaf.done()
    away[0] = False
    with pytest.raises(
        FatalError,
        match=r"nothing was read of t partition 0 for 0 s, though there is more \(why\): start again",
    ):
        await asyncio.wait_for(deaf, 20)
    await asyncio.sleep(0.1)
    assert not sound.done()
    sound.cancel()


def test_topics_that_the_leader_of_the_group_has_no_metadata_of_are_shared_out_all_the_same(
    settings: Settings,
) -> None:
    assignor = topology(settings, an_engine(settings, None), None).assignor  # type: ignore[arg-type]
    ours = [topic.full_name(settings.topic_prefix) for topic in (*topics.SIGNAL_TOPICS, topics.ROOMS)]
    members = {name: assignor.metadata(set(ours)) for name in ("one", "two")}
    shared = assignor.assign(ClusterMetadata(), members)
    got = [
        (topic, number) for one in shared.values() for topic, numbers in one.assignment for number in numbers
    ]
    assert sorted(got) == sorted((topic, number) for topic in ours for number in range(settings.partitions))


async def test_what_was_decided_behind_a_unit_that_failed_is_never_written(settings: Settings) -> None:
    """The next unit is decided while one is written, and a process that ends quiesces and stops its engine: it must not
    commit that one, in which the failed one is taken as done."""
    written: list[dict[TopicPartition, int]] = []
    answer = asyncio.Event()

    class Fenced:
        clock = BrokerClock()

        def join(self, generation: int, member_id: str) -> None:
            pass

        async def write(self, _: Any, close: Callable[[], SealedUnit]) -> None:
            written.append(close().offsets)
            await answer.wait()
            raise FencedError("fenced")

    engine = an_engine(settings, Fenced())
    engine.lanes = {0: Lane(0, Partition(Rules()), Merge(Input("a", 0, 0), Input("m", 0, 0)), "")}
    running = asyncio.create_task(engine.run())
    engine.resume(1, "me")
    engine.touch(0)
    while not written:
        await asyncio.sleep(0.01)
    engine.touch(0)
    while not engine._unit:
        await asyncio.sleep(0.01)
    answer.set()
    with pytest.raises(FencedError):
        await asyncio.wait_for(running, 10)
    for ending in (engine.quiesce, engine.stop):
        await asyncio.wait_for(ending(), 10)
    assert len(written) == 1


async def test_nobody_is_fenced_for_a_unit_that_takes_long() -> None:
    """Only what stands after a commit of ours took part in it can be somebody else's."""
    tp = TopicPartition("p.events", 0)
    fenced: list[str] = []
    included: list[set[TopicPartition]] = []
    ended: set[TopicPartition] = set()

    class Log:
        async def held(self, _: Any) -> dict[TopicPartition, int]:
            return {tp: 5}

        async def fence(self, owner: str) -> None:
            fenced.append(owner)

    lanes = {0: Lane(0, Partition(Rules()), Merge(Input("a", 0, 0), Input("m", 0, 0)), "before")}
    mender = HangingTransactionMonitor("own", Log(), lambda: lanes, included.append, lambda: ended)  # type: ignore[arg-type]
    for _ in range(4):
        await mender._look()
    assert (fenced, included) == ([], [set(), {tp}, {tp}, {tp}])
    ended = {tp}
    await mender._look()
    assert (fenced, included[-1]) == (["before"], set())


async def test_a_load_ends_before_the_next_one_begins() -> None:
    """Faust can call for a load twice in a row; two at once would each get a part of the log's records."""
    running, overlapped, ended = 0, False, 0
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        seconds = 0.0

        async def load(self, numbers: list[int]) -> dict[int, Lane]:
            nonlocal running, overlapped, ended
            overlapped |= running > 0
            running += 1
            began.set()
            try:
                await go_on.wait()
            finally:
                await asyncio.sleep(0.01)  # closing takes its time, too
                running -= 1
            ended += 1
            return {}

    store = RoomsStore.__new__(RoomsStore)
    store.recovery = Slow()  # type: ignore[assignment]
    store.__post_init__()
    loads = []
    for _ in range(3):
        began.clear()
        loads.append(asyncio.create_task(store.on_recovery_completed(set(), set())))
        await asyncio.wait_for(began.wait(), 10)
    go_on.set()
    done = await asyncio.gather(*loads, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in done] == [True, True, False]
    assert (overlapped, ended) == (False, 1)


def test_positions_that_do_not_fit_the_log(settings: Settings) -> None:
    tp = TopicPartition("conference.api.signals", 3)
    strict = Recovery(settings, Book())  # type: ignore[arg-type]
    assert strict._check(tp, 5, 2, 9) == 5
    with pytest.raises(FatalError, match="ends at offset 4, before our position 5"):
        strict._check(tp, 5, 0, 4)
    with pytest.raises(
        LossError, match=r"2 signals of conference\.api\.signals partition 3 were deleted unread"
    ):
        strict._check(tp, 5, 7, 9)
    assert Recovery(settings, Book(), accept_loss=True)._check(tp, 5, 7, 9) == 7  # type: ignore[arg-type]
