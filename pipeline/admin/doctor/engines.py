"""Whether the bridges of the engine nodes run, and whether the workers' settings fit them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, CheckResult, counted, decoders_for
from pipeline.errors import SignalError
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.record_reader import BatchError
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.error_text import one_line
from pipeline.model.records import Engine
from pipeline.topics import ENGINES

ANNOUNCED_SECONDS: Final = 30.0
"""Seconds after its last record for which a node is announced; bridges write one every 10 s."""
MAX_SHOWN: Final = 20


class Last(NamedTuple):
    """The last record of a node, and when it was appended (seconds). None: it can't be read."""

    engine: Engine | None
    time: float


async def check_engines(context: CheckContext) -> list[CheckResult]:
    """Read which nodes are announced, by which engines, and since when they are not."""
    last = await _read(context)
    return list(judge(last, time.time(), context.settings.watchdog_mode))


async def _read(context: CheckContext) -> dict[str, Last]:
    [tp] = await context.partitions([ENGINES])
    values: dict[str, tuple[bytes, float]] = {}
    async with context.consumer() as reader:
        starts, ends = await reader.beginning_offsets([tp]), await reader.end_offsets([tp])
        assign_and_seek(reader, starts)
        while await reader.position(tp) < ends[tp]:
            fetched: dict[TopicPartition, list[StoredBatch]] = await reader.getmany(tp, timeout_ms=200)
            for batch in (one for batches in fetched.values() for one in batches):
                _apply(batch, values)
    decoders = await decoders_for((value for value, _ in values.values()), context.settings, Engine)
    found = {}
    for node, (value, appended) in values.items():
        try:
            found[node] = Last(decoders.decode(value), appended)
        except SignalError:
            found[node] = Last(None, appended)
    return found


def _apply(batch: StoredBatch, values: dict[str, tuple[bytes, float]]) -> None:
    try:
        records = batch.read_all()
    except BatchError:
        return
    for record in records:
        node = (record.key or b"").decode("utf-8", "replace")
        values.pop(node, None)
        if record.value is not None:
            values[node] = record.value, record.time / 1e6


def judge(last: Mapping[str, Last], now: float, mode: str) -> list[CheckResult]:
    """Return the findings. `mode` is the workers' watchdog mode."""
    if not last:
        return [CheckResult("ok", "no engine node is announced: no bridge runs")]
    results = []
    announced = 0
    for node, (engine, appended) in sorted(last.items())[:MAX_SHOWN]:
        age = max(0.0, now - appended)
        is_announced = age <= ANNOUNCED_SECONDS
        announced += is_announced
        name = one_line(node)
        what = "unreadable" if engine is None else one_line(f"{engine.kind} {engine.version}".strip())
        if is_announced:
            rooms = "" if engine is None else f", {counted(engine.rooms, 'room')}"
            results.append(CheckResult("ok", f"node {name}: {what}, announced {age:.0f} s ago{rooms}"))
        else:
            found = f"node {name}: {what}, not announced for {age:.0f} s: its bridge does not run"
            remedy = (
                f"start it; if the engine is gone for good, `conference-pipeline engine retire {shlex.quote(name)}`"
            )
            results.append(CheckResult("warning", found, remedy))
    if len(last) > MAX_SHOWN:
        results.append(CheckResult("ok", f"and {len(last) - MAX_SHOWN} more nodes"))
    if announced and mode == "dispatch":
        found = "engine nodes are announced, and PIPELINE_WATCHDOG_MODE is dispatch: every file is cut at its time"
        remedy = "set PIPELINE_WATCHDOG_MODE=progress for the workers, and for doctor"
        results.append(CheckResult("warning", found, remedy))
    return results
