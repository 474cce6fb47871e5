"""Does the work go on? Who does it, what waits, and what holds readers back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.site import CheckContext, CheckResult
from pipeline.admin.doctor.tails import KEY, Tail, reading
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.topics import API, ROOMS, SIGNAL_TOPICS, TOPICS

LIVE_SECONDS: Final = 10.0
"""A signal that has waited for less is under way."""
MOMENT: Final = 3.0
"""Seconds after which a transaction is no unit of a healthy worker any more, which takes a fraction of one."""


# --- who -----------------------------------------------------------------------------------------------------


async def group(site: CheckContext) -> list[CheckResult]:
    """The members of the group, and the partitions that nobody has."""
    settings = site.settings
    async with site.admin() as admin:
        found = await admin.group(admin, settings.group_id)
    name = f"group {settings.group_id!r}"
    if not found.members:
        state = "is not known" if found.state == "Dead" else "has no members"
        return [
            CheckResult(
                "wrong", f"{name} {state}: nobody works", "start workers; is PIPELINE_GROUP_ID theirs?"
            )
        ]
    if found.state != "Stable":
        text = f"{name} is being rebalanced ({found.state}), {len(found.members)} members"
        return [
            CheckResult("warning", text, "ask again in some seconds; if it stays, look at the workers' logs")
        ]
    api = API.full_name(settings.topic_prefix)
    owned = Counter(tp.partition for _, tps in found.members for tp in tps if tp.topic == api)
    hosts = Counter({host: 0 for host, _ in found.members})
    for host, tps in found.members:
        hosts[host] += sum(tp.topic == api for tp in tps)
    shares = ", ".join(f"{host} {count}" for host, count in sorted(hosts.items()))
    text = f"{name} is stable, {len(found.members)} members; partitions by host: {shares}"
    unowned = [n for n in range(settings.partitions) if n not in owned]
    if unowned:
        remedy = "are all members workers of these topics (PIPELINE_TOPIC_PREFIX)? restart them"
        return [CheckResult("wrong", f"{text}; nobody owns {_numbers(unowned)}", remedy)]
    idle = len(found.members) - settings.partitions
    if idle > 0:
        return [
            CheckResult("warning", f"{text}; {idle} have nothing to do", "no more workers than partitions")
        ]
    return [CheckResult("ok", text)]


def _numbers(partitions: list[int]) -> str:
    return f"partition{'s' * (len(partitions) != 1)} {', '.join(map(str, partitions))}"


# --- what waits ----------------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """Of one input: how many offsets lie between the position and the end, of which some may be markers of producers'
    transactions, and how long the first signal among them waits, in seconds by this machine's clock."""

    offsets: int
    seconds: float


async def lag(site: CheckContext) -> list[CheckResult]:
    """Each input from the workers' position, which stands in the table, to its end."""
    inputs = await site.partitions(SIGNAL_TOPICS)
    tails = await site.tails()
    async with site.consumer() as reader:
        starts, ends = await reader.beginning_offsets(inputs), await reader.end_offsets(inputs)
        at, said = dict(starts), []
        for tail in tails.values():
            for known in tail.position.positions if tail.position else ():
                tp = TopicPartition(known.topic, known.partition)
                if tp in at:
                    at[tp] = known.offset
        for tp in inputs:
            said += _impossible(tp, at[tp], starts[tp], ends[tp])
        said += _strangers(site, tails)
        behind = {tp: offset for tp, offset in at.items() if starts[tp] <= offset < ends[tp]}
        first = await _first(reader, behind, ends)
    gauge = await _groups(site)
    said += _lost(tails, gauge, starts)
    now = time.time()
    waiting = {tp: Waiting(ends[tp] - at[tp], now - first[tp] / 1000) for tp in behind if first[tp]}
    return [*said, _lag(len(inputs), waiting, _gauge(gauge, at))]


def _strangers(site: CheckContext, tails: dict[int, Tail]) -> list[CheckResult]:
    """Partitions that another group's worker wrote last: the fence between workers is their group."""
    ours = site.settings.group_id
    if site.settings.transactional_id and not site.settings.transactional_id.startswith(ours):
        return []  # the ids say nothing of the group
    writers = {
        number: tail.position.transactional_id
        for number, tail in tails.items()
        if tail.position and not tail.position.transactional_id.startswith(ours)
    }
    if not writers:
        return []
    text = f"{_numbers(sorted(writers))} was last written by {min(writers.values())!r}, not of group {ours!r}"
    remedy = (
        "two groups on one PIPELINE_TOPIC_PREFIX say everything twice: never run both; "
        "after a move the next signal mends this"
    )
    return [CheckResult("warning", text, remedy)]


def _impossible(tp: TopicPartition, offset: int, start: int, end: int) -> list[CheckResult]:
    """A position that the log does not have: a worker that gets this partition ends."""
    place = f"{tp.topic} partition {tp.partition}"
    if offset < start:
        text = f"{start - offset} signals of {place} were deleted unread (offsets {offset} to {start - 1})"
        remedy = 'docs/howto/runbook.md, "Signals were deleted unread"'
        return [CheckResult("wrong", text, remedy)]
    if offset > end:
        text = (
            f"{place} ends at offset {end}, before the workers' position {offset}: it was created anew or cut"
        )
        return [CheckResult("wrong", text, "another PIPELINE_TOPIC_PREFIX, or bring the topic back")]
    return []


