"""Whether workers run and keep up, and whether an open transaction holds back readers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.admin.doctor.context import (
    CheckContext,
    CheckResult,
    LastRecords,
    counted,
    decoders_for,
    table_records,
)
from pipeline.admin.signal_loss import Log, judge
from pipeline.admin.table_loss import lost_rows, lost_text, partition_list
from pipeline.admin.topic_shape import RUNBOOK
from pipeline.kafka.admin import describe_group
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.kafka.transaction_owners import ENDED, Owner, owners
from pipeline.model.records import TopicPosition
from pipeline.model.row_keys import POSITION_KEY
from pipeline.settings import Settings
from pipeline.topics import API, ROOMS, SIGNAL_TOPICS, TOPICS

MAX_AGE: Final = 10.0
"""Age in seconds from which an unread signal is a warning."""
MAX_OPEN_SECONDS: Final = 3.0
"""A unit of a healthy worker takes a fraction of this."""
Offsets = Mapping[TopicPartition, int]


async def check_group(context: CheckContext) -> list[CheckResult]:
    """Check the members of the group, and find partitions without an owner."""
    settings = context.settings
    async with context.admin() as admin:
        group = await describe_group(admin, settings.group_id)
    name, members = f"group {settings.group_id!r}", counted(len(group.members), "member")
    if not group.members:
        problem = "does not exist" if group.state == "Dead" else "has no members"
        remedy = "start workers, or set PIPELINE_GROUP_ID to the group of the workers"
        return [CheckResult("wrong", f"{name} {problem}: no worker runs", remedy)]
    if group.state != "Stable":
        remedy = "run doctor again in some seconds; if this lasts, look at the workers' logs"
        return [CheckResult("warning", f"{name} is rebalancing ({group.state}), {members}", remedy)]
    topic, by_host, unowned = API.full_name(settings.topic_prefix), Counter[str](), set(range(settings.partitions))
    for host, assignment in group.members:
        owned = {tp.partition for tp in assignment if tp.topic == topic}
        by_host[host] += len(owned)
        unowned -= owned
    shares = ", ".join(f"{host} {count}" for host, count in sorted(by_host.items()))
    found = f"{name} is stable, {members}; partitions by host: {shares}"
    if unowned:
        remedy = "check that all members are workers with this PIPELINE_TOPIC_PREFIX, and restart them"
        return [CheckResult("wrong", f"{found}; no owner of {partition_list(sorted(unowned))}", remedy)]
    idle = len(group.members) - settings.partitions
    if idle > 0:
        found = f"{found}; {counted(idle, 'member')} without a partition"
        return [CheckResult("warning", found, "run at most as many workers as partitions")]
    return [CheckResult("ok", found)]


async def check_lag(context: CheckContext) -> list[CheckResult]:
    """Compare each input with the workers' position, which is in the table."""
    described = await context.described(SIGNAL_TOPICS)
    inputs = [TopicPartition(name, n) for name, topic in described.items() for n in range(topic.partitions)]
    tables = await context.last_records()
    known = [input_ for last in tables.values() if last.position for input_ in last.position.positions]
    recorded = {TopicPartition(input_.topic, input_.partition): input_ for input_ in known}
    async with context.consumer() as reader:
        starts, ends = await reader.beginning_offsets(inputs), await reader.end_offsets(inputs)
        positions = {tp: recorded[tp].offset if tp in recorded else start for tp, start in starts.items()}
        unread = {tp: offset for tp, offset in positions.items() if starts[tp] <= offset < ends[tp]}
        first = await first_times(reader, unread, ends)
    committed = await context.committed()
    # Markers of producers' transactions count, too.
    backlog = {tp: ends[tp] - positions[tp] for tp in first}
    age = max(0.0, time.time() - min(first.values(), default=0) / 1000)
    most = max((abs(positions[tp] - found.offset) for tp, found in committed.items() if tp in positions), default=0)
    committed_text = f"; the group's committed offsets, which workers do not read, differ by up to {most}"
    logs = {tp: Log(described[tp.topic].topic_id, starts[tp], ends[tp]) for tp in inputs}
    return [
        *(result for tp in inputs if tp in recorded for result in _check_position(tp, recorded[tp], logs[tp])),
        *await _check_writers(context, tables),
        *await _check_table(context, tables, committed),
        _check_backlog(len(inputs), backlog, age, committed_text if most else ""),
    ]


