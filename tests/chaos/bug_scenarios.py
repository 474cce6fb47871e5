"""Short scenarios that lead through each seeded bug's place, without workers (tests/chaos/test_bugs.py).

A scenario returns a plain value that describes what happened; the bug changes it. Those that need Kafka run parts of a
worker in this process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from pipeline.admin.signal_loss import Log
from pipeline.core.merge import GRACE, CutRecord, Input, Merge, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.errors import PipelineError
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing, signal_ids
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.records import Gone, Room, TopicPosition
from pipeline.model.wire import encode_room
from pipeline.worker import takeover
from pipeline.worker.barrier import Barrier
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.faust_store import RoomsStore
from pipeline.worker.intake import Fetch, Poll
from pipeline.worker.process import Parts, Worker
from testkit.engine import Core, stream
from testkit.pipe import Pipe
from testkit.servers import Servers
from tests.support.state import as_tuple, table
from tests.support.worker import a_task
from tests.worker.test_unit import LIFE, unit_of, written

T = 1_795_354_386_106_600
SECOND = 1_000_000
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")


@dataclass
class Stage:
    """Where a scenario runs. `calls` counts the calls of the bug's functions; it stays empty without a bug."""

    find_servers: Callable[[], Servers]
    calls: Counter[str] = field(default_factory=Counter)

    async def pipe(self) -> Pipe:
        """Return topics of one partition on a real broker."""
        made = Pipe(self.find_servers(), partitions=1)
        await made.set_up()
        return made


Scenario = Callable[[Stage], Awaitable[Any]]


# --- without Kafka --------------------------------------------------------------------------------------------


async def paused_and_resumed(_: Stage) -> Any:
    """A playback is paused for a while, and paused again by a request that is sent twice."""
    partition = Partition(Rules())
    play = s.ConferencePlay("p", "room", T, ("https://x/y",), "op")
    pauses = [s.ConferencePause(signal_id, "room", T, "op") for signal_id in ("1", "2", "3", "3")]
    for seconds, signal in enumerate((CREATE, play, *pauses)):
        partition.apply(signal, T + seconds * SECOND)
    return partition.rooms["room"]


async def restored(_: Stage) -> Any:
    """A decoded room and one that is kept as a row get a signal that they remember, and one that makes an event."""
    partition = Partition(Rules())
    for room_id, encoded in (("a", False), ("b", True)):
        room = Room(
            room_id, app_id="app", sequence=7, playback_status="playing", operation_id="op", urls=("https://x/y",),
            deadline=T, recent=signal_ids.of(["v"]),
        )  # fmt: skip
        if encoded:
            partition.restore_row(room_id, encode_room(room, framing.head(1)))
        else:
            partition.restore_room(room_id, room)
    partition.restored()
    first, found = partition.next_timeout(), []
    for room_id in ("a", "b"):
        found.append(as_tuple(partition.apply(s.ConferenceVolume("v", room_id, T, 1, "op"), T - 1)))
        found.append(as_tuple(partition.apply(s.MemberJoined("j", room_id, T, "alice", "+1"), T - 1)))
    return first, found


async def a_deadline_before_the_barrier(_: Stage) -> Any:
    """A deadline is due by this machine's clock, but no log was read to its end."""
    core = Core(0)
    partition, engine = core.tasks[0].partition, core.engine
    room = Room("room", app_id="app", playback_status="playing", operation_id="op", urls=("https://x/y",), deadline=T)
    partition.restore_room("room", room)
    partition.restored()
    barrier = Barrier(None, core.builder.clock, engine.tasks, engine.wake, engine.request_broker_time)  # type: ignore[arg-type]
    running = [asyncio.create_task(run) for run in (engine.run(), barrier.run())]
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while partition.armed:
                await asyncio.sleep(0.01)
    await engine.stop()
    await running[0]
    running[1].cancel()
    return partition.armed


async def logs_with_an_open_transaction(_: Stage) -> Any:
    """A deadline waits for logs that end behind their last stable offsets."""

    class Ends:
        async def ends(self, asked: Any) -> Any:
            return dict.fromkeys(asked, 9)

        async def stable(self, asked: Any) -> Any:
            return dict.fromkeys(asked, 3)

    clock, woken, partition = BrokerClock(), asyncio.Event(), Partition(Rules())
    room = Room("room", app_id="app", playback_status="playing", operation_id="op", deadline=SECOND)
    partition.restore_room("room", room)
    partition.restored()
    task = a_task(0, partition)
    clock.observe(1_300)
    barrier = Barrier(Ends(), clock, {0: task}, woken.set, print)  # type: ignore[arg-type]
    running = asyncio.create_task(barrier.run())
    await asyncio.wait_for(woken.wait(), 10)
    running.cancel()
    return [source.probe and source.probe[1] for source in task.merge.inputs]


async def a_rebalance(_: Stage) -> Any:
    """Some signals were applied and more are queued. Return where the inputs continue."""
    core = Core(5, 3)
    for number, topic, record in stream(core, 60, 5, 3):
        source: Input = getattr(core.tasks[number].merge, topic)
        source.fetched((record,), record.offset + 1, record.offset + 1)
        if source.offset < 10:
            source.applied(record, record.time)
    core.engine.intake.close()  # nothing is decided any more
    await core.engine.quiesce()
    core.engine.intake.open(2)
    return [(source.offset, source.position) for source in core.engine.intake.inputs()]


