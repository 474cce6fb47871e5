"""The life of a worker's process without servers: exit codes, crashes of Faust, waiting."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.settings import Settings
from pipeline.worker import process, startup


def test_each_error_has_its_exit_code() -> None:
    errors: list[PipelineError] = [FatalError(), ConfigError(), DeniedError(), FencedError(), LossError()]
    assert [process.exit_code(error) for error in errors] == [1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (FencedError("taken"), FencedError, "taken"),
        (Errors.OffsetOutOfRangeError({TopicPartition("t", 3): 7}), LossError, "deleted unread"),
        (RuntimeError("boom"), FatalError, "Faust crashed: RuntimeError('boom')"),
        (Errors.GroupAuthorizationFailedError("g"), DeniedError, "not authorized: "),
    ],
)
async def test_a_crash_of_faust_raises_its_cause(
    settings: Settings, reason: Exception, kind: type[FatalError], text: str
) -> None:
    class App:
        _crashed = asyncio.Event()
        crash_reason = reason

    App._crashed.set()
    with pytest.raises(kind, match=re.escape(text)) as raised:
        await process._raise_crash(App, settings)
    assert type(raised.value) is kind


async def test_only_errors_that_pass_are_retried(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [
        Errors.KafkaConnectionError("not yet"),
        Errors.CoordinatorNotAvailableError(),
        OSError("nor now"),
        "here",
    ]
    monkeypatch.setattr(startup, "RETRY_SECONDS", 0)

    async def call() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await startup.retried(call, "Kafka", settings) == "here"
    answers = [Errors.ClusterAuthorizationFailedError()]
    with pytest.raises(ConfigError, match="not authorized"):
        await startup.retried(call, "Kafka", settings)
