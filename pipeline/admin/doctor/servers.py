"""Are broker and registry there, do they speak what we need, and what time is it there?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError

from pipeline.admin.doctor.site import CheckContext, CheckResult, NotCheckedError
from pipeline.admin.doctor.tails import Tail
from pipeline.core.merge import GRACE
from pipeline.errors import PipelineError
from pipeline.kafka.admin import brokers, controllers_time, lacks
from pipeline.kafka.schema_registry import Registry
from pipeline.topics import ROOMS

OFF_SECONDS: Final = 1.0
"""By so much this machine's clock may be off; nothing but the times in logs depends on it."""
GRACE_SECONDS: Final = GRACE / 1e6
"""By so much the brokers' clocks may differ (contract §5)."""


async def broker(site: CheckContext) -> list[CheckResult]:
    """Each broker of the cluster, as the cluster names it."""
    settings = site.settings
    async with site.admin() as admin:
        nodes = brokers(admin)
        began = time.perf_counter()
        missing = {node: await lacks(admin, node) for node in nodes}
        took = (time.perf_counter() - began) / max(1, len(nodes))
    said = []
    for node, what in missing.items():
        where = f"broker {node} at {nodes[node]}"
        if what is None:
            remedy = "start it, or mend its advertised.listeners: clients go where those say"
            said.append(
                CheckResult("wrong", f"{where} is named by the cluster and can't be reached there", remedy)
            )
        elif what:
            said.append(
                CheckResult(
                    "wrong", f"{where} speaks too old a Kafka: {', '.join(what)}", "Kafka 2.5 or newer"
                )
            )
    if all(what is None for what in missing.values()):
        site.away.add("broker")
    who = "with a certificate" if settings.ssl_cert else "without a login"
    who = f"as user {settings.sasl_username!r}" if settings.sasl_username else who
    count = f"{len(nodes)} broker{'s' * (len(nodes) != 1)}"
    fine = f"{count} by {settings.security_protocol}, {who}; answers in {took * 1000:.0f} ms, speaks what is needed"
    return said or [CheckResult("ok", fine)]


async def registry(site: CheckContext) -> list[CheckResult]:
    """Its address, and whether it lets us read."""
    settings = site.settings
    async with Registry(settings) as asked:
        began = time.perf_counter()
        await asked.ping()
        took = time.perf_counter() - began
    login = (
        settings.registry_username
        or settings.registry_token.get_secret_value()
        or "@" in settings.registry_url
    )
    who = "with a login" if login else "without a login"
    return [CheckResult("ok", f"{settings.registry_shown} answers in {took * 1000:.0f} ms, {who}")]


# --- clocks --------------------------------------------------------------------------------------------------


class Times(NamedTuple):
    """What is known, in seconds. `controller` and `registry` are how far this machine's clock is ahead of theirs, each
    with the half of what it may be off by; None if they don't tell. `newest` is how far the newest append time of a
    broker is ahead of the controller's clock, or of ours if that is not known; None if nothing was appended yet."""

    controller: tuple[float, float] | None
    registry: tuple[float, float] | None
    newest: float | None


async def clock(site: CheckContext) -> list[CheckResult]:
    """Nothing is written, so only what servers tell by themselves is known: the controller its time, the registry the
    second of its answer, and the table when a broker appended last, which proves only that its clock is not behind."""
    controller = None
    async with site.admin() as admin:
        for _ in range(3):  # the quickest answer tells most
            asked = time.time()
            told = await controllers_time(admin)
            half = (time.time() - asked) / 2
            if told is None:
                break
            measured = asked + half - told / 1000, half + 0.0005
            controller = measured if controller is None else min(controller, measured, key=lambda one: one[1])
    tails: dict[int, Tail] = {}
    with contextlib.suppress(NotCheckedError, KafkaError):  # `lag` says why
        tails = await site.tails()
    times = [tail.time / 1000 for tail in tails.values() if tail.time]
    reference = time.time() - (controller[0] if controller else 0.0)
    newest = max(times) - reference if times else None
    return list(judge(Times(controller, await _registry_ahead(site), newest)))


async def _registry_ahead(site: CheckContext) -> tuple[float, float] | None:
    """How far we are ahead of the registry's clock."""
    try:
        async with Registry(site.settings) as asked:
            await asked.ping()  # connects
            began = time.time()
            await asked.ping()
            half = (time.time() - began) / 2
            said = parsedate_to_datetime(asked.date).timestamp() + 0.5
    except (PipelineError, ValueError):
        return None
    return began + half - said, half + 0.5


def judge(times: Times) -> Iterator[CheckResult]:
    """What the times mean. Pure."""
    table = f"the table ({ROOMS.name})"
    broker, slack = times.newest, times.controller[1] if times.controller else 0.0
    if times.controller and broker is not None and broker > GRACE_SECONDS + slack:
        found = f"a broker appended to {table} {broker:.2f} s ahead of the controller's clock"
        remedy = f"NTP on all brokers: beyond {GRACE_SECONDS} s between them a playback_timeout can be false"
        yield CheckResult("wrong", found, remedy)
    known = {"the controller's": times.controller, "the registry's": times.registry}
    said = [_ahead(whose, *measured) for whose, measured in known.items() if measured]
    off = [1 for measured in known.values() if measured and abs(measured[0]) - measured[1] > OFF_SECONDS]
    if not times.controller:
        said.append(f"the cluster doesn't tell its time to this user{_newest(broker)}")
        off += [1] if broker is not None and broker > OFF_SECONDS else []
    text = f"this machine's clock is {'; '.join(said)}" if times.controller or times.registry else said[0]
    remedy = "NTP on this machine; workers never ask their own clock, only the times in their logs are wrong"
    yield CheckResult("warning", text, remedy) if off else CheckResult("ok", text)


def _ahead(whose: str, ahead: float, slack: float) -> str:
    direction = "ahead of" if ahead >= 0 else "behind"
    return f"{abs(ahead):.3f} s {direction} {whose} (± {slack:.3f} s)"


def _newest(ahead: float | None) -> str:
    """What the newest append time proves."""
    if ahead is None:
        return ", and nothing was appended that could tell"
    if ahead > 0:
        return f"; the newest append time is {ahead:.1f} s ahead of this machine's clock, which is behind"
    return f"; the newest append was {-ahead:.0f} s ago, which shows only that this machine is not behind it"