async def a_dropped_fetch(_: Stage) -> Any:
    """A fetch does not begin where the one before ended."""
    core = Core(0)
    intake = core.engine.intake
    source = core.tasks[0].merge.api
    tp = TP(source.topic, 0)
    record = Record(T, 5, b"room", signal_json(CREATE), ())
    intake.receive(Poll(1, [Fetch(tp, [record], 5, 6, 6)]))
    return intake.missed(), source.position


async def a_member_out_of_the_group(_: Stage) -> Any:
    """The group went on for generations without this worker."""

    async def ends(numbers: Any) -> Any:
        return dict.fromkeys(numbers, 0)

    store: Any = RoomsStore.__new__(RoomsStore)
    held = {0: a_task(0)}
    store.app = SimpleNamespace(
        engine=SimpleNamespace(tasks=held),
        recovery=SimpleNamespace(table_ends=ends),
        consumer=SimpleNamespace(expelled=True),
        assignor=SimpleNamespace(assigned_actives=lambda: {TP("rooms", 0)}),
    )
    store.table = SimpleNamespace(changelog_topic=SimpleNamespace(get_topic_name=lambda: "rooms"))
    store.__post_init__()
    store._generation = 1
    await store.on_rebalance(set(), set(), set(), 5)
    return sorted(held), sorted(store._suspect)


async def a_destroyed_room(_: Stage) -> Any:
    """A room with a member is created and destroyed."""
    return [value is None for value, _ in written(unit_of((), *LIFE), "rooms")]


async def lives(_: Stage) -> Any:
    """A room that ends begins again, with repeated and late signals. Return all decisions and the rows of the table."""
    partition, found = Partition(Rules()), list[Any]()
    file, other = "https://x/1", "https://x/2"
    signals: list[s.AnySignal] = [
        CREATE,
        s.ConferencePlay("p1", "room", T, (file, other), "op1"),
        s.ConferencePlay("rejected", "room", T, (file,), "op2"),
        s.ConferenceStop("stop", "room", T, "op3"),
        s.ConferencePlay("rejected", "room", T, (file,), "op2"),
        s.ConferencePlay("p2", "room", T, (other,), "op4"),
        s.PlayFinished("f1", "room", T, file),
        s.PlayFinished("f2", "room", T, other, "op4"),
        s.PlayFinished("f2 again", "room", T, other, "op4"),
        s.ConferenceDestroy("destroy", "room", T),
        s.MemberLeft("left", "room", T, "alice"),
        s.ConferenceCreate("c2", "room", T, "app", "name"),
        s.ConferenceDestroy("destroy", "room", T),
    ]
    for number, signal in enumerate(signals):
        found.append(as_tuple(partition.apply(signal, T + number * 100)))
    return found, table(partition)


async def a_gone_room(_: Stage) -> Any:
    """A gone room is restored, and the engine reports the end of a member."""
    partition = Partition(Rules())
    partition.restore_gone("room", Gone("room", T, signal_ids.of(["destroy"])))
    partition.restored()
    return as_tuple(partition.apply(s.MemberLeft("left", "room", T, "alice"), T + SECOND)), partition.gone_until


async def a_no_op(_: Stage) -> Any:
    """A room is created, and the request is repeated."""
    return len(written(unit_of((), CREATE, CREATE), "signals.noops"))


async def a_broken_batch(_: Stage) -> Any:
    """A batch of three records that can't be read is applied."""
    source = Input("api", 0, 4)
    letter = CutRecord(T, 4, None, b"", (), "broken", 6, is_batch=True)
    source.fetched((letter,), 7, 7)
    source.applied(letter, 0)
    return source.offset


async def a_topic_created_again(_: Stage) -> Any:
    """The position is that of a topic with another id."""
    tp = TopicPartition("api", 0)
    known, log = TopicPosition("api", 0, 2, T, "before"), Log("now", 0, 9)
    return takeover.places({tp: known}, {tp: log}, accept_loss=True)


async def a_head_on_one_topic(_: Stage) -> Any:
    """An API signal is queued, and it is not known what the other topic has."""
    api, media = Input("api", 0, 0), Input("media", 0, 0)
    api.fetched((Record(T, 0, b"room", b"{}", ()),), 1, 1)
    return Merge(api, media).next() is api


async def an_end_read_early(_: Stage) -> Any:
    """The end of the log was read just before a deadline and the grace after it."""
    source = Input("api", 0, 0)
    source.observe_end(T + GRACE - 1, 0)
    return source.reached(T)


# --- with Kafka -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def worker_parts(pipe: Pipe) -> AsyncIterator[Parts]:
    """The parts of a worker, connected, without its group membership and its loops."""
    async with Registry(pipe.settings) as registry:
        parts = await Worker(pipe.settings)._build(registry, await registry.schema_ids(pipe.prefix))
        try:
            await parts.offsets.start()
            await parts.transactions.start()
            yield parts
        finally:
            await parts.transactions.stop()
            await parts.offsets.stop()


