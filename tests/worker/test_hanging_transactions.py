"""Transactions that hang: complete for their coordinator, but without a marker in some logs. What was committed must
become visible, what was not must not, and nobody has to be called."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from pipeline.errors import FencedError
from pipeline.kafka.fenced_producer import FencedProducer
from pipeline.kafka.record_batch import batches, encode_row
from pipeline.model import signals as s
from pipeline.worker import transactions
from pipeline.worker.fencing import take
from pipeline.worker.transactions import SealedUnit, Transactions
from testkit.pipe import ROOT, Pipe, WorkerProcess
from testkit.servers import Servers

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")
FIRST = s.ConferenceVolume("v-1", "room", T, 1, "volume")
SECOND = s.ConferenceVolume("v-2", "room", T, 2, "volume")
ALL = ".events .rooms .signals.rejected .signals.dead"


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


class Loser(WorkerProcess):
    """The worker of tests/support/losing.py."""

    def __init__(self, pipe: Pipe, place: Path, name: str) -> None:
        self.place = place
        env = {**pipe.env, "PIPELINE_TRANSACTIONAL_ID": name, "LOSING": str(place)}
        command = [sys.executable, "-m", "tests.support.losing", "worker"]
        super().__init__(subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True))
        self.until_ready()


async def hang(pipe: Pipe, place: Path, lost: str = ALL) -> Loser:
    """A worker that has committed the creation of a room, and a change of its volume that nobody sees."""
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


async def goes_on(pipe: Pipe) -> None:
    """The room has all of its events, once and in their order, and the next one too."""
    await pipe.until_events(2)
    await pipe.send(SECOND)
    events = await pipe.until_events(3)
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3]


async def forget(transactional_id: str, pipe: Pipe) -> None:
    """Somebody takes the id, and the coordinator forgets how its last transaction was decided."""
    async with AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=transactional_id):
        pass


async def test_a_worker_that_lives_on_shows_what_it_committed(pipe: Pipe, tmp_path: Path) -> None:
    worker = await hang(pipe, tmp_path)
    await goes_on(pipe)
    assert worker.until_log("repeat a commit that left a transaction open")["partitions"]
    assert worker.stop() == 0


@pytest.mark.parametrize("name", ["loser", "other"])
async def test_who_comes_after_a_dead_worker_shows_what_that_committed(
    pipe: Pipe, tmp_path: Path, name: str
) -> None:
    (await hang(pipe, tmp_path)).kill()
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-{name}"):
        await goes_on(pipe)


@pytest.mark.parametrize("lost", [ALL, ".events", ".rooms"])
async def test_what_was_committed_outlives_the_next_transaction_of_its_worker(
    pipe: Pipe, tmp_path: Path, lost: str
) -> None:
    """An abort of the next one would end what is still open of the one before, and take it back."""
    worker = await hang(pipe, tmp_path, lost)
    (tmp_path / "die_before").touch()
    await pipe.send(SECOND)
    assert worker.wait() == -9
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        events = await pipe.until_events(3)
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3]


async def test_what_was_not_committed_is_said_once_by_who_comes_after(pipe: Pipe, tmp_path: Path) -> None:
    worker = Loser(pipe, tmp_path, f"{pipe.prefix}-loser")
    await pipe.send(CREATE)
    await pipe.until_events(1)
    (tmp_path / "lose").write_text(ALL)
    (tmp_path / "die").touch()
    await pipe.send(FIRST)
    assert worker.wait() == -9
    assert len(await pipe.records("events", committed=False)) == 2
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        await goes_on(pipe)


async def test_events_that_hang_alone_are_shown_too(pipe: Pipe, tmp_path: Path) -> None:
    """Nothing holds the table's log back, so nobody is waited for when it is loaded."""
    (await hang(pipe, tmp_path, ".events")).kill()
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other") as worker:
        await goes_on(pipe)
        assert worker.until_log("end what another worker left open")


async def test_where_nobody_knows_and_no_marker_was_written_it_is_committed(
    pipe: Pipe, tmp_path: Path
) -> None:
    (await hang(pipe, tmp_path)).kill()
    await forget(f"{pipe.prefix}-loser", pipe)
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other"):
        await goes_on(pipe)


