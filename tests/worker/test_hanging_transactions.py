"""Transactions that hang: complete for their coordinator, without a marker in some logs.

What was committed must become visible, what was not must not, without an operator.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from pipeline.errors import FencedError
from pipeline.kafka.fenced_producer import FencedProducer
from pipeline.kafka.record_batch import batches, encode_row
from pipeline.model import signals as s
from pipeline.worker import transactions
from pipeline.worker.fencing import acquire
from pipeline.worker.transactions import SealedUnit, Transactions
from testkit.fork_server import ForkServer
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import Servers
from tests.support.worker import NothingOpen

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")
FIRST = s.ConferenceVolume("v-1", "room", T, 1, "volume")
SECOND = s.ConferenceVolume("v-2", "room", T, 2, "volume")
ALL = ".events .rooms .signals.rejected .signals.noops .signals.dead"


def verify_partitions(servers: Servers, wanted: str) -> None:
    """Whether the broker asks the coordinator if a partition belongs to a transaction (KIP-890)."""
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    entry = ConfigEntry(
        "transaction.partition.verification.enable", wanted, incremental_operation=AlterConfigOpType.SET
    )
    for broker in admin.list_topics(timeout=10).brokers:
        resource = ConfigResource(ConfigResource.Type.BROKER, str(broker), incremental_configs=[entry])
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(10)


@pytest.fixture(scope="module", autouse=True)
def unverified(servers: Servers) -> Iterator[None]:
    verify_partitions(servers, "false")
    yield
    verify_partitions(servers, "true")


@functools.cache
def losers() -> ForkServer:
    server = ForkServer("tests.support.losing:lose_markers")
    atexit.register(server.stop)
    return server


class Loser(WorkerProcess):
    """The worker of tests/support/losing.py."""

    def __init__(self, pipe: Pipe, place: Path, name: str) -> None:
        self.place = place
        env = {**pipe.env, "PIPELINE_TRANSACTIONAL_ID": name, "LOSING": str(place)}
        super().__init__(losers().spawn(env))
        self.until_ready()


async def hang(pipe: Pipe, place: Path, lost: str = ALL) -> Loser:
    """Return a worker that has committed a room's creation, and a change of its volume that stays invisible."""
    worker = Loser(pipe, place, f"{pipe.prefix}-loser")
    await pipe.send(CREATE)
    await pipe.until_events(1)
    (place / "lose").write_text(lost)
    await pipe.send(FIRST)
    limit = time.monotonic() + 20
    while worker.metric('pipeline_signals_total{type="conference.volume"}') == 0:
        assert time.monotonic() < limit, worker.lines
        await asyncio.sleep(0.05)
    (place / "lose").unlink()
    assert len(await pipe.events()) == 1 + (".events" not in lost)
    return worker


async def continues(pipe: Pipe) -> None:
    """Check that the room has all of its events, once and in order, and the next one too."""
    await pipe.until_events(2)
    await pipe.send(SECOND)
    events = await pipe.until_events(3)
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3]


async def forget(transactional_id: str, pipe: Pipe) -> None:
    """Acquire the id, so that the coordinator forgets the outcome of its last transaction."""
    async with AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=transactional_id):
        pass


async def test_a_live_worker_repeats_its_lost_commit(pipe: Pipe, tmp_path: Path) -> None:
    worker = await hang(pipe, tmp_path)
    await continues(pipe)
    assert worker.until_log("repeat a commit that left a transaction open")["partitions"]
    assert worker.stop() == 0


@pytest.mark.parametrize("name", ["loser", "other"])
async def test_the_next_worker_repeats_a_lost_commit(pipe: Pipe, tmp_path: Path, name: str) -> None:
    (await hang(pipe, tmp_path)).kill()
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-{name}"):
        await continues(pipe)


@pytest.mark.parametrize("lost", [ALL, ".events", ".rooms"])
async def test_an_aborted_transaction_does_not_undo_the_one_before(pipe: Pipe, tmp_path: Path, lost: str) -> None:
    """Its abort markers would end what is still open of the one before."""
    worker = await hang(pipe, tmp_path, lost)
    (tmp_path / "die_before").touch()
    await pipe.send(SECOND)
    assert worker.wait() == -9
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        events = await pipe.until_events(3)
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3]


