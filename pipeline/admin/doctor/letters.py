"""Whether records became dead letters lately, why, and whether a producer uses a wrong partitioner."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, CheckResult, counted
from pipeline.admin.topic_shape import RUNBOOK
from pipeline.core.merge import Record
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.record_reader import BatchError, find_headers
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.error_text import one_line
from pipeline.topics import DEAD

READ: Final = 200
"""Offsets before the end of each partition that are read."""
RECENT_SECONDS: Final = 86_400
MESSAGE: Final = "__connect.errors.exception.message"
_NAMES: Final = ("ce_signal", MESSAGE)
WRONG_PARTITION: Final = "belongs on partition"
"""Part of the reason of a signal on a wrong partition (worker/task.py)."""


class Letter(NamedTuple):
    """A dead letter: when it was written, in seconds, the place of the record, and the reason."""

    time: float
    place: str
    reason: str


async def check_letters(context: CheckContext) -> list[CheckResult]:
    """Read the latest dead letters, and report their number and the latest reason."""
    partitions = await context.partitions([DEAD])
    async with context.consumer() as reader:
        starts, ends = await reader.beginning_offsets(partitions), await reader.end_offsets(partitions)
        kept = sum(ends[tp] - starts[tp] for tp in partitions)
        begins = {tp: max(starts[tp], ends[tp] - READ) for tp in partitions if starts[tp] < ends[tp]}
        letters = [_letter(record) for record in await _read(reader, begins, ends)]
    return list(judge(letters, kept, time.time()))


async def _read(
    reader: AIOKafkaConsumer, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> list[Record]:
    found: list[Record] = []
    left = set(begins)
    if left:
        assign_and_seek(reader, begins)
    while left:
        fetched: dict[TopicPartition, list[StoredBatch]] = await reader.getmany(*left, timeout_ms=200)
        for batches in fetched.values():
            for batch in batches:
                with contextlib.suppress(BatchError):  # only workers may write there; the check need not fail for it
                    found += batch.read_all()
        left = {tp for tp in left if await reader.position(tp) < ends[tp]}
    return found


def _letter(record: Record) -> Letter:
    """Return what the headers of a dead letter say; anyone who may write to the topic may have written others."""
    headers = record.headers
    known = dict(find_headers(headers, _NAMES)) if isinstance(headers, bytes) else dict(headers)
    place, reason = (one_line((known.get(name) or b"").decode("utf-8", "replace"), 200) for name in _NAMES)
    return Letter(record.time / 1e6, place or "an unknown place", reason or "no reason given")


def judge(letters: list[Letter], kept: int, now: float) -> list[CheckResult]:
    """Return what the latest letters mean; `kept` is an upper bound of those in the topic. Pure."""
    recent = [letter for letter in letters if letter.time > now - RECENT_SECONDS]
    wrong = [letter for letter in recent if WRONG_PARTITION in letter.reason]
    results = []
    if wrong:
        found = f"at least {counted(len(wrong), 'signal')} in 24 h came on a wrong partition; {_shown(wrong)}"
        remedy = f'set the producer\'s partitioner to murmur2; {RUNBOOK}, "ConferencePipelineWrongPartition"'
        results.append(CheckResult("wrong", found, remedy))
    if others := [letter for letter in recent if letter not in wrong]:
        found = f"at least {counted(len(others), 'dead letter')} in 24 h; {_shown(others)}"
        remedy = f'the producer must fix them and send them again; {RUNBOOK}, "ConferencePipelineDeadLetters"'
        results.append(CheckResult("warning", found, remedy))
    if results:
        return results
    kept_text = f"; at most {kept} older ones are kept" if kept else ""
    return [CheckResult("ok", f"no dead letter in 24 h{kept_text}")]


def _shown(letters: list[Letter]) -> str:
    latest = max(letters)
    return f"the latest, {datetime.fromtimestamp(latest.time, UTC):%Y-%m-%d %H:%M:%S}Z, {latest.place}: {latest.reason}"
