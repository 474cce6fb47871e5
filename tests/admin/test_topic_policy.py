"""Which topic settings stop `setup` and `worker`, which only warn, and `--force`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.admin.setup import check_topics, setup
from pipeline.admin.topic_policy import DAY, HOUR, MINUTE, ObservedTopic, deviations, single_replica_warning
from pipeline.devstack import Stack
from pipeline.errors import ConfigError
from pipeline.model import signals as s
from pipeline.topics import API, DEAD, EVENTS, MEDIA, REJECTED, ROOMS, TOPICS, Topic
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers

T = 1_795_354_386_106_600
BROKERS = 3


def observed(topic: Topic, replicas: int = 3, **changes: object) -> ObservedTopic:
    """A topic on three brokers as recommended, except for the changes (`_` for the dots)."""
    config = {
        **topic.config,
        "min.insync.replicas": "2",
        "segment.bytes": str(1 << 30),
        "retention.bytes": "-1",
    }
    config |= {"unclean.leader.election.enable": "false", "retention.ms": str(7 * DAY)}
    config |= {"delete.retention.ms": str(DAY)}
    config |= {name.replace("_", "."): str(value) for name, value in changes.items()}
    return ObservedTopic(f"p.{topic.name}", topic, replicas, config)


def test_recommended_topics_have_no_deviations() -> None:
    assert deviations(BROKERS, [observed(topic) for topic in TOPICS]) == []
    assert single_replica_warning(BROKERS, [observed(topic) for topic in TOPICS]) is None


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_setting_of_the_contract_is_checked(topic: Topic) -> None:
    for setting in topic.config:
        [deviation] = deviations(BROKERS, [observed(topic, **{setting: "1"})])  # type: ignore[arg-type]
        assert (deviation.setting, deviation.required) == (setting, True)


REQUIRED: list[tuple[Topic, dict[str, object], str]] = [
    (
        EVENTS,
        {"cleanup_policy": "compact"},
        "has cleanup.policy=compact, expected delete: compaction deletes all but",
    ),
    (API, {"cleanup_policy": "compact,delete"}, "expected delete"),
    (
        ROOMS,
        {"cleanup_policy": "compact,delete"},
        "expected compact: deleting a row by age deletes its room",
    ),
    (
        MEDIA,
        {"message_timestamp_type": "CreateTime"},
        "expected LogAppendTime: signals and the watchdog depend",
    ),
    (DEAD, {"max_message_bytes": 1 << 20}, "has max.message.bytes=1048576, expected at least 4194304"),
    (API, {"unclean_leader_election_enable": "true"}, "expected false: an out-of-sync replica could become"),
    (REJECTED, {"segment_bytes": 1 << 20}, "has segment.bytes=1048576, expected at least 4194304"),
    (API, {"min_insync_replicas": 1}, "has min.insync.replicas=1, expected 2: a record that only one broker"),
    (EVENTS, {"replicas": 2, "min_insync_replicas": 1}, "has min.insync.replicas=1, expected 2"),
    (
        EVENTS,
        {"replicas": 1, "min_insync_replicas": 1},
        "has replication factor=1, expected at least 3: there are 3",
    ),
    (
        EVENTS,
        {"replicas": 1},
        "has min.insync.replicas=2, expected 1: with acks=all no record can be written",
    ),
    (
        API,
        {"retention_ms": 9 * MINUTE},
        "has retention.ms=540000, expected at least 86400000: signals are deleted",
    ),
    (ROOMS, {"delete_retention_ms": 0}, "has delete.retention.ms=0, expected at least 3600000"),
]
RECOMMENDED: list[tuple[Topic, dict[str, object], str]] = [
    (API, {"retention_ms": HOUR}, "has retention.ms=3600000, recommended at least 86400000"),
    (EVENTS, {"retention_ms": MINUTE}, "a consumer that is down for longer misses records"),
    (
        MEDIA,
        {"retention_bytes": 1 << 30},
        "has retention.bytes=1073741824, recommended -1: a burst of signals",
    ),
    (
        ROOMS,
        {"delete_retention_ms": 10 * MINUTE},
        "has delete.retention.ms=600000, recommended at least 3600000",
    ),
    (DEAD, {"min_insync_replicas": 3}, "has min.insync.replicas=3, recommended less than its 3 replicas"),
    (ROOMS, {"replicas": 2}, "has min.insync.replicas=2, recommended less than its 2 replicas"),
]


@pytest.mark.parametrize(("topic", "config", "expected"), [*REQUIRED, *RECOMMENDED], ids=lambda one: str(one)[:40])
def test_deviation_names_setting_expected_value_and_remedy(
    topic: Topic, config: dict[str, object], expected: str
) -> None:
    others = [observed(one) for one in TOPICS if one is not topic]
    [deviation] = deviations(BROKERS, [*others, observed(topic, **config)])  # type: ignore[arg-type]
    text = str(deviation)
    assert deviation.required is ((topic, config, expected) in REQUIRED)
    assert text.startswith(f"topic p.{topic.name} has ")
    assert expected in text
    assert text.count("; ") == 1, "the deviation, and the remedy"
    assert "\n" not in text


@pytest.mark.parametrize("topic", [EVENTS, ROOMS])
def test_other_settings_are_free(topic: Topic) -> None:
    more = {"max_message_bytes": 8 << 20, "compression_type": "zstd", "segment_ms": HOUR, "retention_ms": -1}
    assert deviations(BROKERS, [observed(topic, **more)]) == []


def test_small_cluster_causes_one_warning() -> None:
    topics = [observed(topic, replicas=1, min_insync_replicas=1) for topic in TOPICS]
    for brokers, text in ((1, "1 broker, one replica: fine for development"), (2, "2 brokers, one replica")):
        assert deviations(brokers, topics) == []
        assert str(single_replica_warning(brokers, topics)).startswith(text)
    assert single_replica_warning(3, topics) is None
    assert len(deviations(3, topics)) == len(TOPICS)


def test_replicas_count_as_brokers_while_down() -> None:
    assert [one.required for one in deviations(1, [observed(API, min_insync_replicas=1)])] == [True]


# --- on a real broker --------------------------------------------------------------------------------------------


async def alter(pipe: Pipe, name: str, **config: str) -> None:
    """Set these settings of a topic, and reset the others; return when the broker shows them."""
    wanted = {key.replace("_", "."): value for key, value in config.items()}
    resource = ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name), wanted)
    admin = AIOKafkaAdminClient(**pipe.settings.kafka())
    await admin.start()
    try:
        [answer] = await admin.alter_configs([resource])
        assert [code for code, *_ in answer.resources] == [0]
        while True:
            [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name))])
            shown = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            if wanted.items() <= shown.items():
                return
            await asyncio.sleep(0.02)
    finally:
        await admin.close()


def run_setup(pipe: Pipe, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "setup", *options]
    return subprocess.run(command, cwd=ROOT, env=pipe.env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.broker
async def test_required_settings_stop_setup_and_worker_unless_forced(pipe: Pipe) -> None:
    own = {"message_timestamp_type": "LogAppendTime"}
    output = {**own, "max_message_bytes": "4194304"}
    await alter(pipe, "api.signals", **own, unclean_leader_election_enable="true", retention_ms="60000")
    await alter(pipe, "events", **output, cleanup_policy="compact")
    await alter(pipe, "rooms", **output, cleanup_policy="compact,delete")
    await alter(pipe, "signals.dead", **output, segment_bytes="1048576", retention_ms="3600000")
    await alter(pipe, "media.signals", **own, min_insync_replicas="2")
    expected = {
        ("api.signals", "unclean.leader.election.enable=true, expected false"),
        ("api.signals", "retention.ms=60000, expected at least 86400000"),
        ("events", "cleanup.policy=compact, expected delete"),
        ("rooms", "cleanup.policy=compact,delete, expected compact"),
        ("signals.dead", "segment.bytes=1048576, expected at least 4194304"),
        ("media.signals", "min.insync.replicas=2, expected 1"),
    }
    texts = [f"topic {pipe.topic(name)} has {what}: " for name, what in expected]
    done = run_setup(pipe)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert sorted(line.partition(" has ")[0] for line in lines if line.startswith("differs: ")) == sorted(
        f"differs: topic {pipe.topic(name)}" for name, _ in expected
    )
    assert all(any(text in line for line in lines) for text in texts), lines
    assert any(
        f"warning: topic {pipe.topic('signals.dead')} has retention.ms=3600000, recommended" in one for one in lines
    )

    with pipe.worker(ready=False) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        assert all(text in worker.log[-1]["msg"] for text in texts), worker.lines
    done = run_setup(pipe, "--force", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["differences"] == []
    assert sum(line.startswith("forced: topic ") for line in report["warnings"]) == len(expected)

    await alter(pipe, "media.signals", **own)
    with pipe.worker("--force") as worker:
        forced = [one for one in worker.log if one["msg"].startswith("forced: topic ")]
        assert [one["level"] for one in forced] == ["warning"] * (len(expected) - 1)
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        assert len(await pipe.until_events(1)) == 1


@pytest.mark.broker
async def test_wrong_number_of_partitions_can_not_be_forced(pipe: Pipe) -> None:
    with pipe.worker("--force", ready=False, PIPELINE_PARTITIONS="3") as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        assert "have 4 partitions, expected 3: signals would be on other" in worker.log[-1]["msg"]


@pytest.mark.broker
async def test_missing_topics_can_not_be_forced(pipe: Pipe) -> None:
    with pipe.worker("--force", ready=False, PIPELINE_TOPIC_PREFIX="nothing-here") as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        assert worker.log[-1]["msg"].endswith("do not exist: run `conference-pipeline setup`")


# --- on three brokers --------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path, servers: Servers) -> Iterator[Servers]:
    """Three brokers with Kafka's default of one replica, and the registry of all tests."""
    defaults = {"default.replication.factor": "1", "min.insync.replicas": "1"}
    stack = Stack("three", home=tmp_path, nodes=BROKERS, registry=False, heap_mb=256, extra_properties=defaults)
    try:
        brokers = stack.up().bootstrap_servers
        assert brokers
        yield Servers(brokers, servers.registry_url, "three brokers")
    finally:
        stack.down()


@pytest.mark.broker
async def test_three_brokers_get_three_replicas_and_one_is_an_error(three: Servers) -> None:
    pipe, bad = Pipe(three), Pipe(three)
    warnings: list[str] = []
    assert await setup(pipe.settings, lambda _: None, warnings.append) == []
    assert warnings == []
    one = bad.settings.model_copy(update={"replication": 1})
    with pytest.raises(ConfigError, match=r"^PIPELINE_REPLICATION_FACTOR=1 on 3 brokers: .* --force$"):
        await setup(one, lambda _: None)
    assert await setup(one, lambda _: None, warnings.append, force=True) == []
    assert sum("has replication factor=1, expected at least 3: there are 3 brokers" in w for w in warnings) == 8
    admin = AIOKafkaAdminClient(**bad.settings.kafka())
    await admin.start()
    broken = await check_topics(admin, bad.settings)
    await admin.close()
    assert len(broken) == len(TOPICS)
    assert all(line.startswith("topic ") and "replication factor=1" in line for line in broken)
