"""The parts of the worker that need no broker to be wrong: errors, exit codes, the clock, the probes."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.client import ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.merge import Input, Merge
from pipeline.metrics import Metrics
from pipeline.partition import Partition
from pipeline.records import Member, Room
from pipeline.rules import Rules
from pipeline.settings import Settings, load
from pipeline.signal_decoder import SignalDecoder, UnknownSchemaError
from pipeline.wire import ENCODERS, SCHEMAS
from pipeline.worker import run, schemas, stuck
from pipeline.worker.app import topology
from pipeline.worker.engine import Engine
from pipeline.worker.hanging import Mender
from pipeline.worker.offsets import _Witness
from pipeline.worker.recovery import Lane, Recovery
from pipeline.worker.store import RoomsStore
from pipeline.worker.transaction import BrokerClock, Closed, Transactions, fatal
from pipeline.worker.unit import Names
from pipeline.worker.watch import Watch
from pipeline.worker.web import Web


@pytest.fixture
def settings() -> Settings:
    return load(bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", group_id="g")


class Book:
    """Schemas by id, in the place of a registry that knows them."""

    def __init__(self, **texts: str) -> None:
        self.texts = {int(key[1:]): text for key, text in texts.items()}
        self.asked: list[int] = []

    async def schema(self, schema_id: int) -> str | None:
        self.asked.append(schema_id)
        return self.texts.get(schema_id)


def an_engine(settings: Settings, writer: Any) -> Engine:
    """One without lanes, that writes by `writer`."""
    names, signals = Names("p", dict.fromkeys(SCHEMAS, 1)), SignalDecoder()
    learner = schemas.Learner(Book(), signals)  # type: ignore[arg-type]
    return Engine(settings, names, signals, learner, writer, Metrics())


async def nothing_held() -> dict[TopicPartition, int]:
    return {}


async def nothing_hidden(_: Mapping[TopicPartition, int]) -> set[TopicPartition]:
    return set()


# --- errors and exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (Errors.ProducerFenced(), FencedError, "PIPELINE_TRANSACTIONAL_ID"),
        (Errors.InvalidProducerEpoch(), FencedError, "PIPELINE_TRANSACTIONAL_ID"),
        (Errors.UnknownMemberIdError(), FencedError, "has gone on without this worker"),
        (Errors.IllegalGenerationError(), FencedError, "start again"),
        (Errors.TopicAuthorizationFailedError("x"), DeniedError, "x: see docs/security.md"),
        (
            Errors.TransactionalIdAuthorizationFailed("x"),
            DeniedError,
            "lacks Write on every transactional id that begins with",
        ),
        (Errors.InvalidTransactionTimeout(), ConfigError, "raise its transaction.max.timeout.ms"),
        (Errors.KafkaTimeoutError(), FatalError, "nothing of the unit was committed: start again"),
    ],
)
def test_kafka_errors_name_the_remedy(
    settings: Settings, error: Exception, kind: type[FatalError], text: str
) -> None:
    found = fatal(error, settings)
    assert type(found) is kind
    assert text in str(found)
    assert "\n" not in str(found)
    wrapped = Errors.KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = error
    assert type(fatal(wrapped, settings)) is kind


def test_exit_codes() -> None:
    errors: list[PipelineError] = [FatalError(), ConfigError(), DeniedError(), FencedError(), LossError()]
    assert [run.exit_code(error) for error in errors] == [1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (FencedError("taken"), FencedError, "taken"),
        (Errors.OffsetOutOfRangeError({TopicPartition("t", 3): 7}), LossError, "deleted unread"),
        (RuntimeError("boom"), FatalError, "Faust crashed: RuntimeError('boom')"),
        (Errors.GroupAuthorizationFailedError("g"), DeniedError, "not authorised: "),
    ],
)
async def test_a_crash_of_faust_is_told_as_what_it_is(
    settings: Settings, reason: Exception, kind: type[FatalError], text: str
) -> None:
    class App:
        _crashed = asyncio.Event()
        crash_reason = reason

    App._crashed.set()
    with pytest.raises(kind, match=text.replace("(", r"\(").replace(")", r"\)")) as raised:
        await run._crashed(App, settings)
    assert type(raised.value) is kind


async def test_a_worker_waits_patiently_and_gives_up_only_on_what_waiting_can_not_mend(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [
        Errors.KafkaConnectionError("not yet"),
        Errors.CoordinatorNotAvailableError(),
        OSError("nor now"),
        "here",
    ]
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await run._patiently(ask, "Kafka", settings) == "here"
    answers = [Errors.ClusterAuthorizationFailedError()]
    with pytest.raises(ConfigError, match="not authorised"):
        await run._patiently(ask, "Kafka", settings)


async def test_a_producer_that_is_not_started_says_so(settings: Settings) -> None:
    with pytest.raises(FatalError, match="not started"):
        await Transactions(settings, nothing_held, nothing_hidden).write([], lambda: Closed({}, {}))


# --- the broker's clock --------------------------------------------------------------------------------------


def test_the_clock_knows_nothing_before_it_has_heard_the_broker() -> None:
    clock = BrokerClock()
    assert (clock.now(), clock.age) == (None, float("inf"))


def test_the_clock_goes_on_from_what_the_broker_said_whatever_our_own_shows() -> None:
    clock = BrokerClock()
    clock.heard(1_000)
    time.sleep(0.02)
    now = clock.now()
    assert now is not None
    assert 1_020_000 <= now < 3_000_000
    assert 0.02 <= clock.age < 2
    clock.heard(500)
    later = clock.now()
    assert later is not None
    assert later < 1_000_000, "a broker whose clock was set back is believed"


# --- a request that got no answer ----------------------------------------------------------------------------


async def test_a_transactional_request_without_an_answer_is_remembered() -> None:
    class Client:
        name = "client"

        async def send(self, node_id: int, request: str, *, group: Any) -> str:
            if request == "lost":
                raise Errors.RequestTimedOutError
            return f"{request} answered"

    witness = _Witness(Client())
    assert witness.name == "client"
    assert await witness.send(1, "end", group=ConnectionGroup.COORDINATION) == "end answered"
    with pytest.raises(Errors.RequestTimedOutError):
        await witness.send(1, "lost")
    assert witness.lost is False, "a produce request is idempotent"
    with pytest.raises(Errors.RequestTimedOutError):
        await witness.send(1, "lost", group=ConnectionGroup.COORDINATION)
    assert witness.lost is True


# --- schemas -------------------------------------------------------------------------------------------------


async def test_an_unknown_id_is_asked_for_once_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book, signals = Book(), SignalDecoder()
    learner = schemas.Learner(book, signals)  # type: ignore[arg-type]
    value = b"\0\0\0\0\7" + b"x"
    with pytest.raises(UnknownSchemaError):
        signals.decode(value)
    await learner.learn(7)
    learner.tick()
    with pytest.raises(PipelineError, match="no schema with id 7"):
        signals.decode(value)
    monkeypatch.setattr(schemas, "ASK_AGAIN", -1.0)
    learner.tick()
    with pytest.raises(UnknownSchemaError):
        signals.decode(value)
    assert book.asked == [7]


async def test_rows_are_read_by_the_writers_schema_and_junk_is_told() -> None:
    book = Book(_7=SCHEMAS["conference.Member"])
    rows = schemas.RowDecoder(book)  # type: ignore[arg-type]
    member = Member("room", "alice", "+1", True, False, 3)
    value = ENCODERS[Member](member, b"\0\0\0\0\7")
    assert await rows.decode(value) == await rows.decode(value) == member
    assert book.asked == [7]
    with pytest.raises(ValueError, match="wire format"):
        await rows.decode(b"junk")
    with pytest.raises(ValueError, match=r"conference\.Member"):
        await rows.decode(value[:-1])
    with pytest.raises(FatalError, match="lost schema id 8"):
        await rows.decode(b"\0\0\0\0\10junk")


# --- the barrier's questions -----------------------------------------------------------------------------------


async def test_the_watch_outlives_a_broker_that_is_away() -> None:
    room = Room("room", "app", playback_status="playing", operation_id="play", deadline=1_000_000)
    partition = Partition(Rules())
    partition.restore_room("room", room)
    partition.restored()
    merge = Merge(Input("api", 0, 0), Input("media", 0, 0))
    answers: list[Any] = [Errors.KafkaConnectionError("away"), {"api": 5, "media": 7}]

    class Ends:
        async def ends(self, asked: dict[TopicPartition, Any]) -> dict[TopicPartition, int]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {tp: answer[tp.topic] for tp in asked}

    clock, woken = BrokerClock(), asyncio.Event()
    clock.heard(1_300)
    lanes = {0: Lane(0, partition, merge, "")}
    watch = Watch(Ends(), clock, lambda: lanes, woken.set, pytest.fail)  # type: ignore[arg-type]
    running = asyncio.create_task(watch.run())
    await asyncio.wait_for(woken.wait(), 5)
    running.cancel()
    assert answers == []
    assert [source.probe and source.probe[1] for source in merge.inputs] == [5, 7]
    assert not merge.reached(1_000_000), "the log was not read to its end yet"
    for source in merge.inputs:
        source.fetched((), 7, 7)
    assert merge.reached(1_000_000)


async def test_an_idle_worker_writes_its_position_to_hear_the_brokers_time() -> None:
    partition = Partition(Rules())
    room = Room("room", "app", playback_status="playing", operation_id="play", deadline=1_000_000)
    partition.restore_room("room", room)
    partition.restored()
    lanes = {3: Lane(3, partition, Merge(Input("api", 3, 0), Input("media", 3, 0)), "")}
    asked: asyncio.Queue[int] = asyncio.Queue()
    watch = Watch(None, BrokerClock(), lambda: lanes, lambda: None, asked.put_nowait)  # type: ignore[arg-type]
    running = asyncio.create_task(watch.run())
    assert await asyncio.wait_for(asked.get(), 5) == 3
    running.cancel()


# --- positions -----------------------------------------------------------------------------------------------


async def test_a_rebalance_that_never_ends_ends_the_worker_unless_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stuck, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(stuck, "PATIENCE_SECONDS", 0.1)
    away = asyncio.Event()
    away.set()

    async def ask() -> None:
        if away.is_set():
            raise Errors.KafkaConnectionError("away")

    polls = itertools.count()
    lively = asyncio.create_task(stuck.end_when_silent(lambda: float(next(polls)), lambda: True, lambda: ""))
    idle = asyncio.create_task(stuck.end_when_silent(lambda: 0.0, lambda: False, lambda: ""))
    with pytest.raises(
        FatalError,
        match=r"polled nothing for 0 s, though it has partitions \(flow active False\): start again",
    ):
        await asyncio.wait_for(
            stuck.end_when_silent(lambda: 0.0, lambda: True, lambda: "flow active False"), 20
        )
    assert not lively.done()
    assert not idle.done()
    for task in (lively, idle):
        task.cancel()
    busy = asyncio.create_task(stuck.unstick(lambda: True, nothing_held))
    stands = asyncio.create_task(stuck.unstick(lambda: False, ask))
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
    monkeypatch.setattr(stuck, "DEAF_LOOK_SECONDS", 0.01)
    stands, moves, read_up = (TopicPartition("t", number) for number in range(3))
    away, steps = [True], itertools.count()

    async def ends(asked: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if away[0]:
            raise Errors.KafkaConnectionError("away")
        return dict.fromkeys(asked, 1 << 40) | {read_up: 7}

    sound = asyncio.create_task(
        stuck.end_when_deaf(lambda: {moves: next(steps), read_up: 7}, ends, lambda: "")
    )
    deaf = asyncio.create_task(stuck.end_when_deaf(lambda: {stands: 5, read_up: 7}, ends, lambda: "why"))
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

        async def write(self, _: Any, close: Callable[[], Closed]) -> None:
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
    mender = Mender("own", Log(), lambda: lanes, included.append, lambda: ended)  # type: ignore[arg-type]
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


# --- probes --------------------------------------------------------------------------------------------------


class Health:
    """What a worker says of itself."""

    def __init__(self) -> None:
        self.silence = 0.0
        self.reason: str | None = "waiting for Kafka"
        self.refreshed = 0

    def stalled(self) -> float:
        return self.silence

    def not_ready(self) -> str | None:
        return self.reason

    def refresh(self) -> None:
        self.refreshed += 1


async def get(port: int, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_probes_tell_a_start_from_a_stall() -> None:
    health = Health()
    web = Web(health, Metrics(), "127.0.0.1", 0)
    port = await web.start()
    try:
        assert await get(port, "/readyz") == (503, '{"ready": false, "reason": "waiting for Kafka"}')
        assert (await get(port, "/livez"))[0] == 200
        health.reason = None
        assert (await get(port, "/readyz"))[0] == 200
        health.silence = 61.0
        status, body = await get(port, "/livez")
        assert (status, json.loads(body)) == (503, {"alive": False, "stalled_seconds": 61.0})
        status, body = await get(port, "/metrics")
        assert status == 200
        assert 'pipeline_rejected_total{reason="room_unknown"} 0.0' in body
        assert health.refreshed == 1
        with pytest.raises(ConfigError, match="PIPELINE_HTTP_PORT"):
            await Web(health, Metrics(), "127.0.0.1", port).start()
    finally:
        await web.stop()
