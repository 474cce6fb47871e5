"""What of the topics' settings refuses `setup` and `worker`, what only warns, and `--force`."""

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
from pipeline.admin.topic_policy import DAY, HOUR, MINUTE, ObservedTopic, few_copies, findings
from pipeline.devstack import Stack
from pipeline.errors import ConfigError
from pipeline.model import signals as s
from pipeline.topics import API, DEAD, EVENTS, MEDIA, REJECTED, ROOMS, TOPICS, Topic
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers

T = 1_795_354_386_106_600
BROKERS = 3


def found(topic: Topic, replicas: int = 3, **more: object) -> ObservedTopic:
    """A topic as it must be, but for what is said (`_` for the dots); on three brokers."""
    config = {
        **topic.config,
        "min.insync.replicas": "2",
        "segment.bytes": str(1 << 30),
        "retention.bytes": "-1",
    }
    config |= {"unclean.leader.election.enable": "false", "retention.ms": str(7 * DAY)}
    config |= {"delete.retention.ms": str(DAY)}
    config |= {name.replace("_", "."): str(value) for name, value in more.items()}
    return ObservedTopic(f"p.{topic.name}", topic, replicas, config)


def test_what_is_as_it_must_be_is_not_mentioned() -> None:
    assert findings(BROKERS, [found(topic) for topic in TOPICS]) == []
    assert few_copies(BROKERS, [found(topic) for topic in TOPICS]) is None


REFUSED: list[tuple[Topic, dict[str, object], str]] = [
    (
        EVENTS,
        {"cleanup_policy": "compact"},
        "has cleanup.policy=compact, needed is delete: compaction would drop",
    ),
    (API, {"cleanup_policy": "compact,delete"}, "needed is delete"),
    (
        ROOMS,
        {"cleanup_policy": "compact,delete"},
        "needed is compact: a row that is deleted by age is a room that",
    ),
    (MEDIA, {"message_timestamp_type": "CreateTime"}, "needed is LogAppendTime: only the broker's clock"),
    (DEAD, {"max_message_bytes": 1 << 20}, "has max.message.bytes=1048576, needed is at least 4194304"),
    (API, {"unclean_leader_election_enable": "true"}, "needed is false: a broker that was away could drop"),
    (REJECTED, {"segment_bytes": 1 << 20}, "has segment.bytes=1048576, needed is at least 4194304"),
    (API, {"min_insync_replicas": 1}, "has min.insync.replicas=1, needed is 2: what only one broker"),
    (EVENTS, {"replicas": 2, "min_insync_replicas": 1}, "has min.insync.replicas=1, needed is 2"),
    (
        EVENTS,
        {"replicas": 1, "min_insync_replicas": 1},
        "has replication factor=1, needed is at least 3: there are 3",
    ),
    (EVENTS, {"replicas": 1}, "has min.insync.replicas=2, needed is 1: with acks=all nothing can be written"),
    (
        API,
        {"retention_ms": 9 * MINUTE},
        "has retention.ms=540000, needed is at least 86400000: signals are deleted",
    ),
    (ROOMS, {"delete_retention_ms": 0}, "has delete.retention.ms=0, needed is at least 3600000"),
]
TASTE: list[tuple[Topic, dict[str, object], str]] = [
    (API, {"retention_ms": HOUR}, "has retention.ms=3600000, better is at least 86400000"),
    (EVENTS, {"retention_ms": MINUTE}, "a consumer that is away for longer misses some"),
    (MEDIA, {"retention_bytes": 1 << 30}, "has retention.bytes=1073741824, better is -1: a burst of signals"),
    (
        ROOMS,
        {"delete_retention_ms": 10 * MINUTE},
        "has delete.retention.ms=600000, better is at least 3600000",
    ),
    (DEAD, {"min_insync_replicas": 3}, "has min.insync.replicas=3, better is less than its 3 replicas"),
    (ROOMS, {"replicas": 2}, "has min.insync.replicas=2, better is less than its 2 replicas"),
]


@pytest.mark.parametrize(("topic", "config", "told"), [*REFUSED, *TASTE], ids=lambda one: str(one)[:40])
def test_each_setting_that_matters_is_named_with_what_is_needed_and_the_remedy(
    topic: Topic, config: dict[str, object], told: str
) -> None:
    others = [found(one) for one in TOPICS if one is not topic]
    [finding] = findings(BROKERS, [*others, found(topic, **config)])  # type: ignore[arg-type]
    text = str(finding)
    assert finding.refused is ((topic, config, told) in REFUSED)
    assert text.startswith(f"topic p.{topic.name} has ")
    assert told in text
    assert text.count("; ") == 1, "what, and the remedy"
    assert "\n" not in text


@pytest.mark.parametrize("topic", [EVENTS, ROOMS])
def test_what_others_decide_is_left_to_them(topic: Topic) -> None:
    more = {"max_message_bytes": 8 << 20, "compression_type": "zstd", "segment_ms": HOUR, "retention_ms": -1}
    assert findings(BROKERS, [found(topic, **more)]) == []


def test_a_small_cluster_is_one_warning() -> None:
    topics = [found(topic, replicas=1, min_insync_replicas=1) for topic in TOPICS]
    for brokers, text in ((1, "1 broker, one replica: fine for development"), (2, "2 brokers, one replica")):
        assert findings(brokers, topics) == []
        assert str(few_copies(brokers, topics)).startswith(text)
    assert few_copies(3, topics) is None
    assert len(findings(3, topics)) == len(TOPICS)


