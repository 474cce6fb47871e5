"""Whether the brokers and the registry can be reached, have the required APIs, and agree on the time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, CheckResult, LastRecords, NotCheckedError, counted
from pipeline.admin.topic_policy import FAR_AHEAD
from pipeline.admin.topic_shape import RUNBOOK
from pipeline.core.merge import GRACE
from pipeline.errors import PipelineError
from pipeline.kafka.admin import (
    UnreachableBrokersError,
    broker_addresses,
    controller_time,
    unreachable,
    unsupported_apis,
)
from pipeline.kafka.schema_registry import Registry
from pipeline.topics import ROOMS, SIGNAL_TOPICS

MAX_LOCAL_OFFSET: Final = 1.0
"""Allowed difference of this machine's clock in seconds; only the times in logs depend on it."""
MAX_BROKER_OFFSET: Final = GRACE / 1e6
"""Allowed difference between the brokers' clocks in seconds (contract §5)."""
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, the last that a datetime holds."""
SAMPLES: Final = 3
"""Requests for the controller's time; the fastest has the smallest error."""
Offset = tuple[float, float] | None
"""How far this machine's clock is ahead of another, and the maximum error, in seconds; None when unknown."""


async def check_brokers(context: CheckContext) -> list[CheckResult]:
    """Connect to each broker at the address that the cluster advertises."""
    async with context.admin() as admin:
        addresses = broker_addresses(admin)
        began = time.perf_counter()
        unsupported = {node: await unsupported_apis(admin, node) for node in addresses}
        seconds = (time.perf_counter() - began) / max(1, len(addresses))
    results = []
    for node, apis in unsupported.items():
        if apis is None:
            text = unreachable(node, addresses[node])
            results.append(CheckResult("wrong", text, UnreachableBrokersError.REMEDY))
        elif apis:
            found = f"broker {node} at {addresses[node]} is too old: {', '.join(apis)}"
            results.append(CheckResult("wrong", found, "use Kafka 2.5 or newer"))
    if all(apis is None for apis in unsupported.values()):
        context.failed.add("broker")
    settings = context.settings
    login = "with a certificate" if settings.ssl_cert else "without a login"
    if settings.kafka_user:
        login = f"as user {settings.kafka_user!r}"
    elif settings.aws_region:
        login = "with an AWS role's token"
    brokers = f"{counted(len(addresses), 'broker')} by {settings.security_protocol}, {login}"
    ok = CheckResult("ok", f"{brokers}; answers in {seconds * 1000:.0f} ms, has the required APIs")
    return results or [ok]


async def check_registry(context: CheckContext) -> list[CheckResult]:
    """Read from the registry, and measure the time of a request."""
    settings = context.settings
    async with Registry(settings) as registry:
        began = time.perf_counter()
        await registry.ping()
        seconds = time.perf_counter() - began
    has_login = settings.registry_basic[0] or settings.registry_token.get_secret_value() or settings.registry_oauth()
    login = "with a login" if has_login else "without a login"
    return [CheckResult("ok", f"{settings.registry_shown} answers in {seconds * 1000:.0f} ms, {login}")]


async def check_clocks(context: CheckContext) -> list[CheckResult]:
    """Compare the clocks without writing anything.

    A broker's clock is known only from its last append time, which is a lower bound.
    """
    controller = await _controller_offset(context)
    last: dict[int, LastRecords] = {}
    with contextlib.suppress(NotCheckedError, KafkaError):  # the check `lag` reports it
        last = await context.last_records()
    times = [records.time / 1000 for records in last.values() if records.time]
    reference = time.time() - (controller[0] if controller else 0.0)
    newest = max(times) - reference if times else None
    ahead = await _times_ahead(context, last, reference)
    return [*ahead, *judge(controller, await _registry_offset(context), newest)]