async def test_where_nobody_knows_and_the_events_have_their_marker_nothing_is_guessed(
    pipe: Pipe, tmp_path: Path
) -> None:
    (await hang(pipe, tmp_path, ".rooms")).kill()
    await forget(f"{pipe.prefix}-loser", pipe)
    with pipe.worker(ready=False, PIPELINE_TRANSACTIONAL_ID=f"{pipe.prefix}-other") as worker:
        assert worker.wait(40) == 1
        assert "nobody knows any more whether it was committed: see docs/howto/runbook.md" in worker.lines[-1]


async def nothing_held() -> dict[TopicPartition, int]:
    return {}


async def nothing_hidden(_: Mapping[TopicPartition, int]) -> set[TopicPartition]:
    return set()


async def test_no_unit_follows_one_that_was_not_committed(pipe: Pipe) -> None:
    """It was decided from rooms that the failed one had changed; and by then the group may have taken us back, so that
    nothing at the broker would refuse it."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))

    writer = Transactions(pipe.settings, nothing_held, nothing_hidden)
    await writer.start()
    try:
        writer.join(7, "nobody")
        with pytest.raises(FencedError, match="has gone on without this worker"):
            await writer.write(
                [rooms], lambda: SealedUnit({rooms: batches([encode_row(b'"1"', b"1")])}, {api: 1})
            )
        writer.join(-1, "")
        with pytest.raises(FencedError, match="has gone on without this worker"):
            await writer.write(
                [rooms], lambda: SealedUnit({rooms: batches([encode_row(b'"2"', b"2")])}, {api: 2})
            )
        with pytest.raises(FencedError, match="has gone on without this worker"):
            await writer.repeat({rooms}, commit=True)
        assert await pipe.records("rooms") == []
    finally:
        await writer.stop()


async def test_a_repeated_commit_that_had_to_be_asked_twice_is_followed_by_a_new_producer(pipe: Pipe) -> None:
    """Asked late, it would end the transaction that follows in the middle: rows would be there without their events."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))
    hidden = iter([set[TopicPartition](), {rooms}, set[TopicPartition]()])

    async def look(_: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        return next(hidden)

    writer = Transactions(pipe.settings, nothing_held, look)
    await writer.start()
    try:
        await writer.write(
            [rooms], lambda: SealedUnit({rooms: batches([encode_row(b'"1"', b"1")])}, {api: 1})
        )
        first = writer.producer
        commit = first.commit_transaction

        async def unanswered() -> None:
            await commit()
            first._sender.client.lost = True

        first.commit_transaction = unanswered
        await writer.write(
            [rooms], lambda: SealedUnit({rooms: batches([encode_row(b'"2"', b"2")])}, {api: 2})
        )
        assert writer.producer is not first
        assert writer.renewed == 1
        [one, two] = await pipe.records("rooms")
        assert (one.value, two.value) == (b"1", b"2")
    finally:
        await writer.stop()


async def test_a_producer_that_had_to_ask_twice_when_it_took_the_id_is_replaced_like_any_other(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking the id may end what hangs, and that is a request that may come late as well (seed 433417007)."""
    rooms, api = (TopicPartition(pipe.topic(name), 0) for name in ("rooms", "api.signals"))
    taken: list[FencedProducer] = []

    async def with_two_that_ask_twice(*args: Any) -> FencedProducer:
        taken.append(await take(*args))
        taken[-1]._sender.client.lost = len(taken) < 3
        return taken[-1]

    monkeypatch.setattr(transactions, "take", with_two_that_ask_twice)
    writer = Transactions(pipe.settings, nothing_held, nothing_hidden)
    await writer.start()
    try:
        await writer.write(
            [rooms], lambda: SealedUnit({rooms: batches([encode_row(b'"1"', b"1")])}, {api: 1})
        )
        assert writer.producer is taken[2]
        assert writer.renewed == 2
        [one] = await pipe.records("rooms")
        assert one.value == b"1"
    finally:
        await writer.stop()
