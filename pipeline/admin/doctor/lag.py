"""How far the workers are behind, and whether their positions fit the logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, CheckResult, partition_list
from pipeline.admin.doctor.last_records import LastRecords
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.settings import Settings
from pipeline.topics import SIGNAL_TOPICS

MAX_AGE: Final = 10.0
"""Age in seconds from which an unread signal is a warning."""

Offsets = Mapping[TopicPartition, int]


class Backlog(NamedTuple):
    """The unread part of one input."""

    offsets: int
    """Offsets from the position to the end. Markers of producers' transactions count, too."""
    seconds: float
    """Age of the first unread signal, by this machine's clock."""


async def check_lag(context: CheckContext) -> list[CheckResult]:
    """Compare each input with the workers' position, which is in the table."""
    inputs = await context.partitions(SIGNAL_TOPICS)
    tables = await context.last_records()
    async with context.consumer() as reader:
        starts, ends = await reader.beginning_offsets(inputs), await reader.end_offsets(inputs)
        positions = _positions(tables, starts)
        unread = {tp: offset for tp, offset in positions.items() if starts[tp] <= offset < ends[tp]}
        first = await _first_times(reader, unread, ends)
    committed = await _committed_offsets(context)
    now = time.time()
    backlogs = {tp: Backlog(ends[tp] - positions[tp], now - first[tp] / 1000) for tp in unread if first[tp]}
    return [
        *(result for tp in inputs for result in _check_position(tp, positions[tp], starts[tp], ends[tp])),
        *_check_writers(context.settings, tables),
        *_check_lost_table(tables, committed, starts),
        _check_backlog(len(inputs), backlogs, _difference(committed, positions)),
    ]


def _positions(tables: Mapping[int, LastRecords], starts: Offsets) -> dict[TopicPartition, int]:
    """Return the next offset of each input; without a position, its first."""
    positions = dict(starts)
    for last in tables.values():
        for known in last.position.positions if last.position else ():
            tp = TopicPartition(known.topic, known.partition)
            if tp in positions:
                positions[tp] = known.offset
    return positions


async def _first_times(reader: AIOKafkaConsumer, offsets: Offsets, ends: Offsets) -> dict[TopicPartition, int]:
    """Return the append time of the first record from each offset on, in milliseconds; 0 without a record."""
    times = dict.fromkeys(offsets, 0)
    if not offsets:
        return times
    assign_and_seek(reader, offsets)
    left = set(offsets)
    while left:
        fetched: dict[TopicPartition, list[Any]] = await reader.getmany(*left, timeout_ms=200)
        for tp, records in fetched.items():
            times[tp] = records[0].timestamp
        left -= fetched.keys()
        left -= {tp for tp in left if await reader.position(tp) >= ends[tp]}
    return times


async def _committed_offsets(context: CheckContext) -> dict[TopicPartition, int]:
    """Return the group's committed offsets, which only other tools read; empty when they are unavailable."""
    try:
        async with context.admin() as admin:
            committed = await admin.list_consumer_group_offsets(context.settings.group_id)
    except KafkaError:
        return {}
    return {tp: found.offset for tp, found in committed.items()}


def _check_position(tp: TopicPartition, offset: int, start: int, end: int) -> list[CheckResult]:
    """Report a position outside the log: the next worker that gets this partition ends."""
    name = f"{tp.topic} partition {tp.partition}"
    if offset < start:
        found = f"{start - offset} signals of {name} were deleted unread (offsets {offset} to {start - 1})"
        return [CheckResult("wrong", found, 'see docs/howto/deploy.md, "Signals were deleted unread"')]
    if offset > end:
        found = f"{name} ends at offset {end}, before the workers' position {offset}: it was recreated or truncated"
        return [CheckResult("wrong", found, "restore the topic, or use another PIPELINE_TOPIC_PREFIX")]
    return []


def _check_writers(settings: Settings, tables: Mapping[int, LastRecords]) -> list[CheckResult]:
    """Report partitions whose last writer is in another group: only workers of one group fence each other."""
    group = settings.group_id
    if settings.transactional_id and not settings.transactional_id.startswith(group):
        return []  # the ids do not contain the group
    writers = {
        number: last.position.transactional_id
        for number, last in tables.items()
        if last.position and not last.position.transactional_id.startswith(group)
    }
    if not writers:
        return []
    found = f"the last writer of {partition_list(sorted(writers))} is {min(writers.values())!r}, not of group {group!r}"
    remedy = (
        "two groups with one PIPELINE_TOPIC_PREFIX publish each event twice: stop one of them; after a change of the "
        "group, this ends with the next signal of each partition"
    )
    return [CheckResult("warning", found, remedy)]


def _check_lost_table(tables: Mapping[int, LastRecords], committed: Offsets, starts: Offsets) -> list[CheckResult]:
    """Report partitions for which the group has committed offsets, but the table has no position."""
    worked = {tp.partition for tp, offset in committed.items() if offset > starts.get(tp, offset)}
    lost = sorted(number for number in worked if number in tables and tables[number].position is None)
    if not lost:
        return []
    found = f"the table was lost: it is empty for {partition_list(lost)}, where the group has committed offsets"
    remedy = (
        "stop the workers, which would publish the events of all retained signals again; "
        'see docs/howto/runbook.md, "The table is lost"'
    )
    return [CheckResult("wrong", found, remedy)]


def _check_backlog(inputs: int, backlogs: Mapping[TopicPartition, Backlog], difference: str) -> CheckResult:
    if not backlogs:
        found = f"no backlog: the workers' positions are at the end of all {inputs} inputs{difference}"
        return CheckResult("ok", found)
    total = sum(backlog.offsets for backlog in backlogs.values())
    largest = max(backlogs, key=lambda tp: backlogs[tp].offsets)
    seconds = max(0.0, *(backlog.seconds for backlog in backlogs.values()))
    found = (
        f"backlog of at most {total} signals on {len(backlogs)} of {inputs} inputs, the oldest {seconds:.0f} s old; "
        f"the largest, {backlogs[largest].offsets}, on {largest.topic} partition {largest.partition}{difference}"
    )
    if seconds < MAX_AGE:
        return CheckResult("ok", found)
    remedy = 'see docs/howto/runbook.md, "ConferencePipelineLag" and "ConferencePipelineNoProgress"'
    return CheckResult("warning", found, remedy)


def _difference(committed: Offsets, positions: Offsets) -> str:
    """Return a text when the committed offsets, which workers do not read, are not the positions."""
    most = max((abs(positions[tp] - offset) for tp, offset in committed.items() if tp in positions), default=0)
    return f"; the group's committed offsets, which workers do not read, differ by up to {most}" if most else ""
