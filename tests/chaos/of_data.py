"""Faults in what the topics hold: bad and large records, aborted transactions, deletion, compaction, lost offsets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as Place
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from testkit.chaos.load import RoomLife
from testkit.chaos.logs import API, MEDIA
from testkit.chaos.world import World
from tests.chaos.of_workers import end, end_hard


def large(world: World) -> None:
    """A unit larger than a request: values of 1 MB that are no signals, and a room whose destroy says thousands."""
    with world.injecting("large"):
        rng, load = world.rng, world.load
        life = RoomLife(f"large-{rng.getrandbits(32):x}", rng, 0, hold=1500)
        while (one := life.next()) is not None:
            load.write(one)
        for _ in range(8):
            load._produce(world.pipe.topic(API), os.urandom(1_000_000), b"large", [("poison", b"1")])
            load.poisoned += 1


def poison(world: World) -> None:
    """Half of what comes is no signal."""
    with world.injecting("poison"):
        before, world.load.poison = world.load.poison, 1.0
        time.sleep(1)
        world.load.poison = before


def abort(world: World) -> None:
    """A producer of signals that writes in transactions; some of them it aborts, some it leaves open for a while."""
    name = f"tx-{world.rng.getrandbits(40):x}"
    producer = Producer(
        {
            "bootstrap.servers": world.pipe.servers.bootstrap_servers,
            "transactional.id": name,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    producer.init_transactions(60)
    with world.injecting("abort"):
        lives = [RoomLife(f"{name}-{number}", world.rng, 12) for number in range(6)]
        for _ in range(3):
            producer.begin_transaction()
            commits = world.rng.random() < 0.5
            for life in lives:
                for _ in range(4):
                    one = life.next()
                    if one is not None:
                        topic = API if one["type"].startswith("conference.") else MEDIA
                        value = world.load.value(one)
                        producer.produce(world.pipe.topic(topic), value, one["room_id"].encode())
            time.sleep(world.rng.uniform(0, 1.5))
            (producer.commit_transaction if commits else producer.abort_transaction)(60)


def retention(world: World) -> None:
    """Signals that were processed are deleted, and a worker dies: its successor begins where the topics begin."""
    with world.injecting("retention"):
        asyncio.run(_cut(world))
        end_hard(world, world.victim())


def _inputs(world: World) -> list[tuple[str, int]]:
    """The partitions of the signals, by topic and number."""
    numbers = range(world.setting.partitions)
    return [(world.pipe.topic(name), number) for name in (API, MEDIA) for number in numbers]


async def _cut(world: World) -> None:
    """Delete what is before the group's offsets; again, while the broker is in trouble."""
    # Not by librdkafka 2.16: a client without a group crashes when a coordinator refuses to tell a group's offsets.
    inputs = [Place(*place) for place in _inputs(world)]
    limit = time.monotonic() + 60
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=world.pipe.servers.bootstrap_servers)
        try:
            await admin.start()
            known = await admin.list_consumer_group_offsets(
                world.pipe.env["PIPELINE_GROUP_ID"], partitions=inputs
            )
            cuts = {tp: RecordsToDelete(before_offset=at.offset) for tp, at in known.items() if at.offset > 0}
            for tp in cuts:
                world.reader.keep(tp.topic, tp.partition)
            await admin.delete_records(cuts)
        except KafkaError:
            if time.monotonic() > limit:
                raise
            await asyncio.sleep(0.5)
        else:
            return
        finally:
            await admin.close()


def offsets_lost(world: World) -> None:
    """The group's offsets are gone, as after a week without workers: the table's log knows better."""
    held = world.slots[: world.setting.workers]
    with contextlib.ExitStack() as holding, world.injecting("offsets_lost"):
        for slot in held:
            holding.enter_context(slot.held)
            end(slot)
            world.buried(slot)
        group = world.pipe.env["PIPELINE_GROUP_ID"]
        back = ConsumerGroupTopicPartitions(group, [TopicPartition(*place, 0) for place in _inputs(world)])
        _patiently(world, lambda admin: admin.alter_consumer_group_offsets([back])[group].result(20))


def _patiently(world: World, ask: Callable[[AdminClient], Any]) -> Any:
    """Ask the group's coordinator again while a transaction or a member is on its way."""
    limit, admin = time.monotonic() + 90, world.admin()
    while True:
        try:
            return ask(admin)
        except (KafkaException, TimeoutError) as error:
            if time.monotonic() > limit:
                raise
            if isinstance(error, TimeoutError):
                admin = world.admin()
            time.sleep(0.5)


def compaction(world: World) -> None:
    """The table's log is rewritten while it is in use; then a worker dies, and its successor reads what is left."""
    if not getattr(world, "compacting", False):
        small = {"segment.ms": "2000", "min.cleanable.dirty.ratio": "0.001", "segment.bytes": "4194304"}
        resource = ConfigResource(ConfigResource.Type.TOPIC, world.pipe.topic("rooms"), set_config=None)
        for name, value in small.items():
            resource.add_incremental_config(
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            )
        for done in world.admin().incremental_alter_configs([resource]).values():
            done.result(30)
        world.compacting = True  # type: ignore[attr-defined]
    slot = world.victim()
    with world.injecting("compaction", slot):
        time.sleep(world.rng.uniform(2, 4))
        end_hard(world, slot)