async def first_times(reader: AIOKafkaConsumer, offsets: Offsets, ends: Offsets) -> dict[TopicPartition, int]:
    """Return the append time of the first record from each offset on, in milliseconds, if there is a record."""
    times: dict[TopicPartition, int] = {}
    if offsets:
        assign_and_seek(reader, offsets)
    left = set(offsets)
    while left:
        fetched: dict[TopicPartition, list[StoredBatch]] = await reader.getmany(*left, timeout_ms=200)
        times |= {tp: batches[0].written_at // 1000 for tp, batches in fetched.items()}
        left -= fetched.keys()
        left -= {tp for tp in left if await reader.position(tp) >= ends[tp]}
    return times


def _check_position(tp: TopicPartition, known: TopicPosition, now: Log) -> list[CheckResult]:
    """Report a position that the log does not have: the next worker that gets this partition ends."""
    loss, _ = judge(tp, known, now)
    if loss is None:
        return []
    found = f"{loss}; the position is {known.offset} on partition {tp.partition}"
    return [CheckResult("wrong", found, f'{RUNBOOK}, "Signals were deleted unread"')]


async def _check_writers(context: CheckContext, tables: Mapping[int, LastRecords]) -> list[CheckResult]:
    """Report partitions whose last writer is in another group: only workers of one group fence each other."""
    own, by_group = context.settings.group_id, dict[str, list[int]]()
    for number, last in tables.items():
        if last.position is not None and last.position.group_id not in ("", own):
            by_group.setdefault(last.position.group_id, []).append(number)
    results = []
    for group, numbers in by_group.items():
        found = f"the last writer of {partition_list(numbers)} is in group {group!r}, not in {own!r}"
        remedy = f'workers of {own!r} continue there; {RUNBOOK}, "Another group"'
        async with context.admin() as admin:
            try:
                members = len((await describe_group(admin, group)).members)
            except GroupAuthorizationFailedError:
                results.append(CheckResult("wrong", found, f"allow this client Describe on group {group}"))
                continue
        if members:
            remedy = f"set PIPELINE_GROUP_ID={group}, or stop them before workers of {own!r} start"
            results.append(CheckResult("wrong", f"{found}, and that group has {counted(members, 'member')}", remedy))
        else:
            results.append(CheckResult("warning", f"{found}; that group has no members", remedy))
    return results


async def _check_table(
    context: CheckContext, tables: Mapping[int, LastRecords], committed: Mapping[TopicPartition, OffsetAndMetadata]
) -> list[CheckResult]:
    """Report partitions of the table that have lost rows, as the group's committed offsets prove."""
    [(name, table)] = (await context.described([ROOMS])).items()
    positions = {number: last.position for number, last in tables.items() if last.position is not None}
    lost = lost_rows(committed, positions, table.topic_id)
    if not lost:
        return []
    return [CheckResult("wrong", lost_text(name, lost), f'stop all workers, and {RUNBOOK}, "The table is lost"')]


def _check_backlog(inputs: int, backlog: Offsets, age: float, committed: str) -> CheckResult:
    if not backlog:
        return CheckResult("ok", f"no backlog: the workers' positions are at the end of all {inputs} inputs{committed}")
    most = max(backlog, key=lambda tp: backlog[tp])
    found = (
        f"backlog of at most {sum(backlog.values())} signals on {len(backlog)} of {inputs} inputs, the oldest "
        f"{age:.0f} s old; the largest, {backlog[most]}, on {most.topic} partition {most.partition}{committed}"
    )
    if age < MAX_AGE:
        return CheckResult("ok", found)
    remedy = 'see docs/howto/runbook.md, "ConferencePipelineLag" and "ConferencePipelineNoProgress"'
    return CheckResult("warning", found, remedy)


async def check_transactions(context: CheckContext) -> list[CheckResult]:
    """Find partitions whose last stable offset stays before the end."""
    partitions = await context.partitions(TOPICS)
    async with context.consumer() as committed, context.consumer("read_uncommitted") as uncommitted:

        async def open_transactions() -> dict[TopicPartition, int]:
            stable = await committed.end_offsets(partitions)
            ends = await uncommitted.end_offsets(partitions)
            return {tp: offset for tp, offset in stable.items() if offset < ends[tp]}

        blocked = await open_transactions()
        if blocked:
            await asyncio.sleep(MAX_OPEN_SECONDS)
            blocked = dict(blocked.items() & (await open_transactions()).items())
        known = await owners(uncommitted, blocked) or {}  # before an assignment, which drops other topics' metadata
        first = {tp: await _read_first(context.settings, uncommitted, tp, offset) for tp, offset in blocked.items()}
    results = [_describe_open(context.settings, tp, offset, first, known) for tp, offset in sorted(blocked.items())]
    ok = f"no transaction is open for longer than {MAX_OPEN_SECONDS:g} s on {len(partitions)} partitions"
    return results or [CheckResult("ok", ok)]


async def _read_first(
    settings: Settings, reader: AIOKafkaConsumer, tp: TopicPartition, offset: int
) -> tuple[float, str]:
    """Return when an open transaction wrote its first record, in seconds (0 when it has ended), and a worker's id.

    The first record of a worker's transaction in the table is a position, which names the transactional id.
    """
    assign_and_seek(reader, {tp: offset})
    fetched: dict[TopicPartition, list[StoredBatch]] = await reader.getmany(tp, timeout_ms=2000)
    if not fetched:
        return 0, ""
    batch = fetched[tp][0]
    began = batch.written_at / 1e6
    if tp.topic != ROOMS.full_name(settings.topic_prefix):
        return began, ""
    record = table_records(tp, batch)[0]
    if record.key != POSITION_KEY or not record.value:
        return began, ""
    decoders = await decoders_for([record.value], settings)
    return began, decoders.decode(record.value).transactional_id


def _describe_open(
    settings: Settings,
    tp: TopicPartition,
    offset: int,
    first: Mapping[TopicPartition, tuple[float, str]],
    known: Mapping[TopicPartition, Owner],
) -> CheckResult:
    prefix = settings.topic_prefix
    began, _ = first.get(tp, (0, ""))
    is_signals = tp.topic in {topic.full_name(prefix) for topic in SIGNAL_TOPICS}
    _, writer = first.get(TopicPartition(ROOMS.full_name(prefix), tp.partition), (0, ""))
    if is_signals:
        writer = ""  # workers do not write signals
    producer, transactional_id = known.get(tp, Owner(ENDED, writer))
    of = f" of {transactional_id!r}" if transactional_id else f" of producer {producer}" if producer != ENDED else ""
    since = f", since {datetime.fromtimestamp(began, UTC):%H:%M:%S}Z" if began else ""
    name = f"{tp.topic} partition {tp.partition}"
    abort = f"kafka-transactions.sh abort --topic {tp.topic} --partition {tp.partition} --start-offset {offset}"
    if is_signals:
        found = f"an open transaction{of} hides signals and delays timeouts of {name} from offset {offset} on{since}"
        return CheckResult("warning", found, f"stop that producer, or run {abort}")
    found = f"an open transaction{of} blocks readers of {name} at offset {offset}{since}"
    named = settings.transactional_id.startswith(settings.group_id) or not settings.transactional_id
    if producer != ENDED and named and transactional_id != writer and not settings.is_worker_id(transactional_id):
        found += f"; its transactional id is not one of group {settings.group_id!r}, so workers leave it alone"
        return CheckResult("wrong", found, f"only workers may write to this topic: stop that producer, or run {abort}")
    remedy = f"the partition's next worker ends it, or the broker after a minute; if it stays, run {abort}"
    return CheckResult("wrong", found, remedy)
