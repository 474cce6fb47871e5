"""The parts of `doctor` that need no broker: its report of errors, of clocks, and on a terminal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, UnknownError

from pipeline.admin import doctor
from pipeline.admin.doctor import CHECKS, SERVERS, Line
from pipeline.admin.doctor.context import CheckContext, CheckResult
from pipeline.admin.doctor.servers import Offset, judge
from pipeline.cli.doctor import _table
from pipeline.errors import ConfigError
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.settings import load


def test_terminal_report_is_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    _table([Line("group", "wrong", "[bold] group", "start workers"), Line("lag", "ok", "no backlog", "")])
    shown = capsys.readouterr().out
    assert "[bold] group" in shown, "the text is not markup"
    assert "start workers" in shown
    assert shown.splitlines()[-1] == "1 wrong, 0 warnings, 1 ok"


def test_without_servers_every_check_is_reported() -> None:
    unreachable = load(bootstrap_servers="127.0.0.1:9", registry_url="http://127.0.0.1:9")
    lines = asyncio.run(doctor.examine(unreachable, 5))
    assert [line.check for line in lines] == [*SERVERS, *CHECKS]
    assert {line.state for line in lines[:2]} == {"wrong"}
    assert {line.state for line in lines[2:]} == {"warning"}


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (RegistryDownError("no answer (x): do this"), CheckResult("wrong", "no answer (x)", "do this")),
        (ConfigError("all wrong"), CheckResult("wrong", "all wrong", "")),
        (ConfigError("KAFKA_SSL_CA can't be loaded: [Errno 2] x"), CheckResult("wrong", "KAFKA_SSL_CA can't be loaded: [Errno 2] x", "")),
        (ConfigError("lacks Read: `kafka-acls.sh`"), CheckResult("wrong", "lacks Read", "`kafka-acls.sh`")),
        (KafkaConnectionError("x"), CheckResult("wrong", "Kafka at k:1: x", "check KAFKA_BOOTSTRAP_SERVERS and that it runs")),
        (UnknownError("x"), CheckResult("wrong", "Kafka failed: UnknownError x", "run doctor again; if this lasts, look at the brokers' logs")),
        (TimeoutError(), CheckResult("wrong", "no answer within 7 s", "check whether the server is overloaded or cut off")),
        (ZeroDivisionError("boom"), CheckResult("wrong", "unexpected: ZeroDivisionError('boom')", "report it")),
    ],
)  # fmt: skip
async def test_error_of_a_check_becomes_a_line(error: Exception, result: CheckResult) -> None:
    async def check(_: CheckContext) -> list[CheckResult]:
        raise error

    context = CheckContext(load(bootstrap_servers="k:1", registry_url="http://r"), 7)
    assert await doctor._run(context, "some", check) == [Line("some", *result)]
    assert context.failed == {"some"}


async def test_retriable_errors_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [NodeNotReadyError(), NodeNotReadyError(), [CheckResult("ok", "here")]]

    async def check(_: CheckContext) -> list[CheckResult]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        results: list[CheckResult] = answer
        return results

    context = CheckContext(load(bootstrap_servers="k:1", registry_url="http://r"), 7)
    assert await doctor._run(context, "some", check) == [Line("some", "ok", "here", "")]
    monkeypatch.setattr(doctor.context, "RETRIES", 0)
    answers = [NodeNotReadyError()]
    assert (await doctor._run(context, "some", check))[0].found == "Kafka failed: NodeNotReadyError"


async def test_slow_checks_end_and_secrets_are_redacted() -> None:
    async def slow(_: CheckContext) -> list[CheckResult]:
        await asyncio.sleep(60)
        return []

    async def revealing(_: CheckContext) -> list[CheckResult]:
        return [CheckResult("ok", "it is hunter2!", "not hunter2")]

    settings = load(bootstrap_servers="k:1", registry_url="http://me:hunter2@r")
    context = CheckContext(settings, 0.1)
    assert (await doctor._run(context, "slow", slow))[0].found == "no answer within 0.1 s"
    assert await doctor._run(context, "secret", revealing) == [Line("secret", "ok", "it is ***!", "not ***")]


# --- clocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offsets", "state", "text"),
    [
        (((0.002, 0.001), (0.3, 0.5), -7.0), "ok", "this machine's clock is 0.002 s ahead of the controller's (± 0.001 s); 0.300 s ahead of the registry's (± 0.500 s)"),
        (((-0.9, 0.001), None, None), "ok", "0.900 s behind the controller's"),
        (((1.5, 0.6), None, None), "ok", "1.500 s ahead of"),
        (((-3.0, 0.1), None, None), "warning", "3.000 s behind the controller's"),
        (((0.0, 0.0), (9.0, 0.5), None), "warning", "9.000 s ahead of the registry's"),
        ((None, (0.1, 0.5), -40.0), "ok", "the newest append was 40 s ago, which proves only that this machine's clock is not behind"),
        ((None, None, 5.0), "warning", "the newest append time is 5.0 s ahead of this machine's clock, which is behind"),
        ((None, None, None), "ok", "the table has no record to compare with"),
        (((0.0, 0.01), None, 0.2), "ok", "0.000 s ahead"),
    ],
)  # fmt: skip
def test_clock_offsets_are_judged(offsets: tuple[Offset, Offset, float | None], state: str, text: str) -> None:
    [result] = judge(*offsets)
    assert result.state == state
    assert text in result.found
    assert bool(result.remedy) is (state != "ok")


def test_broker_ahead_of_controller_is_wrong() -> None:
    results = list(judge((0.0, 0.01), None, 0.4))
    assert [result.state for result in results] == ["wrong", "ok"]
    assert "0.40 s ahead of the controller's clock" in results[0].found
    assert "a playback_timeout can be false" in results[0].remedy
