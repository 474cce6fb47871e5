"""The parts of `doctor` that need no broker: what it makes of errors, of times, and of a terminal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, UnknownError

from pipeline.admin import doctor
from pipeline.admin.doctor import CHECKS, SERVERS, Line
from pipeline.admin.doctor.servers import Times, judge
from pipeline.admin.doctor.site import CheckContext, CheckResult
from pipeline.cli.doctor import _table
from pipeline.errors import ConfigError
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.settings import load


def test_on_a_terminal_it_is_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    _table(
        [Line("group", "wrong", "[nobody] works", "start workers"), Line("lag", "ok", "nothing waits", "")]
    )
    shown = capsys.readouterr().out
    assert "[nobody] works" in shown, "what was found is no markup"
    assert "start workers" in shown
    assert shown.splitlines()[-1] == "1 wrong, 0 warnings, 1 ok"


def test_with_no_server_at_all_every_check_has_its_say() -> None:
    nobody = load(bootstrap_servers="127.0.0.1:9", registry_url="http://127.0.0.1:9")
    lines = asyncio.run(doctor.examine(nobody, 5))
    assert [line.check for line in lines] == [*SERVERS, *CHECKS]
    assert {line.state for line in lines[:2]} == {"wrong"}
    assert {line.state for line in lines[2:]} == {"warning"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RegistryDownError("no answer (x): do this"), CheckResult("wrong", "no answer (x)", "do this")),
        (ConfigError("all wrong"), CheckResult("wrong", "all wrong", "")),
        (ConfigError("KAFKA_SSL_CA can't be loaded: [Errno 2] x"), CheckResult("wrong", "KAFKA_SSL_CA can't be loaded: [Errno 2] x", "")),
        (ConfigError("lacks Read: `kafka-acls.sh`"), CheckResult("wrong", "lacks Read", "`kafka-acls.sh`")),
        (KafkaConnectionError("away"), CheckResult("wrong", "Kafka at k:1: away", "check KAFKA_BOOTSTRAP_SERVERS and that it runs")),
        (UnknownError("x"), CheckResult("wrong", "Kafka failed: UnknownError x", "ask again; if it stays, look at the brokers")),
        (TimeoutError(), CheckResult("wrong", "no answer within 7 s", "is the server overloaded, or cut off?")),
        (ZeroDivisionError("boom"), CheckResult("wrong", "unexpected: ZeroDivisionError('boom')", "report it")),
    ],
)  # fmt: skip
async def test_whatever_a_check_meets_is_a_line(error: Exception, said: CheckResult) -> None:
    async def check(_: CheckContext) -> list[CheckResult]:
        raise error

    site = CheckContext(load(bootstrap_servers="k:1", registry_url="http://r"), 7)
    assert await doctor._run(site, "some", check) == [Line("some", *said)]
    assert site.away == {"some"}


async def test_a_kafka_that_is_not_ready_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [NodeNotReadyError(), NodeNotReadyError(), [CheckResult("ok", "here")]]

    async def check(_: CheckContext) -> list[CheckResult]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: list[CheckResult] = answer
        return found

    site = CheckContext(load(bootstrap_servers="k:1", registry_url="http://r"), 7)
    assert await doctor._run(site, "some", check) == [Line("some", "ok", "here", "")]
    monkeypatch.setattr(doctor, "AGAIN", 0)
    answers = [NodeNotReadyError()]
    assert (await doctor._run(site, "some", check))[0].found == "Kafka failed: NodeNotReadyError"


async def test_what_takes_too_long_is_ended_and_what_servers_say_is_searched_for_secrets() -> None:
    async def slow(_: CheckContext) -> list[CheckResult]:
        await asyncio.sleep(60)
        return []

    async def loud(_: CheckContext) -> list[CheckResult]:
        return [CheckResult("ok", "it is hunter2!", "not hunter2")]

    settings = load(bootstrap_servers="k:1", registry_url="http://me:hunter2@r")
    site = CheckContext(settings, 0.1)
    assert (await doctor._run(site, "slow", slow))[0].found == "no answer within 0.1 s"
    assert await doctor._run(site, "loud", loud) == [Line("loud", "ok", "it is ***!", "not ***")]


# --- clocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "state", "text"),
    [
        (Times((0.002, 0.001), (0.3, 0.5), -7.0), "ok", "this machine's clock is 0.002 s ahead of the controller's (± 0.001 s); 0.300 s ahead of the registry's (± 0.500 s)"),
        (Times((-0.9, 0.001), None, None), "ok", "0.900 s behind the controller's"),
        (Times((1.5, 0.6), None, None), "ok", "1.500 s ahead of"),
        (Times((-3.0, 0.1), None, None), "warning", "3.000 s behind the controller's"),
        (Times((0.0, 0.0), (9.0, 0.5), None), "warning", "9.000 s ahead of the registry's"),
        (Times(None, (0.1, 0.5), -40.0), "ok", "the newest append was 40 s ago, which shows only that this machine is not behind"),
        (Times(None, None, 5.0), "warning", "the newest append time is 5.0 s ahead of this machine's clock, which is behind"),
        (Times(None, None, None), "ok", "nothing was appended that could tell"),
        (Times((0.0, 0.01), None, 0.2), "ok", "0.000 s ahead"),
    ],
)  # fmt: skip
def test_what_clocks_tell(times: Times, state: str, text: str) -> None:
    [said] = judge(times)
    assert said.state == state
    assert text in said.found
    assert bool(said.remedy) is (state != "ok")


def test_a_broker_whose_clock_is_ahead_of_the_controllers_is_wrong() -> None:
    said = list(judge(Times((0.0, 0.01), None, 0.4)))
    assert [one.state for one in said] == ["wrong", "ok"]
    assert "0.40 s ahead of the controller's clock" in said[0].found
    assert "a playback_timeout can be false" in said[0].remedy