async def test_an_uncommitted_unit_is_published_once_by_the_next_worker(pipe: Pipe, tmp_path: Path) -> None:
    worker = Loser(pipe, tmp_path, f"{pipe.prefix}-loser")
    await pipe.send(CREATE)
    await pipe.until_events(1)
    (tmp_path / "lose").write_text(ALL)
    (tmp_path / "die").touch()
    await pipe.send(FIRST)
    assert worker.wait() == -9
    assert len(await pipe.records("events", committed=False)) == 2
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        await continues(pipe)


async def test_events_that_hang_alone_become_visible(pipe: Pipe, tmp_path: Path) -> None:
    """Nothing blocks the table's log, so loading it does not find the transaction."""
    (await hang(pipe, tmp_path, ".events")).kill()
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other") as worker:
        await continues(pipe)
        assert worker.until_log("end what another worker left open")


async def test_a_lost_outcome_without_any_marker_is_committed(pipe: Pipe, tmp_path: Path) -> None:
    (await hang(pipe, tmp_path)).kill()
    await forget(f"{pipe.prefix}-loser", pipe)
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        await continues(pipe)


async def test_a_lost_outcome_with_a_marker_needs_an_operator(pipe: Pipe, tmp_path: Path) -> None:
    (await hang(pipe, tmp_path, ".rooms")).kill()
    await forget(f"{pipe.prefix}-loser", pipe)
    with pipe.worker(ready=False, PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other") as worker:
        assert worker.wait(40) == 1
        assert "and its outcome is unknown: see docs/howto/runbook.md" in worker.lines[-1]


LEAVES_OPEN = """
import asyncio, os, signal, sys
from aiokafka import AIOKafkaProducer

async def main(servers, name, topic, partition):
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=name, transaction_timeout_ms=60_000)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"x", b"room", partition=int(partition))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def leave_open(pipe: Pipe, name: str, topic: str, partition: int = 0) -> None:
    """Kill a producer with an open transaction that wrote one record to this partition and no position."""
    place = [pipe.settings.bootstrap_servers, name, pipe.topic(topic), str(partition)]
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", LEAVES_OPEN, *place)
    assert await done.wait() == -9


async def open_in(pipe: Pipe, topic: str, partition: int = 0) -> bool:
    """Whether a transaction is open there."""
    tp = TopicPartition(pipe.topic(topic), partition)
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        async with AIOKafkaConsumer(**pipe.settings.kafka(), isolation_level=level) as reader:
            ends.append((await reader.end_offsets([tp]))[tp])
    return ends[0] < ends[1]


async def until_ended(pipe: Pipe, topic: str, partition: int = 0) -> None:
    limit = time.monotonic() + 40  # it takes 6 s; the transaction timeout is 60 s
    while await open_in(pipe, topic, partition):
        assert time.monotonic() < limit, "the transaction is still open"
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("topic", ["signals.rejected", "events"])
async def test_a_transaction_without_its_position_is_ended(pipe: Pipe, topic: str) -> None:
    """Its position record did not reach the table, which may be on another broker (seed 259269924)."""
    await leave_open(pipe, f"{pipe.settings.group_id}-dead", topic)
    assert await open_in(pipe, topic)
    with pipe.worker() as worker:
        await until_ended(pipe, topic)
        assert worker.until_log("end what another worker left open")["transactional_id"].endswith("-dead")
        assert worker.metric("pipeline_fenced_owners") == 1
        assert worker.stop() == 0


async def test_the_healthy_last_owner_is_not_fenced(pipe: Pipe) -> None:
    """It committed the last position of the partition. The open transaction is of another worker."""
    healthy = await pipe.left_open(f"{pipe.settings.group_id}-healthy")
    await healthy.commit_transaction()
    number = pipe.partition("room")
    await leave_open(pipe, f"{pipe.settings.group_id}-dead", "events", number)
    with pipe.worker() as worker:
        await until_ended(pipe, "events", number)
        assert worker.metric("pipeline_fenced_owners") == 1
    async with healthy.transaction():
        await healthy.send_and_wait(pipe.topic("signals.dead"), b"x", partition=number)
    await healthy.stop()


async def test_the_transaction_of_no_worker_is_left_open(pipe: Pipe) -> None:
    foreign = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-somebody")
    await foreign.start()
    await foreign.begin_transaction()
    await foreign.send_and_wait(pipe.topic("events"), b"x", b"room", partition=0)
    with pipe.worker() as worker:
        line = worker.until_log("leave a transaction open that is not of a worker")
        await asyncio.sleep(5)
        assert (line["transactional_id"], line["partition"]) == (f"{pipe.prefix}-somebody", 0)
        assert sum("leave a transaction open" in one["msg"] for one in worker.log) == 1
        assert worker.metric("pipeline_fenced_owners") == 0
        await foreign.commit_transaction()
        assert worker.stop() == 0
    await foreign.stop()


async def write(writer: Transactions, rooms: TopicPartition, api: TopicPartition, number: int) -> None:
    """Write a unit with one row and one offset, both `number`."""
    row = encode_row(b'"%d"' % number, b"%d" % number)
    await writer.begin([rooms])
    await writer.commit(SealedUnit({rooms: batches([row])}, {api: number}))


async def test_no_unit_follows_one_that_failed(pipe: Pipe) -> None:
    """It was decided from rooms that the failed one had changed. The worker may have rejoined the group by then, so the
    broker would not refuse it."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))

    writer = Transactions(pipe.settings, NothingOpen())  # type: ignore[arg-type]
    await writer.start()
    try:
        writer.join(7, "nobody")
        with pytest.raises(FencedError, match="continued without this worker"):
            await write(writer, rooms, api, 1)
        writer.join(-1, "")
        with pytest.raises(FencedError, match="continued without this worker"):
            await write(writer, rooms, api, 2)
        with pytest.raises(FencedError, match="continued without this worker"):
            await writer.repeat_outcome({rooms}, commit=True)
        assert await pipe.records("rooms") == []
    finally:
        await writer.stop()


async def test_an_unanswered_repeated_commit_renews_the_producer(pipe: Pipe) -> None:
    """If it arrived late, it would end the next transaction in the middle: rows without their events."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))
    invisible = iter([set[TopicPartition](), {rooms}, set[TopicPartition]()])

    class Invisible(NothingOpen):
        async def not_visible(self, offsets: Mapping[TopicPartition, int]) -> set[TopicPartition]:
            return next(invisible)

    writer = Transactions(pipe.settings, Invisible())  # type: ignore[arg-type]
    await writer.start()
    try:
        await write(writer, rooms, api, 1)
        first = writer.producer
        commit = first.commit_transaction

        async def unanswered() -> None:
            await commit()
            first._sender.client.lost = True

        first.commit_transaction = unanswered
        await write(writer, rooms, api, 2)
        assert writer.producer is not first
        assert writer.renewed == 1
        [one, two] = await pipe.records("rooms")
        assert (one.value, two.value) == (b"1", b"2")
    finally:
        await writer.stop()


async def test_an_unanswered_acquisition_renews_the_producer(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acquiring the id may end what hangs, by a request that may arrive late too (seed 433417007)."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))
    taken: list[FencedProducer] = []

    async def unanswered_twice(*args: Any) -> FencedProducer:
        taken.append(await acquire(*args))
        taken[-1]._sender.client.lost = len(taken) < 3
        return taken[-1]

    monkeypatch.setattr(transactions, "acquire", unanswered_twice)
    writer = Transactions(pipe.settings, NothingOpen())  # type: ignore[arg-type]
    await writer.start()
    try:
        await write(writer, rooms, api, 1)
        assert writer.producer is taken[2]
        assert writer.renewed == 2
        [one] = await pipe.records("rooms")
        assert one.value == b"1"
    finally:
        await writer.stop()
