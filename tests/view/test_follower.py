"""Parts of the follower without servers: requests for ends, schemas while the registry is down, waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.model.records import Room
from pipeline.model.row_keys import encode_key
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.settings import Settings
from pipeline.view import follower
from pipeline.view.follower import Follower, learn_schemas
from pipeline.view.tables.rooms_table import RoomsTable
from tests.support.worker import FakeRegistry

TP = TopicPartition("t", 0)


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_schemas_are_asked_for_until_the_registry_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "REGISTRY_SECONDS", 0.0)

    class Flaky(FakeRegistry):
        async def schema(self, schema_id: int) -> str | None:
            if len(self.asked) < 2:
                self.asked.append(schema_id)
                raise RegistryDownError("it is down")
            return await super().schema(schema_id)

    registry: Any = Flaky({5: SCHEMAS["conference.Room"]})
    records = [Record(0, 0, encode_key(("room", "r")), ENCODERS[Room](Room("r"), b"\0\0\0\0\5"), ())]
    table, notices = RoomsTable(), list[str]()
    await learn_schemas(registry, table.decoders, records, notices.append)
    table.apply(0, records)
    assert table.room("r") == Room("r")
    assert (registry.asked, notices) == ([5, 5, 5], ["waiting for the registry: it is down"] * 2)


async def test_who_waits_gets_the_error_that_ended_the_reading(settings: Settings) -> None:
    async def apply(tp: TopicPartition, records: list[Record]) -> None: ...

    made = Follower(settings, apply, lambda *_: None, lambda _: None)
    ready: list[int] = []
    waiting = asyncio.create_task(made.until(lambda: bool(ready)))
    other = asyncio.create_task(made.until(lambda: False))
    await turns()
    made.wake()
    await turns()
    assert not waiting.done()
    ready.append(1)
    made.wake()
    await waiting
    made.fail(ValueError("the end"))
    for job in (other, made.until(lambda: True)):
        with pytest.raises(ValueError, match="the end"):
            await job
    assert made.silent == float("inf")
