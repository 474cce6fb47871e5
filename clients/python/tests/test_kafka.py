"""Consumer, producer, outcomes and rooms with a real broker, registry and worker."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2
from conference_events import AnyEvent, Gap, Registry, events, signals
from conference_events.kafka import EventConsumer, Outcomes, RoomsTable, SignalProducer

from tests.samples import joined, value

pytestmark = pytest.mark.broker


class Place:
    """The servers, and a new room."""

    def __init__(self) -> None:
        self.servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
        self.registry = Registry(os.environ["SCHEMA_REGISTRY_URL"])
        self.prefix = os.environ["PIPELINE_TOPIC_PREFIX"]
        self.room = f'räum-"{uuid.uuid4()}'

    def producer(self) -> SignalProducer:
        return SignalProducer(self.servers, prefix=self.prefix)

    def outcomes(self) -> Outcomes:
        return Outcomes(self.servers, self.registry, prefix=self.prefix)

    def consumer(self, group: str, prefix: str = "", **options: Any) -> EventConsumer:
        return EventConsumer(self.servers, self.registry, group, prefix=prefix or self.prefix, **options)

    def create(self) -> signals.ConferenceCreate:
        return signals.ConferenceCreate(room_id=self.room, app_id="app", name="Team")


@pytest.fixture
async def foreign(place: Place) -> AsyncIterator[str]:
    """The prefix of topics that no worker reads or writes."""
    prefix = f"x{uuid.uuid4().hex}"
    topics = [f"{prefix}.events", f"{prefix}.api.signals"]
    admin = AIOKafkaAdminClient(bootstrap_servers=place.servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in topics])
        yield prefix
        await admin.delete_topics(topics)
    finally:
        await admin.close()


@pytest.fixture
def place() -> Place:
    return Place()


async def test_outcomes_tell_what_became_of_each_signal(place: Place) -> None:
    room, session = place.room, uuid.uuid4().hex
    create = place.create()
    steps: list[tuple[signals.Signal, str, list[str], str]] = [
        (create, "events", ["created"], ""),
        (create, "no-op", [], "repeated"),
        (signals.ConferencePause(room_id=room), "rejected", [], "playback_inactive"),
        (signals.ConferenceJoin(room_id=room, session_uuid=session), "no-op", [], "join"),
        (
            signals.MemberJoined(room_id=room, session_uuid=session, caller_id="", muted=True),
            "events",
            ["member.joined", "member.muted"],
            "",
        ),
        (signals.ConferencePlay(room_id=room, urls=("https://x/a.wav",)), "events", ["play.started"], ""),
        (signals.ConferencePause(room_id=room), "events", ["play.paused"], ""),
        (signals.ConferenceDestroy(room_id=room), "events", ["play.stopped", "member.left", "destroyed"], ""),
    ]
    async with place.outcomes() as outcomes, place.producer() as producer:
        for signal, status, names, reason in steps:
            found = await outcomes.of(await producer.send(signal), timeout=30)
            told = [event.EVENT.removeprefix("conference.") for event in found.events]
            assert (found.status, told, found.reason) == (status, names, reason), signal
            assert all(event.meta.cause == signal.signal_id for event in found.events)


async def test_a_dead_letter_has_its_reason(place: Place) -> None:
    def wrong(key: bytes, every: list[int], _: list[int]) -> int:
        return (hash_of(key, len(every)) + 1) % len(every)

    producer = SignalProducer(place.servers, prefix=place.prefix, partitioner=wrong)
    async with place.outcomes() as outcomes, producer:
        found = await outcomes.of(await producer.send(place.create()), timeout=30)
    assert (found.status, found.events) == ("dead", ())
    assert "murmur2" in found.reason


def hash_of(key: bytes, partitions: int) -> int:
    """Return the partition that the pipeline expects."""
    number: int = murmur2(key) & 0x7FFFFFFF
    return number % partitions


async def test_an_outcome_that_never_comes_is_unknown(place: Place, foreign: str) -> None:
    async with place.outcomes() as outcomes, SignalProducer(place.servers, prefix=foreign) as producer:
        found = await outcomes.of(await producer.send(place.create()), timeout=0.5)
    assert found.status == "unknown"


async def read(consumer: EventConsumer, until: type[events.Event], room: str) -> list[AnyEvent]:
    found = []
    async for event in consumer:
        if event.room_id == room:
            found.append(event)
            if isinstance(event, until):
                break
    return found


async def fail_at(kind: type[events.Event], place: Place, group: str) -> None:
    async with place.consumer(group) as consumer:
        async for event in consumer:
            if event.room_id == place.room and isinstance(event, kind):
                raise RuntimeError("the work failed")


async def test_a_consumer_goes_on_after_the_work_that_was_done(place: Place) -> None:
    async with place.outcomes() as outcomes, place.producer() as producer:
        for signal in (
            place.create(),
            signals.ConferencePlay(room_id=place.room, urls=("https://x/a",)),
            signals.ConferenceDestroy(room_id=place.room),
        ):
            await outcomes.of(await producer.send(signal), timeout=30)
    group = f"g-{uuid.uuid4()}"
    with pytest.raises(RuntimeError, match="the work failed"):
        await fail_at(events.PlayStarted, place, group)
    async with place.consumer(group) as consumer:
        again = await read(consumer, events.Destroyed, place.room)
    assert [type(event) for event in again] == [events.PlayStarted, events.PlayStopped, events.Destroyed]
    assert consumer.gaps == 0


async def test_unknown_types_repeats_and_gaps_are_handled(place: Place, foreign: str) -> None:
    room = "r"
    async with place.consumer("other") as consumer:  # a real value gives the registry's id of the schema
        async for event in consumer:
            if isinstance(event, events.MemberJoined):
                assert consumer.record is not None
                number = int.from_bytes(consumer.record.value[1:5], "big")
                break
    async with AIOKafkaProducer(bootstrap_servers=place.servers) as producer:

        async def put(data: bytes, kind: str) -> None:
            await producer.send_and_wait(f"{foreign}.events", data, room.encode(), headers=[("ce_type", kind.encode())])

        await put(b"anything", "conference.renamed")
        for sequence in (1, 2, 2, 5, 6):
            await put(value(joined(sequence, room), number), "conference.member.joined")
    found: list[Gap] = []
    sequences = []
    async with place.consumer("g", foreign, on_gap=found.append) as consumer:
        async for event in consumer:
            sequences.append(event.meta.sequence)
            if event.meta.sequence == 6:
                break
    assert sequences == [1, 2, 5, 6]
    assert found == [Gap(room, 2, 5)]
    assert consumer.gaps == 1


async def test_a_second_consumer_takes_over_without_a_loss(place: Place) -> None:
    group, rooms = f"g-{uuid.uuid4()}", {f"{place.room}-{n}" for n in range(20)}
    seen: list[str] = []

    async def work(consumer: EventConsumer) -> None:
        async for event in consumer:
            seen.append(event.room_id)
            await asyncio.sleep(0)

    async with place.producer() as producer, place.consumer(group, commit_seconds=0.1) as first:
        tasks = [asyncio.create_task(work(first))]
        for number, room in enumerate(sorted(rooms)):
            await producer.send(signals.ConferenceCreate(room_id=room, app_id="app", name=""))
            if number == 10:
                second = place.consumer(group, commit_seconds=0.1)
                await second.__aenter__()
                tasks.append(asyncio.create_task(work(second)))
        async with asyncio.timeout(60):
            while not rooms <= set(seen):
                await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await second.__aexit__()
    assert first.gaps == second.gaps == 0


async def test_the_table_of_rooms_shows_what_exists_now(place: Place) -> None:
    room, session = place.room, uuid.uuid4().hex
    async with (
        place.outcomes() as outcomes,
        place.producer() as producer,
        RoomsTable(place.servers, place.registry, prefix=place.prefix) as table,
    ):

        async def send(signal: signals.Signal) -> None:
            assert (await outcomes.of(await producer.send(signal), timeout=30)).status == "events"

        await send(place.create())
        await send(signals.MemberJoined(room_id=room, session_uuid=session, caller_id="+1"))
        assert room in await table.update()
        state = table.rooms.get(room)
        assert state is not None
        assert state.room is not None
        assert (state.room.name, [each.caller_id for each in state.members]) == ("Team", ["+1"])
        assert await table.update() == set()
        await send(signals.ConferenceDestroy(room_id=room))
        assert room in await table.update()
        assert table.rooms.get(room) is None
