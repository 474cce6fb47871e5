"""Faults in the topics' data: bad and large records, broken batches, aborted transactions, wrong times, lost data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as Place
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from testkit.chaos.load import RoomLife
from testkit.chaos.logs import API, MEDIA
from testkit.chaos.raw_load import RawLoad
from testkit.chaos.testbed import Testbed
from tests.chaos.faults_workers import terminate

FOREVER = str((1 << 63) - 1)


def large(testbed: Testbed) -> None:
    """Make a unit larger than a request: poison values of 1 MB, and the destroy of a room with 1,500 members."""
    with testbed.injecting("large"):
        rng, load = testbed.rng, testbed.load
        life = RoomLife(f"large-{rng.getrandbits(32):x}", rng, 0, hold=1500)
        while (one := life.next()) is not None:
            load.write(one)
        for _ in range(8):
            load.write_poison(API, os.urandom(1_000_000), b"large")


def poison(testbed: Testbed) -> None:
    """Write a poison record with every signal for a second."""
    with testbed.injecting("poison"), testbed.load.poisoning(1.0):
        time.sleep(1)


def broken(testbed: Testbed) -> None:
    """Write batches that can't be read, and dead letters in raw batches, as fast as the broker answers for a second."""
    raw = RawLoad(
        testbed.pipe.servers.bootstrap_servers,
        testbed.pipe.topic,
        testbed.config.partitions,
        testbed.rng.getrandbits(32),
        testbed.load.value,
        rate=200,
        rooms=1,
        broken=0.6,
        poison=0.4,
    )
    with testbed.injecting("broken"):
        raw.start()
        time.sleep(1)
        raw.finish()
        testbed.raw.late |= raw.late


UNSTAMPED_SECONDS: Final = 15.0
"""How long after the begin of `timestamps` a worker may still end because it saw the topics so while it started."""


def timestamps(testbed: Testbed) -> None:
    """Make the signal topics CreateTime for a while: records then have their producers' times, some in 2100."""
    names = [testbed.pipe.topic(name) for name in (API, MEDIA)]
    with testbed.injecting("timestamps"):
        testbed.unstamped_until = time.monotonic() + UNSTAMPED_SECONDS
        for name in names:
            _configure(
                testbed, name, {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": FOREVER}
            )
        time.sleep(testbed.rng.uniform(0.5, 1.5))
        for name in names:
            _configure(testbed, name, {"message.timestamp.type": "LogAppendTime"})


def _configure(testbed: Testbed, topic: str, values: dict[str, str]) -> None:
    """Set configuration entries of a topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config=None)
    for name, value in values.items():
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
    for done in testbed.admin().incremental_alter_configs([resource]).values():
        done.result(30)


def abort(testbed: Testbed) -> None:
    """Write signals in transactions: some are aborted, all stay open for a while."""
    name = f"tx-{testbed.rng.getrandbits(40):x}"
    producer = Producer(
        {
            "bootstrap.servers": testbed.pipe.servers.bootstrap_servers,
            "transactional.id": name,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    producer.init_transactions(60)
    with testbed.injecting("abort"):
        lives = [RoomLife(f"{name}-{number}", testbed.rng, 12) for number in range(6)]
        for _ in range(3):
            producer.begin_transaction()
            commits = testbed.rng.random() < 0.5
            for life in lives:
                for _ in range(4):
                    one = life.next()
                    if one is not None:
                        topic = API if one["type"].startswith("conference.") else MEDIA
                        value = testbed.load.value(one)
                        producer.produce(testbed.pipe.topic(topic), value, one["room_id"].encode())
            time.sleep(testbed.rng.uniform(0, 1.5))
            (producer.commit_transaction if commits else producer.abort_transaction)(60)


def retention(testbed: Testbed) -> None:
    """Delete processed signals and kill a worker: its successor starts at the new beginning of the topics."""
    with testbed.injecting("retention"):
        asyncio.run(_cut(testbed))
        testbed.kill(testbed.victim())


def _inputs(testbed: Testbed) -> list[tuple[str, int]]:
    """Return the partitions of the signal topics."""
    numbers = range(testbed.config.partitions)
    return [(testbed.pipe.topic(name), number) for name in (API, MEDIA) for number in numbers]


async def _cut(testbed: Testbed) -> None:
    """Delete the records before the group's offsets; retry for a minute."""
    # Not with librdkafka 2.16: without a group, it crashes when the coordinator answers OffsetFetch with an error.
    inputs = [Place(*place) for place in _inputs(testbed)]
    limit = time.monotonic() + 60
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=testbed.pipe.servers.bootstrap_servers)
        try:
            await admin.start()
            known = await admin.list_consumer_group_offsets(testbed.pipe.env["PIPELINE_GROUP_ID"], partitions=inputs)
            cuts = {tp: RecordsToDelete(before_offset=at.offset) for tp, at in known.items() if at.offset > 0}
            for tp in cuts:
                testbed.reader.keep(tp.topic, tp.partition)
            await admin.delete_records(cuts)
        except KafkaError:
            if time.monotonic() > limit:
                raise
            await asyncio.sleep(0.5)
        else:
            return
        finally:
            await admin.close()


def offsets_lost(testbed: Testbed) -> None:
    """Reset the group's offsets to 0, as after their expiry: workers must use the positions in the rooms topic."""
    held = testbed.slots[: testbed.config.workers]
    with contextlib.ExitStack() as holding, testbed.injecting("offsets_lost"):
        for slot in held:
            holding.enter_context(slot.held)
            terminate(slot)
            testbed.record_exit(slot)
        group = testbed.pipe.env["PIPELINE_GROUP_ID"]
        zero = ConsumerGroupTopicPartitions(group, [TopicPartition(*place, 0) for place in _inputs(testbed)])
        _retried(testbed, lambda admin: admin.alter_consumer_group_offsets([zero])[group].result(20))


def _retried(testbed: Testbed, ask: Callable[[AdminClient], Any]) -> Any:
    """Retry a request to the group's coordinator for 90 s: a pending transaction or a member may block it."""
    limit, admin = time.monotonic() + 90, testbed.admin()
    while True:
        try:
            return ask(admin)
        except (KafkaException, TimeoutError) as error:
            if time.monotonic() > limit:
                raise
            if isinstance(error, TimeoutError):
                admin = testbed.admin()
            time.sleep(0.5)


def compaction(testbed: Testbed) -> None:
    """Compact the rooms topic while it is in use; then kill a worker, whose successor reads the compacted log."""
    small = {"segment.ms": "2000", "min.cleanable.dirty.ratio": "0.001", "segment.bytes": "4194304"}
    _configure(testbed, testbed.pipe.topic("rooms"), small)
    slot = testbed.victim()
    with testbed.injecting("compaction", slot):
        time.sleep(testbed.rng.uniform(2, 4))
        testbed.kill(slot)
