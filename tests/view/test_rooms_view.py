"""The view and the outcomes on a real broker, with real workers: they equal the independent model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.errors import ConfigError
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.records import Member, Position, Room, TopicPosition
from pipeline.model.row_keys import POSITION_KEY, encode_key
from pipeline.model.wire import ENCODERS
from pipeline.settings import Settings
from pipeline.view import Outcomes, Place, RoomsView, StaleViewError
from pipeline.view import rooms_view as module
from testkit import raw_batches as raw
from testkit.pipe import Pipe
from tests.support.topics import recreate
from tests.support.view import SECONDS, append, check_view, decided, expected, shown, timeless, watching

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
PATIENT = {"PIPELINE_WATCHDOG_SECONDS": "600"}
Value = TypeVar("Value")


async def soon(job: Awaitable[Value]) -> Value:
    async with asyncio.timeout(SECONDS):
        return await job


def create(room: str, signal_id: str = "c") -> dict[str, Any]:
    at = "2026-11-22T13:00:00Z"
    return {"type": "conference.create", "signal_id": signal_id, "room_id": room, "occurred_at": at, "app_id": "app",
            "name": "n"}  # fmt: skip


async def check(view: RoomsView, outcomes: Outcomes, signals: list[dict[str, Any]], places: list[Place]) -> None:
    """Compare all outcomes, and the view behind the last signals, with the model."""
    model, wanted = decided(signals)
    for place, one in zip(places, wanted, strict=True):
        if expected(one) is not None:
            assert shown(await soon(outcomes.outcome(place))) == expected(one)
    for place in {place[:2]: place for place in places}.values():
        await soon(view.caught_up(place))
    check_view(view, model)
    for place, one in zip(places, wanted, strict=True):
        if expected(one) is None:
            assert outcomes.get(place) is None


async def test_view_and_outcomes_equal_the_model(pipe: Pipe) -> None:
    signals = timeless(1, 300)
    async with watching(pipe.settings) as (view, outcomes):
        assert (view.stale, view.room_ids(), view.counts) == (False, [], (0, 0, 0))
        with pipe.worker():
            await check(view, outcomes, signals, await append(pipe.settings, signals))
    async with watching(pipe.settings, back=60.0) as (view, outcomes):
        await soon(outcomes.loaded())
        model, wanted = decided(signals)
        check_view(view, model)
        creates = [n for n, one in enumerate(wanted) if any("event" in each for each in one)]
        assert {n for n in creates if outcomes.find(signals[n]["signal_id"])} == set(creates)


async def test_a_killed_worker_and_a_rebalance_change_nothing(pipe: Pipe) -> None:
    signals = timeless(2, 240)
    third = len(signals) // 3
    async with watching(pipe.settings) as (view, outcomes):
        with pipe.worker(**PATIENT) as killed:
            places = await append(pipe.settings, signals[:third])
            killed.kill()
        with pipe.worker(**PATIENT):
            places += await append(pipe.settings, signals[third : 2 * third])
            with pipe.worker(**PATIENT) as second:
                places += await append(pipe.settings, signals[2 * third :])
                await check(view, outcomes, signals, places)
                assert second.stop() == 0


async def test_changes_name_the_rooms_that_changed(pipe: Pipe) -> None:
    async with watching(pipe.settings) as (view, _):
        found: set[str] = set()

        async def follow() -> None:
            async for rooms in view.changes():
                found.update(rooms)
                if found == {"a", "b"}:
                    return

        following = asyncio.create_task(follow())
        with pipe.worker():
            await append(pipe.settings, [create("a"), create("b")])
            await soon(following)
        assert [room.name for room in view.rooms(app="app")] == ["n", "n"]


# --- positions ---


class Writer:
    """Writes rows of the table in transactions, as a worker does."""

    def __init__(self, pipe: Pipe, name: str) -> None:
        self.pipe, self.number = pipe, pipe.partition("room")
        self.producer = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-{name}")

    async def start(self) -> None:
        async with Registry(self.pipe.settings) as registry:
            self.ids = await registry.schema_ids(self.pipe.prefix)
        await self.producer.start()

    async def put(self, key: bytes, row: Any) -> None:
        value = None if row is None else ENCODERS[type(row)](row, framing.head(self.ids[row.RECORD]))
        await self.producer.send_and_wait(self.pipe.topic("rooms"), value, key, partition=self.number)

    async def begin(self, offset: int) -> None:
        """Begin a transaction with its first row: the position `offset` on the API topic."""
        await self.producer.begin_transaction()
        position = TopicPosition(self.pipe.topic("api.signals"), self.number, offset, T)
        await self.put(POSITION_KEY, Position("owner", (position,)))

    async def room(self, name: str) -> None:
        await self.put(encode_key(("room", "room")), Room("room", "app", name))


async def test_caught_up_waits_for_all_that_followed_the_position(pipe: Pipe) -> None:
    """The position is the first row of its transaction, and a later one may be open."""
    first, second = Writer(pipe, "a"), Writer(pipe, "b")
    await asyncio.gather(first.start(), second.start())
    place = Place(pipe.topic("api.signals"), first.number, 4)
    async with RoomsView(pipe.settings) as view:
        await soon(view.loaded())
        waiting = asyncio.create_task(view.caught_up(place))
        await first.begin(4)
        await first.room("one")
        await first.producer.commit_transaction()
        await soon(view.read_end(first.number))
        await asyncio.sleep(0.3)
        assert not waiting.done()  # the position is the signal's own: it was not processed
        await second.begin(5)
        await second.room("two")
        await first.begin(5)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await second.producer.commit_transaction()
        await asyncio.sleep(0.5)
        assert not waiting.done()  # the transaction of `first` begins before the end that must be reached
        await first.producer.abort_transaction()
        await soon(waiting)
        room = view.room("room")
        assert room is not None
        assert room.name == "two"
        position = view.position(first.number)
        assert position is not None
        assert [one.offset for one in position.positions] == [5]
        await view.caught_up(place)  # known: no request
    await asyncio.gather(first.producer.stop(), second.producer.stop())


async def test_aborted_transactions_are_never_shown(pipe: Pipe) -> None:
    writer = Writer(pipe, "a")
    await writer.start()
    async with RoomsView(pipe.settings) as view:
        await soon(view.loaded())
        for n in range(3):
            await writer.begin(n)
            await writer.room("aborted")
            reading = asyncio.create_task(view.read_end(writer.number))
            await asyncio.sleep(0.2)
            assert not reading.done()
            await writer.producer.abort_transaction()
            await soon(reading)
            assert view.room("room") is None
        await writer.begin(3)
        await writer.room("committed")
        await writer.put(encode_key(("member", "room", "alice")), Member("room", "alice"))
        await writer.producer.commit_transaction()
        await soon(view.read_end(writer.number))
        assert [room.name for room in view.rooms()] == ["committed"]
        assert view.member_count("room") == 1
    await writer.producer.stop()


async def test_a_view_loads_while_a_transaction_is_open(pipe: Pipe) -> None:
    writer, other = Writer(pipe, "a"), Writer(pipe, "b")
    await asyncio.gather(writer.start(), other.start())
    await writer.begin(1)
    await writer.room("before")
    await writer.producer.commit_transaction()
    await other.begin(2)
    async with RoomsView(pipe.settings) as view:
        await soon(view.loaded())
        assert [room.name for room in view.rooms()] == ["before"]
    await other.producer.abort_transaction()
    await asyncio.gather(writer.producer.stop(), other.producer.stop())


# --- what has no outcome, and what has one for many ---


async def test_deleted_signals_have_no_outcome_and_later_ones_do(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await append(pipe.settings, [create("room")])
        await pipe.until_events(1)
        assert worker.stop() == 0
    volumes = [
        {"type": "conference.volume", "signal_id": f"v{n}", "room_id": "room", "occurred_at": "2026-11-22T13:00:00Z",
         "volume": n, "operation_id": "o"}
        for n in range(4)
    ]  # fmt: skip
    async with watching(pipe.settings) as (view, outcomes):
        places = await append(pipe.settings, volumes)
        admin = AIOKafkaAdminClient(**pipe.settings.kafka())
        await admin.start()
        await admin.delete_records({TopicPartition(*places[0][:2]): RecordsToDelete(places[2].offset)})
        await admin.close()
        with pipe.worker("--accept-loss"):
            last = await soon(outcomes.outcome(places[-1]))
            await soon(view.caught_up(places[0]))
        assert [event.meta.cause for event in last.events] == ["v3"]
        assert [outcomes.get(place) is None for place in places] == [True, True, False, False]


async def test_letter_of_a_broken_batch_answers_for_each_offset(pipe: Pipe) -> None:
    number = pipe.partition("room")
    topic = pipe.topic("api.signals")
    records = [raw.Record(b"room", b"{}", offset_delta=delta) for delta in (0, 5, 2)]
    broken = raw.batch(records)
    async with watching(pipe.settings) as (view, outcomes):
        with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
            answer = producer.send_all([(topic, number, broken)])[0]
        assert answer.stored
        places = [Place(topic, number, answer.base_offset + n) for n in range(2)]
        waiting = [asyncio.create_task(outcomes.outcome(place)) for place in places]
        with pipe.worker():
            found = await soon(asyncio.gather(*waiting))
            await soon(view.caught_up(places[-1]))
        assert {(one.kind, one.place.topic) for one in found} == {("dead", pipe.topic("signals.dead"))}
        assert all("can't be read" in one.reason for one in found)


# --- a view that is not current ---


async def test_a_view_that_is_loading_does_not_answer(pipe: Pipe) -> None:
    async with RoomsView(pipe.settings) as view:
        with pytest.raises(StaleViewError, match="still being read"):
            view.room_ids()
        assert view.stale
        await soon(view.loaded())
        assert (view.room_ids(), view.fraction, view.partitions) == ([], 1.0, pipe.settings.partitions)
    with pytest.raises(ConnectionError):
        await view.loaded()


async def test_changes_count_from_the_call_on(settings: Settings) -> None:
    view = RoomsView(settings)
    changes = view.changes()
    for subscriber in view._subscribers:
        subscriber.add({"r"})
    assert await soon(anext(changes)) == {"r"}


async def test_without_topics_the_view_says_what_to_do(pipe: Pipe) -> None:
    settings = pipe.settings.model_copy(update={"topic_prefix": "nothing"})
    for made in (RoomsView(settings), Outcomes(settings)):
        with pytest.raises(ConfigError, match=r"no topic nothing\..*conference-pipeline setup"):
            await made.__aenter__()


async def test_a_row_that_is_none_ends_the_view(pipe: Pipe) -> None:
    async with RoomsView(pipe.settings) as view:
        await soon(view.loaded())
        changes = view.changes()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            await producer.send_and_wait(pipe.topic("rooms"), b"junk", b'["room","r"]', partition=0)
        with pytest.raises(StaleViewError, match=r"has ended: partition 0, offset 0 is not a row"):
            await soon(waiting)
        with pytest.raises(StaleViewError, match="only workers may write"):
            view.room("r")


async def test_a_topic_that_was_made_anew_is_read_again(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOPIC_SECONDS", 0.5)
    notices: list[str] = []
    with pipe.worker() as worker:
        await append(pipe.settings, [create("old")])
        await pipe.until_events(1)
        assert worker.stop() == 0
    async with RoomsView(pipe.settings, notices.append) as view:
        await soon(view.loaded())
        assert view.room_ids() == ["old"]
        changes = view.changes()
        changed = asyncio.ensure_future(anext(changes))
        await recreate(pipe, "rooms")
        assert await soon(changed) == {"old"}
        assert view.room_ids() == []
    assert any("replaced" in notice or "from its beginning" in notice for notice in notices)


async def test_outcomes_go_on_after_their_topic_was_made_anew(pipe: Pipe) -> None:
    notices: list[str] = []
    places = [Place(pipe.topic("api.signals"), 0, n) for n in range(2)]

    async def letter(place: Place) -> None:
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            header = [("ce_signal", str(place).encode())]
            await producer.send_and_wait(pipe.topic("signals.dead"), b"x", b"r", 0, headers=header)

    async with Outcomes(pipe.settings, notice=notices.append) as outcomes:
        await letter(places[0])
        await soon(outcomes.outcome(places[0]))
        await recreate(pipe, "signals.dead")
        async with asyncio.timeout(SECONDS):
            while not any("deleted before they were read" in notice for notice in notices):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
        await letter(places[1])
        assert (await soon(outcomes.outcome(places[1]))).kind == "dead"


async def test_records_that_are_no_outcomes_are_reported_and_skipped(pipe: Pipe) -> None:
    notices: list[str] = []
    place = Place(pipe.topic("api.signals"), 0, 7)
    header = [("ce_signal", str(place).encode())]
    async with Outcomes(pipe.settings, partitions=[0], notice=notices.append) as outcomes:
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            await producer.send_and_wait(pipe.topic("events"), b"junk", b"r", 0, headers=header)
            await producer.send_and_wait(pipe.topic("signals.dead"), b"x", b"r", 0, headers=header)
        found = await soon(outcomes.outcome(place))
        assert found.kind == "dead"
    assert [notice.partition(": ")[2] for notice in notices] == [
        "no outcome: not in the registry's wire format: expected magic byte 0, found 0x6a; skipped"
    ]
    with pytest.raises(ConnectionError):
        await outcomes.outcome(Place("other", 0, 0))