async def _times_ahead(context: CheckContext, last: dict[int, LastRecords], reference: float) -> list[CheckResult]:
    """Report signals stamped far ahead of the controller's clock, `reference`, in seconds (contract §4)."""
    limit = reference + FAR_AHEAD
    known = [one for records in last.values() if records.position for one in records.position.positions]
    applied = {TopicPartition(one.topic, one.partition): one for one in known}
    results = []
    for tp, one in sorted(applied.items()):
        if one.time / 1e6 > limit:
            found = f"the workers' time on {tp.topic} partition {tp.partition} is {_utc(one.time / 1e6)}"
            effect = "ahead of the brokers' clock: until then no watchdog of that partition fires"
            results.append(CheckResult("wrong", f"{found}, {effect}", f"{RUNBOOK}, ConferencePipelineTimeAhead"))
    with contextlib.suppress(NotCheckedError, KafkaError):  # the check `lag` reports it
        inputs = await context.partitions(SIGNAL_TOPICS)
        async with context.consumer() as reader:
            found_at = await reader.offsets_for_times(dict.fromkeys(inputs, round(limit * 1000)))
        for tp, record in sorted((tp, at) for tp, at in found_at.items() if at is not None):
            if record.offset >= (applied[tp].offset if tp in applied else 0):
                place = f"offset {record.offset} of {tp.topic} partition {tp.partition}"
                found = f"the unread signal at {place} is stamped {_utc(record.timestamp / 1000)}"
                remedy = f"check message.timestamp.type and the brokers' clocks; {RUNBOOK}, ConferencePipelineTimeAhead"
                results.append(CheckResult("warning", f"{found}, ahead of the brokers' clock", remedy))
    return results


def _utc(seconds: float) -> str:
    """Return a time as text; producers may have set any."""
    return f"{datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _controller_offset(context: CheckContext) -> Offset:
    samples = []
    async with context.admin() as admin:
        for _ in range(SAMPLES):
            began = time.time()
            milliseconds = await controller_time(admin)
            half = (time.time() - began) / 2
            if milliseconds is None:
                break
            samples.append((began + half - milliseconds / 1000, half + 0.0005))
    return min(samples, key=lambda sample: sample[1], default=None)


async def _registry_offset(context: CheckContext) -> Offset:
    try:
        async with Registry(context.settings) as registry:
            await registry.ping()  # connects
            began = time.time()
            await registry.ping()
            half = (time.time() - began) / 2
            date = parsedate_to_datetime(registry.date).timestamp() + 0.5  # the header has whole seconds
    except (PipelineError, ValueError):
        return None
    return began + half - date, half + 0.5


def judge(controller: Offset, registry: Offset, newest: float | None) -> Iterator[CheckResult]:
    """Yield what the offsets mean. Pure.

    `newest` is how far the table's newest append time is ahead of the controller's clock, or of this machine's when
    that is unknown; None when the table is empty.
    """
    if controller and newest is not None and newest > MAX_BROKER_OFFSET + controller[1]:
        found = f"a broker appended to the table ({ROOMS.name}) {newest:.2f} s ahead of the controller's clock"
        remedy = f"if they differ by more than {MAX_BROKER_OFFSET} s, a playback_timeout can be false"
        yield CheckResult("wrong", found, f"run NTP on all brokers: {remedy}")
    offsets = {"the controller's": controller, "the registry's": registry}
    known = [(name, *offset) for name, offset in offsets.items() if offset]
    texts = [
        f"{abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} {name} (± {error:.3f} s)"
        for name, ahead, error in known
    ]
    is_off = any(abs(ahead) - error > MAX_LOCAL_OFFSET for _, ahead, error in known)
    if not controller:
        texts.append(f"the controller's clock is unavailable to this user{_proven(newest)}")
        is_off = is_off or (newest is not None and newest > MAX_LOCAL_OFFSET)
    found = f"this machine's clock is {'; '.join(texts)}" if known else texts[0]
    remedy = "run NTP on this machine; workers do not use its clock, only the times in their logs are wrong"
    yield CheckResult("warning", found, remedy) if is_off else CheckResult("ok", found)


def _proven(newest: float | None) -> str:
    if newest is None:
        return ", and the table has no record to compare with"
    if newest > 0:
        return f"; the newest append time is {newest:.1f} s ahead of this machine's clock, which is behind"
    return f"; the newest append was {-newest:.0f} s ago, which proves only that this machine's clock is not behind"
