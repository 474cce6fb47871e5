"""The parts of the worker that need no broker to be wrong: errors, exit codes, the clock, the probes."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.client import ConnectionGroup
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.kafka.fenced_producer import _Witness
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.model.records import Member, Room
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.settings import Settings
from pipeline.worker import process, schemas
from pipeline.worker.barrier import Watch
from pipeline.worker.http import Web
from pipeline.worker.recovery import Lane
from pipeline.worker.transactions import BrokerClock, SealedUnit, Transactions, fatal


class Book:
    """Schemas by id, in the place of a registry that knows them."""

    def __init__(self, **texts: str) -> None:
        self.texts = {int(key[1:]): text for key, text in texts.items()}
        self.asked: list[int] = []

    async def schema(self, schema_id: int) -> str | None:
        self.asked.append(schema_id)
        return self.texts.get(schema_id)


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
        (Errors.TopicAuthorizationFailedError("x"), DeniedError, "x: see docs/reference/security.md"),
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
    assert [process.exit_code(error) for error in errors] == [1, 2, 2, 3, 4]


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
        await process._crashed(App, settings)
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

    assert await process._patiently(ask, "Kafka", settings) == "here"
    answers = [Errors.ClusterAuthorizationFailedError()]
    with pytest.raises(ConfigError, match="not authorised"):
        await process._patiently(ask, "Kafka", settings)


async def test_a_producer_that_is_not_started_says_so(settings: Settings) -> None:
    with pytest.raises(FatalError, match="not started"):
        await Transactions(settings, nothing_held, nothing_hidden).write([], lambda: SealedUnit({}, {}))


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
