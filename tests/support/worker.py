"""Stand-ins for what surrounds an engine: a registry, log offsets, tasks without records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Merge
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.worker import schemas
from pipeline.worker.engine import Engine
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.task import PartitionTask


class FakeRegistry:
    """Schemas by id: `FakeRegistry({7: text})`. `asked` are the ids that were looked up."""

    def __init__(self, texts: Mapping[int, str] | None = None) -> None:
        self.texts = dict(texts or {})
        self.asked: list[int] = []

    async def schema(self, schema_id: int) -> str | None:
        self.asked.append(schema_id)
        return self.texts.get(schema_id)


class NothingOpen:
    """Log offsets of logs in which no transaction is open and all records are visible."""

    async def open_transactions(self, numbers: Iterable[int] | None = None) -> dict[TopicPartition, int]:
        return {}

    async def not_visible(self, offsets: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        return set()


def an_engine(settings: Settings, transactions: Any) -> Engine:
    """An engine without tasks."""
    encoder, decoder = OutputEncoder("p", dict.fromkeys(SCHEMAS, 1)), SignalDecoder()
    registry: Any = FakeRegistry()
    return Engine(settings, encoder, decoder, schemas.Learner(registry, decoder), transactions, Metrics())


def a_task(number: int = 0, partition: Partition | None = None, owner: str = "") -> PartitionTask:
    """A task on the topics `api` and `media`, without records."""
    merge = Merge(Input("api", number, 0), Input("media", number, 0))
    return PartitionTask(number, partition or Partition(Rules()), merge, owner)
