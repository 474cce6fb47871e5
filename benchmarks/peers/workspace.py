"""The servers of the benchmark, and the topics and schema ids of a run."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.admin.setup import setup
from pipeline.devstack import Stack
from pipeline.kafka.schema_registry import Registry
from pipeline.settings import load

PARTITIONS: Final = 12
NO_LEADER_YET: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
BROKER_HEAP_MB: Final = 1024
BROKER_FLAGS: Final = ("-XX:+UseG1GC",)


class Servers:
    """A running broker and registry."""

    def __init__(self, stack: Stack) -> None:
        status = stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        self.bootstrap, self.registry = status.bootstrap_servers, status.schema_registry_url
        [self.broker] = [each.pid for each in status.processes if each.name.startswith("kafka")]
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def topics(self) -> list[str]:
        """Return all topics except Kafka's internal ones."""
        return [name for name in self.admin.list_topics(timeout=30).topics if not name.startswith("__")]

    def remove(self, names: list[str]) -> None:
        """Delete topics and wait until they are gone."""
        if not names:
            return
        for done in self.admin.delete_topics(names, operation_timeout=30).values():
            done.result()
        while set(names) & set(self.topics()):
            time.sleep(0.1)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Run a broker and a registry; stop them and delete their data at the end."""
    stack = Stack(f"peers-{secrets.token_hex(3)}", heap_mb=BROKER_HEAP_MB, flags=BROKER_FLAGS)
    try:
        yield Servers(stack)
    finally:
        stack.down()


class Workspace:
    """The six topics under a prefix and the ids of their schemas, the same for all contestants."""

    def __init__(self, where: Servers) -> None:
        self.servers = where
        self.prefix = f"bench{secrets.token_hex(3)}"
        self.ids: dict[str, int] = {}

    def set_up(self) -> None:
        """Create the missing topics and schemas."""
        asyncio.run(self._set_up())

    async def _set_up(self) -> None:
        settings = load(
            bootstrap_servers=self.servers.bootstrap,
            registry_url=self.servers.registry,
            topic_prefix=self.prefix,
            partitions=PARTITIONS,
        )
        differences = await setup(settings, lambda _: None)
        assert differences == [], differences
        async with Registry(settings) as registry:
            self.ids = await registry.schema_ids(self.prefix)

    def empty_outputs(self) -> None:
        """Recreate the output topics and delete all topics that the previous contestant created."""
        kept = {f"{self.prefix}.{name}" for name in ("api.signals", "media.signals")}
        self.servers.remove([name for name in self.servers.topics() if name not in kept])
        self.set_up()

    def remove(self) -> None:
        """Delete all topics."""
        self.servers.remove(self.servers.topics())

    def partitions(self, topic: str = "events") -> list[TopicPartition]:
        """Return the partitions of one of the six topics."""
        return [TopicPartition(f"{self.prefix}.{topic}", number) for number in range(PARTITIONS)]

    def written(self, isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        """Return the sum of the events topic's end offsets: events, a few markers, aborted records. Cheap.

        With `READ_COMMITTED`, the sum of the last stable offsets.
        """
        asked = dict.fromkeys(self.partitions(), OffsetSpec.latest())
        while True:
            try:
                found = self.servers.admin.list_offsets(asked, isolation_level=isolation)
                return sum(one.result().offset for one in found.values())
            except KafkaException as error:  # recreated topics may not have a leader yet
                if error.args[0].code() not in NO_LEADER_YET:
                    raise
                time.sleep(0.1)
