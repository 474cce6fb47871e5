"""Whether the clocks of this machine, the controller, the brokers and the registry agree."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError

from pipeline.admin.doctor.context import CheckContext, CheckResult, NotCheckedError
from pipeline.admin.doctor.last_records import LastRecords
from pipeline.core.merge import GRACE
from pipeline.errors import PipelineError
from pipeline.kafka.admin import controller_time
from pipeline.kafka.schema_registry import Registry
from pipeline.topics import ROOMS

MAX_LOCAL_OFFSET: Final = 1.0
"""Allowed difference of this machine's clock in seconds; only the times in logs depend on it."""
MAX_BROKER_OFFSET: Final = GRACE / 1e6
"""Allowed difference between the brokers' clocks in seconds (contract §5)."""
SAMPLES: Final = 3
"""Requests for the controller's time; the fastest has the smallest error."""


class ClockOffsets(NamedTuple):
    """Measured clock offsets, in seconds."""

    controller: tuple[float, float] | None
    """How far this machine's clock is ahead of the controller's, and the maximum error; None when unknown."""
    registry: tuple[float, float] | None
    """The same for the registry's clock."""
    newest: float | None
    """How far the table's newest append time is ahead of the controller's clock, or of this machine's when that is
    unknown; None when the table is empty."""


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
    return list(judge(ClockOffsets(controller, await _registry_offset(context), newest)))


async def _controller_offset(context: CheckContext) -> tuple[float, float] | None:
    best = None
    async with context.admin() as admin:
        for _ in range(SAMPLES):
            began = time.time()
            milliseconds = await controller_time(admin)
            half = (time.time() - began) / 2
            if milliseconds is None:
                break
            sample = began + half - milliseconds / 1000, half + 0.0005
            best = sample if best is None else min(best, sample, key=lambda one: one[1])
    return best


async def _registry_offset(context: CheckContext) -> tuple[float, float] | None:
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


def judge(offsets: ClockOffsets) -> Iterator[CheckResult]:
    """Yield what the offsets mean. Pure."""
    newest, error = offsets.newest, offsets.controller[1] if offsets.controller else 0.0
    if offsets.controller and newest is not None and newest > MAX_BROKER_OFFSET + error:
        found = f"a broker appended to the table ({ROOMS.name}) {newest:.2f} s ahead of the controller's clock"
        remedy = (
            f"run NTP on all brokers: if they differ by more than {MAX_BROKER_OFFSET} s, a playback_timeout can be "
            "false"
        )
        yield CheckResult("wrong", found, remedy)
    measured = {"the controller's": offsets.controller, "the registry's": offsets.registry}
    texts = [_offset(name, *offset) for name, offset in measured.items() if offset]
    is_off = any(offset and abs(offset[0]) - offset[1] > MAX_LOCAL_OFFSET for offset in measured.values())
    if not offsets.controller:
        texts.append(f"the controller's clock is unavailable to this user{_newest(newest)}")
        is_off = is_off or (newest is not None and newest > MAX_LOCAL_OFFSET)
    found = f"this machine's clock is {'; '.join(texts)}" if any(measured.values()) else texts[0]
    remedy = "run NTP on this machine; workers do not use its clock, only the times in their logs are wrong"
    yield CheckResult("warning", found, remedy) if is_off else CheckResult("ok", found)


def _offset(name: str, ahead: float, error: float) -> str:
    direction = "ahead of" if ahead >= 0 else "behind"
    return f"{abs(ahead):.3f} s {direction} {name} (± {error:.3f} s)"


def _newest(ahead: float | None) -> str:
    """Return what the newest append time proves."""
    if ahead is None:
        return ", and the table has no record to compare with"
    if ahead > 0:
        return f"; the newest append time is {ahead:.1f} s ahead of this machine's clock, which is behind"
    return f"; the newest append was {-ahead:.0f} s ago, which proves only that this machine's clock is not behind"