def test_replicas_that_are_away_are_brokers_too() -> None:
    assert [one.refused for one in findings(1, [found(API, min_insync_replicas=1)])] == [True]


# --- on a real broker --------------------------------------------------------------------------------------------


async def alter(pipe: Pipe, name: str, **config: str) -> None:
    """Set these settings of a topic, and return when the broker shows them; the others go back to its defaults."""
    wanted = {key.replace("_", "."): value for key, value in config.items()}
    resource = ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name), wanted)
    admin = AIOKafkaAdminClient(**pipe.settings.kafka())
    await admin.start()
    try:
        [answer] = await admin.alter_configs([resource])
        assert [code for code, *_ in answer.resources] == [0]
        while True:
            [answer] = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name))]
            )
            shown = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            if wanted.items() <= shown.items():
                return
            await asyncio.sleep(0.02)
    finally:
        await admin.close()


def run_setup(pipe: Pipe, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "setup", *options]
    return subprocess.run(
        command, cwd=ROOT, env=pipe.env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.broker
async def test_a_broken_promise_is_refused_by_setup_and_worker_unless_forced(pipe: Pipe) -> None:
    own = {"message_timestamp_type": "LogAppendTime"}
    output = {**own, "max_message_bytes": "4194304"}
    await alter(pipe, "api.signals", **own, unclean_leader_election_enable="true", retention_ms="60000")
    await alter(pipe, "events", **output, cleanup_policy="compact")
    await alter(pipe, "rooms", **output, cleanup_policy="compact,delete")
    await alter(pipe, "signals.dead", **output, segment_bytes="1048576", retention_ms="3600000")
    await alter(pipe, "media.signals", **own, min_insync_replicas="2")
    refused = {
        ("api.signals", "unclean.leader.election.enable=true, needed is false"),
        ("api.signals", "retention.ms=60000, needed is at least 86400000"),
        ("events", "cleanup.policy=compact, needed is delete"),
        ("rooms", "cleanup.policy=compact,delete, needed is compact"),
        ("signals.dead", "segment.bytes=1048576, needed is at least 4194304"),
        ("media.signals", "min.insync.replicas=2, needed is 1"),
    }
    texts = [f"topic {pipe.topic(name)} has {what}: " for name, what in refused]
    done = run_setup(pipe)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert sorted(line.partition(" has ")[0] for line in lines if line.startswith("differs: ")) == sorted(
        f"differs: topic {pipe.topic(name)}" for name, _ in refused
    )
    assert all(any(text in line for line in lines) for text in texts), lines
    assert any(
        f"warning: topic {pipe.topic('signals.dead')} has retention.ms=3600000, better" in one
        for one in lines
    )

    with pipe.worker(ready=False) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        assert all(text in worker.log[-1]["msg"] for text in texts), worker.lines
    done = run_setup(pipe, "--force", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["differences"] == []
    assert sum(line.startswith("forced: topic ") for line in said["warnings"]) == len(refused)

    await alter(pipe, "media.signals", **own)
    with pipe.worker("--force") as worker:
        forced = [one for one in worker.log if one["msg"].startswith("forced: topic ")]
        assert [one["level"] for one in forced] == ["warning"] * (len(refused) - 1)
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        assert len(await pipe.until_events(1)) == 1


@pytest.mark.broker
async def test_another_number_of_partitions_can_not_be_forced(pipe: Pipe) -> None:
    with pipe.worker("--force", ready=False, PIPELINE_PARTITIONS="3") as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        said = worker.log[-1]["msg"]
        assert "have 4 partitions, PIPELINE_PARTITIONS says 3: rooms would be looked for on other" in said


@pytest.mark.broker
async def test_topics_that_do_not_exist_can_not_be_forced(pipe: Pipe) -> None:
    with pipe.worker("--force", ready=False, PIPELINE_TOPIC_PREFIX="nothing-here") as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
        assert worker.log[-1]["msg"].endswith("do not exist: run `conference-pipeline setup`")


# --- on three --------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path, servers: Servers) -> Iterator[Servers]:
    """Three brokers with the defaults of Kafka, one replica, and the registry of all tests."""
    defaults = {"default.replication.factor": "1", "min.insync.replicas": "1"}
    stack = Stack(
        "three", home=tmp_path, nodes=BROKERS, registry=False, heap_mb=256, extra_properties=defaults
    )
    try:
        brokers = stack.up().bootstrap_servers
        assert brokers
        yield Servers(brokers, servers.registry_url, "three brokers")
    finally:
        stack.down()


@pytest.mark.broker
async def test_on_three_brokers_setup_takes_three_replicas_and_one_is_refused(three: Servers) -> None:
    pipe, bad = Pipe(three), Pipe(three)
    warnings: list[str] = []
    assert await setup(pipe.settings, lambda _: None, warnings.append) == []
    assert warnings == []
    one = bad.settings.model_copy(update={"replication": 1})
    with pytest.raises(ConfigError, match=r"^PIPELINE_REPLICATION_FACTOR=1 on 3 brokers: .* --force$"):
        await setup(one, lambda _: None)
    assert await setup(one, lambda _: None, warnings.append, force=True) == []
    assert (
        sum("has replication factor=1, needed is at least 3: there are 3 brokers" in w for w in warnings) == 6
    )
    admin = AIOKafkaAdminClient(**bad.settings.kafka())
    await admin.start()
    refused = await check_topics(admin, bad.settings)
    await admin.close()
    assert len(refused) == len(TOPICS)
    assert all(line.startswith("topic ") and "replication factor=1" in line for line in refused)
