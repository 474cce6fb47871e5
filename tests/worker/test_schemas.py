"""Schemas by id: looked up together and once, asked for again at once and after a while, and bounded."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.model.wire import SCHEMAS
from pipeline.worker import schemas
from tests.support.worker import FakeRegistry

VALUE = b"\0\0\0\0\7" + b"x"
CREATE = SCHEMAS["conference.signal.ConferenceCreate"]


def learner_of(registry: Any) -> tuple[schemas.Learner, SignalDecoder]:
    decoder = SignalDecoder()
    return schemas.Learner(registry, decoder), decoder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "REPEAT_SECONDS", (0.001, 0.001))


async def test_an_unknown_id_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = FakeRegistry()
    learner, decoder = learner_of(registry)
    assert decoder.unknown_id(VALUE) == 7
    await learner.learn(0, [7])
    learner.tick()
    assert decoder.unknown_id(VALUE) is None
    with pytest.raises(PipelineError, match="no schema with id 7"):
        decoder.decode(VALUE)
    assert registry.asked == [7, 7, 7]
    monkeypatch.setattr(schemas, "ASK_AGAIN", -1.0)
    await learner.learn(0, [7])
    learner.tick()
    with pytest.raises(UnknownSchemaError):
        decoder.decode(VALUE)


async def test_an_id_known_at_the_second_request_is_learnt() -> None:
    """A node of the registry that has just started answers 404."""

    class Late(FakeRegistry):
        async def schema(self, schema_id: int) -> str | None:
            await super().schema(schema_id)
            return CREATE if len(self.asked) > 1 else None

    registry = Late()
    learner, decoder = learner_of(registry)
    await learner.learn(0, [7])
    with pytest.raises(PipelineError, match="ConferenceCreate"):
        decoder.decode(VALUE)
    assert registry.asked == [7, 7]


class Slow(FakeRegistry):
    """Answers each request after `seconds`."""

    now = most = 0
    seconds = 0.001

    async def schema(self, schema_id: int) -> str | None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        return await super().schema(schema_id)


async def test_many_ids_are_requested_in_parallel() -> None:
    registry = Slow()
    learner, decoder = learner_of(registry)
    await asyncio.gather(learner.learn(0, [*range(100)]), learner.learn(1, [*range(50, 150)]))
    assert registry.most == schemas.PARALLEL
    assert all(decoder.unknown_id(b"\0" + number.to_bytes(4)) is None for number in range(150))
    again = len(registry.asked) - 150
    assert again <= 2 * (2 * schemas.MAX_UNKNOWN), "two partitions share a request"
    assert not learner.gives_up(0)


async def test_a_partition_gives_up_in_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "FLOOD_SECONDS", 0.2)
    registry = Slow({1: CREATE})
    learner, decoder = learner_of(registry)
    registry.seconds = 0.05
    await learner.learn(0, [*range(1000, 3000)])
    assert learner.gives_up(0)
    assert not learner.gives_up(1)
    assert len(registry.asked) < 1000
    await asyncio.sleep(0.01)
    assert registry.now == 0, "no request is left"
    assert decoder.unknown_id(b"\0" + (2999).to_bytes(4)) == 2999
    await learner.learn(1, [1])
    assert decoder.unknown_id(b"\0" + (1).to_bytes(4)) is None
    monkeypatch.setattr(schemas.time, "monotonic", lambda: 10.0**9)
    assert not learner.gives_up(0)


async def test_few_ids_are_awaited_however_slow_the_registry_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "FLOOD_SECONDS", 0.01)
    registry = Slow(dict.fromkeys(range(40), CREATE))
    registry.seconds = 0.2
    learner, decoder = learner_of(registry)
    await learner.learn(0, [*range(45)])
    assert all(decoder.unknown_id(b"\0" + number.to_bytes(4)) is None for number in range(45))


async def test_ids_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "MAX_REMEMBERED", 10)
    learner, decoder = learner_of(FakeRegistry())
    for number in range(15):
        await learner.learn(0, [number])
    known = [number for number in range(15) if decoder.unknown_id(b"\0" + number.to_bytes(4)) is None]
    assert known == list(range(5, 15)), "the oldest are forgotten"


async def test_ids_wait_while_the_registry_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    up = asyncio.Event()

    class Down(FakeRegistry):
        async def schema(self, schema_id: int) -> str | None:
            if not up.is_set():
                raise RegistryDownError("down")
            return CREATE

    async def no_pause(_: float) -> None:
        await up.wait()

    learner, decoder = learner_of(Down())
    monkeypatch.setattr(schemas, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": no_pause}))
    learning = asyncio.create_task(learner.learn(0, [7]))
    await asyncio.wait({learning}, timeout=0.05)
    assert not learning.done()
    assert decoder.unknown_id(VALUE) == 7
    up.set()
    await learning
    assert decoder.unknown_id(VALUE) is None
