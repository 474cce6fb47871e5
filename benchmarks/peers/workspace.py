"""Where the contestants work: a broker and a registry of their own, topics under a prefix, schema ids."""

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
        """All that are there, without Kafka's own."""
        return [name for name in self.admin.list_topics(timeout=30).topics if not name.startswith("__")]

    def remove(self, names: list[str]) -> None:
        """Delete topics, and return when they are gone."""
        if not names:
            return
        for done in self.admin.delete_topics(names, operation_timeout=30).values():
            done.result()
        while set(names) & set(self.topics()):
            time.sleep(0.1)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """They are stopped, and their data removed, at the end."""
    stack = Stack(f"peers-{secrets.token_hex(3)}", heap_mb=BROKER_HEAP_MB, flags=BROKER_FLAGS)
    try:
        yield Servers(stack)
    finally:
        stack.down()


class Workspace:
    """The six topics under a prefix, and the ids of their schemas. The peers take the same names."""

    def __init__(self, where: Servers) -> None:
        self.servers = where
        self.prefix = f"bench{secrets.token_hex(3)}"
        self.ids: dict[str, int] = {}

    def set_up(self) -> None:
        """Create what is missing of the topics and schemas."""
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
        """Nothing is left of the contestant before, nor of topics that it made for itself."""
        kept = {f"{self.prefix}.{name}" for name in ("api.signals", "media.signals")}
        self.servers.remove([name for name in self.servers.topics() if name not in kept])
        self.set_up()

    def remove(self) -> None:
        """Delete everything but the servers."""
        self.servers.remove(self.servers.topics())

    def partitions(self, topic: str = "events") -> list[TopicPartition]:
        """Those of one of the six topics."""
        return [TopicPartition(f"{self.prefix}.{topic}", number) for number in range(PARTITIONS)]

    def written(self, isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        """Offsets used in the topic of events: events, and a few markers and aborted records; `READ_COMMITTED`: those
        before the first open transaction. Cheap."""
        asked = dict.fromkeys(self.partitions(), OffsetSpec.latest())
        while True:
            try:
                found = self.servers.admin.list_offsets(asked, isolation_level=isolation)
                return sum(one.result().offset for one in found.values())
            except KafkaException as error:  # topics that have just been made anew may have no leader yet
                if error.args[0].code() not in NO_LEADER_YET:
                    raise
                time.sleep(0.1)
