"""Topics that are missing or have another number of partitions: what to say, and what lies where no worker reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.kafka.admin import TopicMetadata
from pipeline.kafka.oauth import client_options
from pipeline.settings import Settings
from pipeline.topics import ALL_TOPICS, TOPICS

RUNBOOK: Final = "see docs/howto/runbook.md"


def missing(topics: Mapping[str, TopicMetadata]) -> list[str]:
    """Return the names of the topics that do not exist."""
    return [name for name, topic in topics.items() if topic.missing]


def other_partitions(topics: Mapping[str, TopicMetadata], expected: int) -> dict[str, int]:
    """Return the existing topics that have another number of partitions, with that number."""
    fixed = {f".{topic.name}": topic.fixed_partitions for topic in ALL_TOPICS if topic.fixed_partitions}
    return {
        name: topic.partitions
        for name, topic in topics.items()
        if topic.error.errno == 0 and topic.partitions != fixed.get(name[name.find(".") :], expected)
    }


async def partition_faults(topics: Mapping[str, TopicMetadata], settings: Settings) -> list[str]:
    """Return a line for each wrong number of partitions, with the records that no worker reads. Raises KafkaError."""
    wrong, by_count = other_partitions(topics, settings.partitions), dict[int, list[str]]()
    for name, count in wrong.items():
        by_count.setdefault(count, []).append(name)
    if not wrong:
        return []
    unread = await _records_beyond(wrong, settings)
    all_alike = len(by_count) == 1 and len(wrong) == len(TOPICS)
    lines = []
    for count, names in by_count.items():
        remedy = f'{RUNBOOK}, "Another number of partitions"'
        if all_alike:
            remedy = f"set PIPELINE_PARTITIONS={count}, or recreate empty topics"
        lost = [
            f", and no worker reads the {records} records on partition {tp.partition} of {tp.topic}"
            for tp, records in sorted(unread.items())
            if tp.topic in names
        ]
        lines.append(
            f"{subject(names, 'has', 'have')} {count} partitions, expected {settings.partitions}: signals would be on "
            f"other partitions than their rooms, and become dead letters{''.join(lost)}; {remedy}"
        )
    return lines


async def _records_beyond(counts: Mapping[str, int], settings: Settings) -> dict[TopicPartition, int]:
    """Return the number of records on each partition that workers do not read, where there are any."""
    beyond = [TopicPartition(name, n) for name, count in counts.items() for n in range(settings.partitions, count)]
    if not beyond:
        return {}
    async with AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False) as reader:
        starts, ends = await reader.beginning_offsets(beyond), await reader.end_offsets(beyond)
    return {tp: ends[tp] - starts[tp] for tp in beyond if ends[tp] > starts[tp]}


def subject(names: list[str], singular: str, plural: str) -> str:
    """Return the subject and the verb of a sentence about these topics."""
    return f"topic {names[0]} {singular}" if len(names) == 1 else f"topics {', '.join(names)} {plural}"
