"""Two workers, joins, stops, kills and freezes: every partition continues, no event is lost, repeated or reordered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from testkit.pipe import Pipe
from tests.support.slowness import slowness

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


class Load:
    """Volume changes in one room per partition at a constant rate, and the times at which events were seen."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.sent = 0
        self.seen: dict[int, list[float]] = {number: [] for number in range(pipe.settings.partitions)}
        rooms: dict[int, str] = {}
        candidates = (f"room-{number}" for number in range(1000))
        while len(rooms) < pipe.settings.partitions:
            room = next(candidates)
            rooms.setdefault(pipe.partition(room), room)
        self.rooms = list(rooms.values())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.stopping = False
        send, read = asyncio.create_task(self._send()), asyncio.create_task(self._read())
        try:
            yield
        finally:
            self.stopping = True
            await send
            read.cancel()
            await asyncio.gather(read, return_exceptions=True)

    async def _send(self) -> None:
        topic = self.pipe.topic("api.signals")
        async with AIOKafkaProducer(**self.pipe.settings.kafka(), enable_idempotence=True) as producer:
            for room in self.rooms:
                create = s.ConferenceCreate("c", room, T, "app", "name")
                await producer.send_and_wait(topic, signal_json(create), room.encode())
            while not self.stopping:
                for room in self.rooms:
                    one = s.ConferenceVolume(f"v-{self.sent}", room, T, self.sent % 7, "volume")
                    await producer.send_and_wait(topic, signal_json(one), room.encode())
                    self.sent += 1
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        events = [TopicPartition(self.pipe.topic("events"), number) for number in self.seen]
        async with AIOKafkaConsumer(
            **self.pipe.settings.kafka(), isolation_level="read_committed", auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign(events)
            while True:
                for tp in await consumer.getmany(timeout_ms=100):
                    self.seen[tp.partition].append(time.monotonic())

    async def gaps(self, since: float, wait: float) -> list[float]:
        """Return the longest pause of each partition since `since`, after `wait` seconds."""
        await asyncio.sleep(wait)
        longest = []
        for times in self.seen.values():
            after = [since, *(moment for moment in times if moment >= since), time.monotonic()]
            longest.append(max(b - a for a, b in itertools.pairwise(after)))
        return longest

    async def check(self) -> None:
        """Check that everything sent was published, once and in order."""
        events = await self.pipe.until_events(self.sent + len(self.rooms))
        assert len(events) == self.sent + len(self.rooms)
        for room in self.rooms:
            mine = [event for event in events if event["room_id"] == room]
            assert [event["meta"]["sequence"] for event in mine] == list(range(1, len(mine) + 1))
            numbers = [int(event["meta"]["cause"].removeprefix("v-")) for event in mine[1:]]
            assert numbers == sorted(numbers)
            assert len(set(numbers)) == len(numbers)


async def test_partitions_continue_after_a_join_and_a_stop(pipe: Pipe) -> None:
    load = Load(pipe)
    with pipe.worker() as first:
        async with load.running():
            await asyncio.sleep(1)
            began = time.monotonic()
            with pipe.worker(ready=False) as second:  # waiting here would block the load
                await asyncio.to_thread(second.until_ready)
                joined = await load.gaps(began, 3)
                assert len(_assigned(second)) > 0
                began = time.monotonic()
                assert await asyncio.to_thread(second.stop) == 0
                left = await load.gaps(began, 4)
        assert max(joined) < 3.0, (joined, first.lines, second.lines)
        assert max(left) < 3.0, (left, first.lines)
        await load.check()
        assert first.returncode is None


def _assigned(worker: object) -> list[int]:
    log = worker.log  # type: ignore[attr-defined]
    return [line for line in log if line["msg"] == "partitions assigned"][-1]["partitions"]  # type: ignore[no-any-return]


async def test_a_killed_worker_loses_and_repeats_nothing(pipe: Pipe) -> None:
    load = Load(pipe)
    timeout = {"PIPELINE_SESSION_TIMEOUT_SECONDS": "6"}
    with pipe.worker(**timeout) as first, pipe.worker(**timeout) as second:
        async with load.running():
            await asyncio.sleep(2)
            began = time.monotonic()
            second.kill()
            gaps = await load.gaps(began, 10)
        assert max(gaps) < 6 + 3.0, (gaps, first.lines)
        await load.check()


async def test_a_frozen_worker_is_fenced_when_it_wakes(pipe: Pipe) -> None:
    load = Load(pipe)
    timeout = {"PIPELINE_SESSION_TIMEOUT_SECONDS": "6"}
    with pipe.worker(**timeout), pipe.worker(**timeout) as frozen:
        async with load.running():
            await asyncio.sleep(2)
            frozen.signal(signal.SIGSTOP)
            await asyncio.sleep(9)
            frozen.signal(signal.SIGCONT)
            code = await asyncio.to_thread(frozen.wait, 20)
            await asyncio.sleep(1)
        assert code == 3, frozen.lines
        assert "fenced" in frozen.log[-1]["msg"]
        # Either the group has expelled it, or the broker has ended its transaction: both errors name a remedy.
        assert "restart" in frozen.log[-1]["msg"]
        await load.check()


async def test_a_dead_owners_open_transaction_is_aborted_at_once(pipe: Pipe) -> None:
    """The next owner must not wait for the transaction timeout (60 s)."""
    with pipe.worker() as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
        assert worker.stop() == 0
    dead = await pipe.left_open(f"{pipe.prefix}-dead")
    with pipe.worker() as worker:
        line = worker.until_log("partitions assigned")
        assert line["seconds"] < min(2.0, 1.2 * slowness())
        assert worker.metric("pipeline_fenced_owners") == 1
        await pipe.send(s.ConferenceVolume("v", "room", T, 1, "volume"))
        events = await pipe.until_events(2)
    assert [event["meta"]["sequence"] for event in events] == [1, 2]
    with contextlib.suppress(Exception):
        await dead.abort_transaction()
    await dead.stop()
