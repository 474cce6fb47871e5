"""`setup` on a real broker and a real registry: what it creates, what it leaves unchanged, what it reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import fastavro
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.admin import setup
from pipeline.errors import ConfigError
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from pipeline.topics import ALL_TOPICS
from testkit import fork_server
from testkit.pipe import Pipe
from testkit.servers import Servers

pytestmark = pytest.mark.broker

CONTRACT: dict[str, dict[str, str]] = {
    "api.signals": {"cleanup.policy": "delete"},
    "media.signals": {"cleanup.policy": "delete"},
    "events": {"cleanup.policy": "delete", "max.message.bytes": "4194304"},
    "rooms": {"cleanup.policy": "compact", "max.message.bytes": "4194304"},
    "signals.rejected": {"cleanup.policy": "delete", "max.message.bytes": "4194304"},
    "signals.noops": {"cleanup.policy": "delete", "max.message.bytes": "4194304"},
    "signals.dead": {"cleanup.policy": "delete", "max.message.bytes": "4194304"},
    "engines": {"cleanup.policy": "compact"},
}
"""Contract §2, copied by hand; all topics also have LogAppendTime."""
LOG_APPEND = {"message.timestamp.type": "LogAppendTime"}
NOTHING = "nothing was changed: change what differs first"
ONE_BROKER = "warning: 1 broker, one replica: fine for development, but a lost disk loses all records; use 3 brokers in production"


class Site:
    """An unused prefix on the real servers, and `setup` as a command."""

    def __init__(self, servers: Servers, admin: AIOKafkaAdminClient, session: aiohttp.ClientSession) -> None:
        self.pipe = Pipe(servers, partitions=3)
        self.prefix, self.admin, self.session = self.pipe.prefix, admin, session

    def setup(self, *options: str, **env: str) -> tuple[int, str, str]:
        """Run the command; return exit code, standard output, standard error."""
        ran = fork_server.run("setup", *options, env={**self.pipe.env, **env})
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the registry; return its answer."""
        url = self.pipe.settings.registry_url + path
        async with self.session.request(method, url, json=body) as answer:
            return await answer.json(content_type=None)

    async def create(self, name: str, partitions: int = 3, **config: str) -> None:
        """Create one of the topics with this configuration."""
        config = {key.replace("_", "."): value for key, value in config.items()}
        new = NewTopic(f"{self.prefix}.{name}", partitions, 1, topic_configs=config)
        answer = await self.admin.create_topics([new])
        assert [error[1] for error in answer.topic_errors] == [0]
        while name not in await self.topics():  # the broker shows it a moment later
            await asyncio.sleep(0.05)

    async def topics(self) -> dict[str, int]:
        """The topics with this prefix, and their numbers of partitions."""
        names = [name for name in await self.admin.list_topics() if name.startswith(f"{self.prefix}.")]
        described = await self.admin.describe_topics(names) if names else []
        described = [topic for topic in described if topic["partitions"]]
        return {topic["topic"].removeprefix(f"{self.prefix}."): len(topic["partitions"]) for topic in described}

    async def configs(self, *names: str) -> dict[str, dict[str, str]]:
        """The settings of topics, without the broker's defaults."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, f"{self.prefix}.{name}") for name in names]
        found = {}
        for answer in await self.admin.describe_configs(resources):
            for code, _, _, name, entries in answer.resources:
                assert code == 0
                own = {entry[0]: entry[1] for entry in entries if entry[3] in (1, False) and entry[1] is not None}
                found[name.removeprefix(f"{self.prefix}.")] = own
        return found


@pytest.fixture
async def site(servers: Servers) -> AsyncIterator[Site]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.bootstrap_servers)
    await admin.start()
    async with aiohttp.ClientSession() as session:
        made = Site(servers, admin, session)
        yield made
        if servers.lasting:
            await admin.delete_topics([f"{made.prefix}.{name}" for name in await made.topics()])
    await admin.close()


async def test_first_run_creates_everything_and_second_nothing(site: Site) -> None:
    level = await site.request("GET", "/config")
    code, out, err = site.setup()
    assert (code, err) == (0, f"{ONE_BROKER}\n")
    subjects = {s: r for topic in ALL_TOPICS for s, r in topic.subjects(site.prefix).items()}
    assert len(subjects) == len(SIGNALS) + len(EVENTS) + 4 + 3  # 4 rows, Rejected, NoOp and Engine
    made = {f"created topic {site.prefix}.{name}" for name in CONTRACT} | {f"registered {s}" for s in subjects}
    assert sorted(out.splitlines()) == sorted(made)

    assert await site.topics() == dict.fromkeys(CONTRACT, 3) | {"engines": 1}
    configs = await site.configs(*CONTRACT)
    for name, wanted in CONTRACT.items():
        assert (wanted | LOG_APPEND).items() <= configs[name].items(), name
    assert await site.request("GET", "/config") == level, "the global level is unchanged"
    for subject, record in subjects.items():
        assert await site.request("GET", f"/config/{subject}") == {"compatibilityLevel": "FULL_TRANSITIVE"}
        latest = await site.request("GET", f"/subjects/{subject}/versions/latest")
        assert latest["version"] == 1
        assert latest.get("references", []) == []
        alone = fastavro.parse_schema(json.loads(latest["schema"]))
        assert alone["name"] == record  # type: ignore[index, call-overload]

    assert site.setup() == (0, "nothing to do: topics and schemas are as they must be\n", f"{ONE_BROKER}\n")
    code, out, err = site.setup("--json")
    warnings = [ONE_BROKER.removeprefix("warning: ")]
    assert (code, json.loads(out), err) == (0, {"done": [], "differences": [], "warnings": warnings}, "")
    assert await site.configs(*CONTRACT) == configs
    assert {(await site.request("GET", f"/subjects/{s}/versions"))[-1] for s in subjects} == {1}


async def test_only_missing_topics_are_created(site: Site) -> None:
    await site.create("events", cleanup_policy="delete", message_timestamp_type="LogAppendTime",
                      max_message_bytes="5000000", retention_ms="86400000")  # fmt: skip
    before = await site.configs("events")
    code, out, _ = site.setup("--json")
    assert code == 0, out
    done = json.loads(out)["done"]
    assert sum(line.startswith("created topic") for line in done) == 7
    assert f"created topic {site.prefix}.events" not in done
    assert await site.configs("events") == before, "larger limits and other retentions are allowed"


async def test_deviating_topics_are_named_and_left_unchanged(site: Site) -> None:
    await site.create("events", message_timestamp_type="LogAppendTime", max_message_bytes="1000000")
    await site.create(
        "rooms", cleanup_policy="delete", message_timestamp_type="LogAppendTime", max_message_bytes="4194304"
    )
    await site.create("api.signals")
    names = ("events", "rooms", "api.signals")
    before = await site.configs(*names)
    code, out, err = site.setup()
    assert (code, out) == (2, "")
    assert await site.topics() == dict.fromkeys(names, 3), "nothing is created either"
    assert sorted(err.splitlines()) == sorted(
        [
            ONE_BROKER,
            NOTHING,
            f"differs: topic {site.prefix}.api.signals has message.timestamp.type=CreateTime, expected LogAppendTime: "
            "signals and the watchdog depend on the broker's clock; kafka-configs.sh --alter --entity-type "
            f"topics --entity-name {site.prefix}.api.signals --add-config message.timestamp.type=LogAppendTime",
            f"differs: topic {site.prefix}.events has max.message.bytes=1000000, expected at least 4194304: the "
            "output of one signal may be this large, and is never split; kafka-configs.sh --alter --entity-type topics "
            f"--entity-name {site.prefix}.events --add-config max.message.bytes=4194304",
            f"differs: topic {site.prefix}.rooms has cleanup.policy=delete, expected compact: deleting a row by "
            "age deletes its room; kafka-configs.sh --alter --entity-type topics "
            f"--entity-name {site.prefix}.rooms --add-config cleanup.policy=compact",
        ]
    )
    assert await site.configs(*names) == before
    code, out, err = site.setup("--json")
    assert (code, err) == (2, "")
    found = json.loads(out)
    assert found["done"] == []
    assert len(found["differences"]) == 3


async def test_wrong_number_of_partitions_is_named_and_left_unchanged(site: Site) -> None:
    await site.create("media.signals", partitions=5, message_timestamp_type="CreateTime")
    code, out, err = site.setup()
    assert (code, out) == (2, "")
    assert await site.topics() == {"media.signals": 5}, "no topic is created with another number"
    assert f"{site.prefix}.media.signals has 5 partitions, expected 3: " in err
    assert 'see docs/howto/runbook.md, "Another number of partitions"' in err
    assert "message.timestamp.type=CreateTime" in err, "all deviations are reported at once"
    assert site.setup("--force")[0] == 2, "no option makes that right"
    assert await site.topics() == {"media.signals": 5}


async def add(site: Site, record: str, level: str, **changes: Any) -> str:
    """Register another version of a record's schema, at this compatibility level; return the subject."""
    subject = f"{site.prefix}.events-{record}"
    await site.request("PUT", f"/config/{subject}", {"compatibility": level})
    await site.request(
        "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(json.loads(SCHEMAS[record]) | changes)}
    )
    await site.request("PUT", f"/config/{subject}", {"compatibility": level})
    return subject


