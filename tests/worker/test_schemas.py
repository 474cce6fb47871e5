"""Schemas by id: looked up once, unknown ones again after a while."""

from __future__ import annotations

import pytest

from pipeline.errors import PipelineError
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
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
