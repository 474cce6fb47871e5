"""Schemas by id: looked up once, unknown ones again after a while."""

from __future__ import annotations

import pytest

from pipeline.errors import FatalError, PipelineError
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.model.records import Member
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.worker import schemas
from tests.support.worker import FakeRegistry


async def test_an_unknown_id_is_looked_up_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, decoder = FakeRegistry(), SignalDecoder()
    learner = schemas.Learner(registry, decoder)  # type: ignore[arg-type]
    value = b"\0\0\0\0\7" + b"x"
    with pytest.raises(UnknownSchemaError):
        decoder.decode(value)
    await learner.learn(7)
    learner.tick()
    with pytest.raises(PipelineError, match="no schema with id 7"):
        decoder.decode(value)
    monkeypatch.setattr(schemas, "ASK_AGAIN", -1.0)
    learner.tick()
    with pytest.raises(UnknownSchemaError):
        decoder.decode(value)
    assert registry.asked == [7]


async def test_rows_are_read_by_their_writers_schema() -> None:
    registry = FakeRegistry({7: SCHEMAS["conference.Member"]})
    rows = schemas.RowDecoder(registry)  # type: ignore[arg-type]
    member = Member("room", "alice", "+1", True, False, 3)
    value = ENCODERS[Member](member, b"\0\0\0\0\7")
    assert await rows.decode(value) == await rows.decode(value) == member
    assert registry.asked == [7]
    with pytest.raises(ValueError, match="wire format"):
        await rows.decode(b"junk")
    with pytest.raises(ValueError, match=r"conference\.Member"):
        await rows.decode(value[:-1])
    with pytest.raises(FatalError, match="lost schema id 8"):
        await rows.decode(b"\0\0\0\0\10junk")