@pytest.mark.parametrize("level", ["FULL_TRANSITIVE", "NONE"])
async def test_incompatible_subject_is_found_before_anything_changes(site: Site, level: str) -> None:
    record = "conference.MemberLeft"
    subject = await add(site, record, level, fields=[{"name": "reason", "type": "int"}])
    code, out, err = site.setup()
    assert (code, out) == (2, "")
    line, last = err.splitlines()
    assert last == NOTHING
    assert line.startswith(
        f"differs: version 1 of subject {subject} is not FULL_TRANSITIVE compatible with this program's schema of {record} "
        "(this program can't read what is written with that version: "
    )
    assert line.endswith(
        ": if you changed the schema, give new fields a default, and keep the old ones that have none; "
        "else use another PIPELINE_TOPIC_PREFIX, or a program version that fits"
    )
    assert await site.request("GET", f"/subjects/{subject}/versions") == [1]
    assert await site.request("GET", f"/config/{subject}") == {"compatibilityLevel": level}
    assert await site.topics() == {}
    assert f"{site.prefix}.api.signals-conference.signal.Create" not in await site.request("GET", "/subjects")


async def test_a_changed_compatibility_level_is_reset_and_reported(site: Site) -> None:
    assert site.setup()[0] == 0
    subject = f"{site.prefix}.events-conference.MemberLeft"
    await site.request("PUT", f"/config/{subject}", {"compatibility": "NONE"})
    line = f"set the compatibility level of {subject} to FULL_TRANSITIVE\n"
    assert site.setup("--dry-run")[:2] == (3, f"would {line}")
    assert site.setup()[:2] == (0, line)
    assert await site.request("GET", f"/config/{subject}") == {"compatibilityLevel": "FULL_TRANSITIVE"}


