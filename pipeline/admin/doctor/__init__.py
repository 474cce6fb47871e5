"""`doctor`: checks the servers, the topics, the permissions and the progress of the workers. It only reads.

The checks are independent: each has its own connections and time limit, and an error in one is a line of the report.
A check whose server is unavailable is reported as not checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from aiokafka.errors import KafkaConnectionError, KafkaError

from pipeline.admin.doctor.configuration import check_permissions, check_topics
from pipeline.admin.doctor.context import CheckContext, CheckResult, NotCheckedError, State, retried
from pipeline.admin.doctor.engines import check_engines
from pipeline.admin.doctor.letters import check_letters
from pipeline.admin.doctor.progress import check_group, check_lag, check_transactions
from pipeline.admin.doctor.schemas import check_schemas
from pipeline.admin.doctor.servers import check_brokers, check_clocks, check_registry
from pipeline.errors import PipelineError
from pipeline.settings import Settings

Check = Callable[[CheckContext], Awaitable[list[CheckResult]]]
SERVERS: Final[dict[str, Check]] = {"broker": check_brokers, "registry": check_registry}
"""Run first: the checks of an unavailable server are skipped."""
CHECKS: Final[dict[str, tuple[Check, str]]] = {
    "topics": (check_topics, "broker"),
    "schemas": (check_schemas, "registry"),
    "permissions": (check_permissions, "broker"),
    "group": (check_group, "broker"),
    "lag": (check_lag, "broker"),
    "transactions": (check_transactions, "broker"),
    "letters": (check_letters, "broker"),
    "engines": (check_engines, "broker"),
    "clock": (check_clocks, "broker"),
}
"""Name to the check, and the server that it requires."""


class Line(NamedTuple):
    """One line of the report. `remedy` is empty when there is nothing to do."""

    check: str
    state: State
    found: str
    remedy: str


async def examine(settings: Settings, seconds: float = 15.0) -> list[Line]:
    """Run all checks, each for at most `seconds`; return their lines in a fixed order. Raises nothing."""
    context = CheckContext(settings, seconds)
    try:
        servers = await asyncio.gather(*(_run(context, name, check) for name, check in SERVERS.items()))
        others = await asyncio.gather(*(_run(context, name, *check) for name, check in CHECKS.items()))
    finally:
        await context.close()
    return [line for lines in (*servers, *others) for line in lines]


async def _run(context: CheckContext, name: str, check: Check, server: str = "") -> list[Line]:
    """Run one check; an error becomes a line."""
    try:
        if server in context.failed:
            raise NotCheckedError(f"the {server} is unavailable")
        results = await asyncio.wait_for(retried(partial(check, context)), context.seconds)
    except NotCheckedError as error:
        results = [CheckResult("warning", f"not checked: {error}", "fix that first")]
    except Exception as error:
        context.failed.add(name)
        results = [_failure(context, error)]
    redacted = context.settings.redacted
    return [Line(name, state, redacted(found), redacted(remedy)) for state, found, remedy in results]


def _failure(context: CheckContext, error: Exception) -> CheckResult:
    """Turn an error into a result. The text of a PipelineError ends with its remedy, after the last colon."""
    match error:
        case PipelineError():
            found, _, remedy = str(error).rpartition(": ")
            if not (found and (remedy[:1].islower() or remedy[:1] == "`")):
                found, remedy = str(error), ""
        case TimeoutError():
            found = f"no answer within {context.seconds:g} s"
            remedy = "check whether the server is overloaded or cut off"
        case KafkaConnectionError():
            reason = str(next(iter(error.args), "")) or "no connection"
            found = f"Kafka at {context.settings.bootstrap_servers}: {reason}"
            remedy = "check KAFKA_BOOTSTRAP_SERVERS and that it runs"
        case KafkaError():
            found = f"Kafka failed: {type(error).__name__} {next(iter(error.args), '')}".rstrip()
            remedy = "run doctor again; if this lasts, look at the brokers' logs"
        case _:
            found, remedy = f"unexpected: {error!r}", "report it"
    return CheckResult("wrong", found, remedy)
