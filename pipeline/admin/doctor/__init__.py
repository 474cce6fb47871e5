"""`doctor`: is everything as a worker needs it, and does the work go on? It reads and asks; it changes nothing.

Each check stands for itself: it has connections and a time limit of its own, and what goes wrong in it is a line, never
an end. Checks that need a server which can't be used say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiokafka.errors import KafkaConnectionError, KafkaError

from pipeline.admin.doctor.contents import permissions, schemas, topics
from pipeline.admin.doctor.servers import broker, clock, registry
from pipeline.admin.doctor.site import CheckContext, CheckResult, NotCheckedError, State
from pipeline.admin.doctor.work import group, lag, transactions
from pipeline.errors import PipelineError
from pipeline.settings import Settings

SECONDS: Final = 15.0
"""How long one check may take."""
AGAIN: Final = 6
"""How often a check is made again, every half a second, while Kafka is not ready for it."""
Check = Callable[[CheckContext], Awaitable[list[CheckResult]]]
SERVERS: Final[dict[str, Check]] = {"broker": broker, "registry": registry}
"""Asked first: what else needs a server that can't be used is not even tried."""
CHECKS: Final[dict[str, tuple[Check, str]]] = {
    "topics": (topics, "broker"),
    "schemas": (schemas, "registry"),
    "permissions": (permissions, "broker"),
    "group": (group, "broker"),
    "lag": (lag, "broker"),
    "transactions": (transactions, "broker"),
    "clock": (clock, "broker"),
}
"""Name → what it does, and which server it can't do without."""


class Line(NamedTuple):
    """One thing that was found. `remedy` is empty when there is nothing to do."""

    check: str
    state: State
    found: str
    remedy: str


async def examine(settings: Settings, seconds: float = SECONDS) -> list[Line]:
    """Every check, each within `seconds`; in a fixed order. Raises nothing."""
    site = CheckContext(settings, seconds)
    try:
        first = await asyncio.gather(*(_run(site, name, check) for name, check in SERVERS.items()))
        rest = await asyncio.gather(*(_run(site, name, *check) for name, check in CHECKS.items()))
    finally:
        await site.close()
    return [line for lines in (*first, *rest) for line in lines]


async def _run(site: CheckContext, name: str, check: Check, server: str = "") -> list[Line]:
    """The lines of one check; what it raises is one of them."""
    try:
        if server in site.away:
            raise NotCheckedError(f"the {server} can't be used")
        said = await asyncio.wait_for(_again(site, check), site.seconds)
    except NotCheckedError as error:
        said = [CheckResult("warning", f"not checked: {error}", "mend that first")]
    except Exception as error:
        site.away.add(name)
        said = [_failed(site, error)]
    clean = site.settings.redacted
    return [Line(name, state, clean(found), clean(remedy)) for state, found, remedy in said]


async def _again(site: CheckContext, check: Check) -> list[CheckResult]:
    """What `check` says; again when Kafka says that it will be ready soon, as after the start of a broker."""
    for _ in range(AGAIN):
        try:
            return await check(site)
        except KafkaError as error:
            if isinstance(error, KafkaConnectionError) or not error.retriable:
                raise
        await asyncio.sleep(0.5)
    return await check(site)


def _failed(site: CheckContext, error: Exception) -> CheckResult:
    """An error of ours ends in its remedy, behind the last colon."""
    match error:
        case PipelineError():
            found, _, remedy = str(error).rpartition(": ")
            parted = found and (remedy[:1].islower() or remedy[:1] == "`")
            return CheckResult("wrong", found, remedy) if parted else CheckResult("wrong", str(error))
        case TimeoutError():
            return CheckResult(
                "wrong", f"no answer within {site.seconds:g} s", "is the server overloaded, or cut off?"
            )
        case KafkaConnectionError():
            where, said = site.settings.bootstrap_servers, str(next(iter(error.args), "")) or "it is away"
            return CheckResult(
                "wrong", f"Kafka at {where}: {said}", "check KAFKA_BOOTSTRAP_SERVERS and that it runs"
            )
        case KafkaError():
            said = f"Kafka failed: {type(error).__name__} {next(iter(error.args), '')}".rstrip()
            return CheckResult("wrong", said, "ask again; if it stays, look at the brokers")
        case _:
            return CheckResult("wrong", f"unexpected: {error!r}", "report it")