async def test_a_compatible_older_version_gets_a_newer_one(site: Site) -> None:
    record = "conference.MemberLeft"
    more = [*json.loads(SCHEMAS[record])["fields"], {"name": "later", "type": "string", "default": ""}]
    subject = await add(site, record, "FULL_TRANSITIVE", fields=more)
    code, out, _ = site.setup()
    assert code == 0
    assert f"registered {subject}" in out.splitlines()
    assert await site.request("GET", f"/subjects/{subject}/versions") == [1, 2]


async def test_dry_run_shows_the_plan_and_changes_nothing(site: Site) -> None:
    code, out, err = site.setup("--dry-run")
    assert (code, err) == (3, "")
    counts = dict.fromkeys(CONTRACT, "3 partitions") | {"engines": "1 partition"}
    wanted = {f"would create topic {site.prefix}.{name} with {count}" for name, count in counts.items()}
    assert wanted < set(out.splitlines())
    assert len(out.splitlines()) == 8 + 37
    assert await site.topics() == {}
    code, out, _ = site.setup("--dry-run", "--json")
    assert (code, len(json.loads(out)["plan"]), json.loads(out)["done"]) == (3, 8 + 37, [])
    assert site.setup()[0] == 0
    assert site.setup("--dry-run")[:2] == (0, "nothing to do: topics and schemas are as they must be\n")