async def _first(
    reader: AIOKafkaConsumer, behind: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """The append time of the first record from each offset on, in milliseconds; 0 if there are only markers."""
    found = dict.fromkeys(behind, 0)
    if not behind:
        return found
    assign_and_seek(reader, behind)
    left = set(behind)
    while left:
        fetched: dict[TopicPartition, list[Any]] = await reader.getmany(*left, timeout_ms=200)
        for tp, records in fetched.items():
            found[tp] = records[0].timestamp
        left -= fetched.keys()
        left -= {tp for tp in left if await reader.position(tp) >= ends[tp]}
    return found


async def _groups(site: CheckContext) -> dict[TopicPartition, int]:
    """The group's offsets: a gauge for others' tools; none where they can't be had."""
    try:
        async with site.admin() as admin:
            known = await admin.list_consumer_group_offsets(site.settings.group_id)
    except KafkaError:
        return {}
    return {tp: found.offset for tp, found in known.items()}


def _gauge(known: dict[TopicPartition, int], at: dict[TopicPartition, int]) -> str:
    off = max((abs(at[tp] - offset) for tp, offset in known.items() if tp in at), default=0)
    return f"; the group's offsets, which are only a gauge, are off by up to {off}" if off else ""


def _lost(
    tails: dict[int, Tail], known: dict[TopicPartition, int], starts: dict[TopicPartition, int]
) -> list[CheckResult]:
    """Partitions that the group has worked on, and whose table knows nothing of it."""
    worked = {tp.partition for tp, offset in known.items() if offset > starts.get(tp, offset)}
    lost = sorted(number for number in worked if number in tails and tails[number].position is None)
    if not lost:
        return []
    text = f"the table is empty for {_numbers(lost)}, and the group has worked there: it was lost"
    remedy = "stop the workers, they would say all that is retained again; docs/howto/runbook.md, 'The table is lost'"
    return [CheckResult("wrong", text, remedy)]


def _lag(inputs: int, waiting: dict[TopicPartition, Waiting], groups: str) -> CheckResult:
    if not waiting:
        return CheckResult(
            "ok", f"nothing waits: the workers' positions are at the end of all {inputs} inputs{groups}"
        )
    total = sum(one.offsets for one in waiting.values())
    most = max(waiting, key=lambda tp: waiting[tp].offsets)
    seconds = max(0.0, *(one.seconds for one in waiting.values()))
    text = (
        f"at most {total} signals wait on {len(waiting)} of {inputs} inputs, the first for {seconds:.0f} s; the most, "
        f"{waiting[most].offsets}, on {most.topic} partition {most.partition}{groups}"
    )
    if seconds < LIVE_SECONDS:
        return CheckResult("ok", text)
    return CheckResult(
        "warning", text, 'docs/howto/runbook.md, "ConferencePipelineLag" and "ConferencePipelineNoProgress"'
    )


# --- what holds readers back ---------------------------------------------------------------------------------


async def transactions(site: CheckContext) -> list[CheckResult]:
    """Partitions whose last stable offset stands still before their end: an open transaction, longer than a moment."""
    everything = await site.partitions(TOPICS)
    async with site.consumer() as committed, site.consumer("read_uncommitted") as all_of_it:

        async def held() -> dict[TopicPartition, int]:
            stable, ends = await committed.end_offsets(everything), await all_of_it.end_offsets(everything)
            return {tp: offset for tp, offset in stable.items() if offset < ends[tp]}

        before = await held()
        if before:
            await asyncio.sleep(MOMENT)
            before = dict(before.items() & (await held()).items())
        readable = {topic.full_name(site.settings.topic_prefix) for topic in (*SIGNAL_TOPICS, ROOMS)}
        openers = {
            tp: await _opener(site, all_of_it, tp, at) for tp, at in before.items() if tp.topic in readable
        }
    said = [_held(site, tp, at, openers) for tp, at in sorted(before.items())]
    return said or [
        CheckResult("ok", f"none is open for longer than {MOMENT:g} s on {len(everything)} partitions")
    ]


class Opener(NamedTuple):
    """What the first record of an open transaction tells: its append time in milliseconds, and in the table its owner,
    a transactional id."""

    time: int
    owner: str


async def _opener(site: CheckContext, reader: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> Opener:
    """The position record is the first that a worker's transaction writes."""
    assign_and_seek(reader, {tp: offset})
    fetched: dict[TopicPartition, list[Any]] = await reader.getmany(tp, timeout_ms=2000)
    if not fetched:  # it ended just now
        return Opener(0, "")
    first = fetched[tp][0]
    if first.key != KEY or not first.value:
        return Opener(first.timestamp, "")
    read = await reading({first.value}, site.settings)
    return Opener(first.timestamp, read[first.value[:5]](first.value).transactional_id)


def _held(
    site: CheckContext, tp: TopicPartition, offset: int, openers: dict[TopicPartition, Opener]
) -> CheckResult:
    prefix = site.settings.topic_prefix
    table = openers.get(TopicPartition(ROOMS.full_name(prefix), tp.partition), Opener(0, ""))
    opener = openers.get(tp, table)
    since = f", since {datetime.fromtimestamp(opener.time / 1000, UTC):%H:%M:%S}Z" if opener.time else ""
    place = f"{tp.topic} partition {tp.partition}"
    abort = (
        f"kafka-transactions.sh abort --topic {tp.topic} --partition {tp.partition} --start-offset {offset}"
    )
    if tp.topic in {topic.full_name(prefix) for topic in SIGNAL_TOPICS}:
        text = f"a producer's open transaction hides {place} from offset {offset} on{since}; its timeouts wait, too"
        return CheckResult("warning", text, f"stop that producer, or {abort}")
    whose = f" of {opener.owner!r}" if opener.owner else ""
    text = f"an open transaction{whose} holds readers of {place} back at offset {offset}{since}"
    return CheckResult(
        "wrong",
        text,
        f"whoever takes over the partition ends it, the broker after a minute; if it stays: {abort}",
    )