async def write_a_unit(pipe: Pipe, parts: Parts, generation: int, member: str) -> list[str]:
    """Write a unit with an event and a rejected signal. Return the order of acknowledgements and offsets."""
    order, engine, producer = list[str](), parts.engine, parts.transactions.producer
    observe, send_offsets = parts.transactions.clock.observe, producer.send_offsets_to_transaction

    def observed(timestamp: int) -> None:
        order.append("acknowledged")
        observe(timestamp)

    async def sending(*offsets: Any) -> None:
        order.append("offsets")
        await send_offsets(*offsets)

    parts.transactions.clock.observe = observed  # type: ignore[method-assign]
    producer.send_offsets_to_transaction = sending
    await pipe.send(CREATE, s.ConferenceCreate("d", "room", T, "app", "again"))
    engine.tasks.update(await parts.recovery.load([0]))
    engine.resume(generation, member)
    api, media = engine.tasks[0].merge.inputs
    records = [
        Record(r.timestamp * 1000, r.offset, r.key, r.value, tuple(r.headers))
        for r in await pipe.records("api.signals")
    ]
    api.fetched(records, len(records), len(records))
    media.fetched((), 0, 0)
    while engine._decide():
        pass
    await engine._flush()
    if engine._writing is not None:
        engine._writing.result()
    return order


async def a_unit(stage: Stage, generation: int = -1, member: str = "", *, unsure: bool = False) -> Any:
    """A unit is written; with `unsure`, after a request of the producer that was not answered."""
    pipe = await stage.pipe()
    rejected = TopicPartition(pipe.topic("signals.rejected"), 0)
    async with worker_parts(pipe) as parts:
        parts.transactions.producer._sender.client.lost = unsure
        try:
            order = await write_a_unit(pipe, parts, generation, member)
        except PipelineError as error:
            return type(error).__name__
        end = (await parts.offsets.ends([rejected]))[rejected]
    return order, end, parts.transactions.renewed


async def a_death(stage: Stage) -> Any:
    """A worker died within a unit, after another one had committed one. Return how many were fenced by the recovery."""
    pipe = await stage.pipe()
    owners: list[AIOKafkaProducer] = [await pipe.left_open(f"{pipe.prefix}-alive")]
    await owners[0].commit_transaction()
    owners.append(await pipe.left_open(f"{pipe.prefix}-dead"))
    try:
        async with worker_parts(pipe) as parts, asyncio.timeout(60):
            loading = asyncio.create_task(parts.recovery.load([0]))
            while not loading.done() and stage.calls.total() < 4:  # a recovery with the bug waits for ever
                await asyncio.sleep(0.02)
            done = loading.done()
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            return done, parts.ender.fenced
    finally:
        for owner in owners:
            with suppress(Exception):  # one was fenced
                await owner.stop()


async def other_offsets(stage: Stage) -> Any:
    """The group's offsets are not the positions in the table."""
    pipe = await stage.pipe()
    api = TopicPartition(pipe.topic("api.signals"), 0)
    async with worker_parts(pipe) as parts:
        await write_a_unit(pipe, parts, -1, "")
        producer = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-other")
        async with producer, producer.transaction():
            await producer.send_offsets_to_transaction({api: 0}, pipe.settings.group_id)
        tasks = await parts.recovery.load([0])
        return [source.offset for source in tasks[0].merge.inputs]


SCENARIOS: dict[str, Scenario] = {
    "offsets_before_records": a_unit,
    "no_generation_fence": partial(a_unit, generation=5, member="nobody"),
    "no_owner_fence": a_death,
    "fence_last_committed_owner": a_death,
    "recovery_to_stable_offset": a_death,
    "positions_of_the_group": other_offsets,
    "no_new_producer": partial(a_unit, unsure=True),
    "watchdog_by_wall_clock": a_deadline_before_the_barrier,
    "barrier_at_stable_offset": logs_with_an_open_transaction,
    "deadline_new_after_pause": paused_and_resumed,
    "toggle_without_memory": paused_and_resumed,
    "redelivery_after_rebalance": a_rebalance,
    "sequence_anew_after_restore": restored,
    "recent_not_restored": restored,
    "deadlines_not_restored": restored,
    "batch_dropped": a_dropped_fetch,
    "queue_lost_on_rebalance": a_rebalance,
    "stale_table": a_member_out_of_the_group,
    "tombstone_lost": a_destroyed_room,
    "rejected_outside_the_transaction": a_unit,
    "merge_without_waiting": a_head_on_one_topic,
    "no_grace": an_end_read_early,
    "gone_not_remembered": lives,
    "gone_not_restored": a_gone_room,
    "gone_deleted_early": a_gone_room,
    "signal_ids_of_one_life": lives,
    "ended_forgotten_at_play": lives,
    "ended_only_by_a_stop": lives,
    "rejected_not_remembered": lives,
    "no_op_record_missing": a_no_op,
    "broken_batch_of_one_offset": a_broken_batch,
    "topic_id_not_compared": a_topic_created_again,
}