@pytest.mark.parametrize(
    ("env", "text"),
    [
        (
            {"SCHEMA_REGISTRY_URL": "127.0.0.1:8081"},
            "SCHEMA_REGISTRY_URL: expected a URL that begins with http:// or https:// and a host",
        ),
        ({"SCHEMA_REGISTRY_URL": "page"}, "SCHEMA_REGISTRY_URL must name the Confluent-compatible API"),
        ({"PIPELINE_PARTITIONS": "0", "PIPELINE_TOPIC_PREFIX": "a.b"}, "PIPELINE_PARTITIONS"),
    ],
)
async def test_errors_name_the_remedy(site: Site, env: dict[str, str], text: str) -> None:
    if env.get("SCHEMA_REGISTRY_URL") == "page":  # the server is right, the path is not
        env = {"SCHEMA_REGISTRY_URL": site.pipe.settings.registry_url.rpartition("/apis/")[0] + "/nothing"}
    code, _, err = site.setup(**env)
    assert code == 2, err
    *more, line = err.splitlines()
    assert line.startswith("error: ")
    assert text in line
    assert not any("Traceback" in one for one in more)


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}, "check SCHEMA_REGISTRY_URL and that it runs"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "check KAFKA_BOOTSTRAP_SERVERS and that it runs"),
    ],
)
async def test_a_server_that_does_not_answer_is_exit_code_1(site: Site, env: dict[str, str], text: str) -> None:
    code, out, err = site.setup(**env)
    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("error: ")
    assert text in line


async def test_concurrent_runs_create_each_topic_once(site: Site) -> None:
    settings = site.pipe.settings
    new = await setup._missing_topics(site.admin, settings, False)
    created = await asyncio.gather(*(setup._create_topics(site.admin, new, settings) for _ in range(2)))
    await setup._wait_for_topics(site.admin, [topic.name for topic in new])
    assert await setup.check_topics(site.admin, settings) == []
    assert sorted([*created[0], *created[1]]) == sorted(f"{site.prefix}.{name}" for name in CONTRACT)


async def test_concurrent_setups_succeed(site: Site) -> None:
    """For example a chart's job and a developer: neither fails while both set the compatibility levels."""
    found = await asyncio.gather(*(setup.setup(site.pipe.settings, lambda _: None) for _ in range(2)))
    assert found == [[], []]
    created: list[str] = []
    assert await setup.setup(site.pipe.settings, created.append) == []
    assert created == []


async def test_topic_that_the_broker_rejects_is_named(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"does not create topic \S+: InvalidReplicationFactorError"):
        await setup.setup(site.pipe.settings.model_copy(update={"replication": 999}), lambda _: None)
    assert await site.topics() == {}


async def test_check_names_missing_topics_and_setup(site: Site) -> None:
    [line] = await setup.check_topics(site.admin, site.pipe.settings)
    assert all(f"{site.prefix}.{name}" in line for name in CONTRACT if name != "engines")
    assert line.endswith("do not exist: run `conference-pipeline setup`")
    with pytest.raises(ConfigError, match=r"configuration of topic \S+ can't be read: UnknownTopic"):
        await setup.topic_configs(site.admin, [f"{site.prefix}.events"])
    invalid = site.pipe.settings.model_copy(update={"topic_prefix": "not a name"})
    with pytest.raises(ConfigError, match=r"topic not a name\.\S+ can't be described: InvalidTopicError"):
        await setup.check_topics(site.admin, invalid)
