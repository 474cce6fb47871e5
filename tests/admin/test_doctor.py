"""`doctor` on a real broker and a real registry: it names each problem, and no other check is affected.

Permissions are in tests/admin/test_doctor_secured.py, tests without a broker in tests/admin/test_doctor_parts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.admin import doctor
from pipeline.admin.doctor import Line
from pipeline.devstack import Stack
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.records import Position, TopicPosition
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.settings import load
from testkit.pipe import ROOT, Pipe
from testkit.servers import PREFIX
from tests.support.doctor import ORDER, examined, run

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
RANKS = ["ok", "warning", "wrong"]
NOWHERE = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")


def states(found: dict[str, list[Line]]) -> dict[str, str]:
    """The worst state of each check."""
    return {check: max((line.state for line in lines), key=RANKS.index) for check, lines in found.items()}


def wrong(found: dict[str, list[Line]]) -> set[str]:
    return {check for check, state in states(found).items() if state == "wrong"}


# --- no problem -----------------------------------------------------------------------------------------------


async def test_nothing_is_wrong_while_a_worker_runs(pipe: Pipe) -> None:
    await pipe.run_setup()
    with pipe.worker():
        await pipe.send(CREATE)
        await pipe.until_events(1)
        volume = s.ConferenceVolume("v", "room", T, 1, "o")
        producer = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-p")
        async with producer, producer.transaction():  # its marker is after the position, and is not a signal
            await producer.send(pipe.topic("api.signals"), signal_json(volume), b"room")
        await pipe.until_events(2)
        found = await examined(pipe)
    assert wrong(found) == set()
    # A single broker, and one without an authorizer, are warnings.
    assert {check for check, state in states(found).items() if state == "warning"} <= {
        "topics",
        "permissions",
    }
    assert "1 broker by PLAINTEXT, without a login" in found["broker"][0].found
    assert found["schemas"][0].found == "37 subjects have the schemas of this version, FULL_TRANSITIVE"
    assert "is stable, 1 member; partitions by host: 127.0.0.1 4" in found["group"][0].found
    assert found["lag"][0].found == "no backlog: the workers' positions are at the end of all 8 inputs"
    assert "no authorizer" in found["permissions"][0].found
    assert "of the controller's (±" in found["clock"][0].found.replace("ahead of", "of").replace("behind", "of")


async def test_text_output_has_a_line_per_finding_with_remedy(pipe: Pipe) -> None:
    code, out = await run(pipe)
    assert code == 1
    [line] = [line for line in out.splitlines() if line.startswith("wrong")]
    assert line == (
        f"wrong    group         group '{pipe.settings.group_id}' does not exist: no worker runs; "
        "start workers, or set PIPELINE_GROUP_ID to the group of the workers"
    )


# --- unavailable servers -------------------------------------------------------------------------------------


async def test_registry_is_checked_without_a_broker(pipe: Pipe) -> None:
    await pipe.run_setup()
    found = await examined(pipe, KAFKA_BOOTSTRAP_SERVERS=NOWHERE["KAFKA_BOOTSTRAP_SERVERS"])
    fine = {"registry": "ok", "schemas": "ok"}
    assert states(found) == dict.fromkeys(ORDER, "warning") | fine | {"broker": "wrong"}
    assert found["broker"][0].found.startswith("Kafka at 127.0.0.1:9: 127.0.0.1:9: ")
    assert "check KAFKA_BOOTSTRAP_SERVERS" in found["broker"][0].remedy
    assert found["lag"][0].found == "not checked: the broker is unavailable"


async def test_brokers_are_checked_without_a_registry(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(CREATE)
        await pipe.until_events(1)
        found = await examined(pipe, SCHEMA_REGISTRY_URL=NOWHERE["SCHEMA_REGISTRY_URL"])
    assert wrong(found) == {"registry"}
    assert found["registry"][0].remedy == "check SCHEMA_REGISTRY_URL and that it runs"
    assert found["schemas"][0].found == "not checked: the registry is unavailable"
    assert found["lag"][0].state == found["group"][0].state == found["clock"][0].state == "ok"
    assert "registry" not in found["clock"][0].found


async def test_unreachable_advertised_address_is_reported() -> None:
    lost = {"advertised.listeners": "PLAINTEXT://127.0.0.1:9"}
    stack = Stack(f"{PREFIX}{os.getpid()}-lost", registry=False, extra_properties=lost)
    try:
        servers = str((await asyncio.to_thread(stack.up)).bootstrap_servers)
        settings = load(bootstrap_servers=servers, registry_url=NOWHERE["SCHEMA_REGISTRY_URL"])
        lines = await doctor.examine(settings, 10)
        env = {**os.environ, **NOWHERE, "KAFKA_BOOTSTRAP_SERVERS": servers, "PIPELINE_HTTP_PORT": "0"}
        texts = await asyncio.gather(*(first_error(env, *command) for command in COMMANDS))
    finally:
        await asyncio.to_thread(stack.down)
    for command, text in zip(COMMANDS, texts, strict=True):
        assert "broker 1 can't be reached at its advertised address 127.0.0.1:9: start it, or correct" in text, command
    assert lines[0].state == "wrong"
    assert lines[0].found == "broker 1 can't be reached at its advertised address 127.0.0.1:9"
    assert "advertised.listeners" in lines[0].remedy
    assert lines[2].found == "not checked: the broker is unavailable"


COMMANDS = (
    ("setup",),
    ("send", "tests/captures/freeswitch.signals.expected.jsonl"),
    ("events", "--max", "1"),
    ("worker",),
)


async def first_error(env: dict[str, str], *command: str) -> str:
    """Return the first line that a command writes to standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", *command, cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = b""
        while not line or b'"starting"' in line:
            line = await process.stderr.readline()
    if process.returncode is None:
        process.terminate()
        await process.communicate()
    return line.decode()


async def test_silent_broker_takes_only_the_time_limit(pipe: Pipe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        began = time.monotonic()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, out = await run(pipe, "--timeout", "3", KAFKA_BOOTSTRAP_SERVERS=address)
        took = time.monotonic() - began
    assert code == 1
    assert out.startswith("wrong    broker ")
    assert 2.5 < took < 20


# --- topics and schemas --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def admin(pipe: Pipe) -> AsyncIterator[AIOKafkaAdminClient]:
    async with admin_client(pipe.settings) as found:
        yield found


async def test_missing_topic_is_named_and_dependent_checks_are_not_made(pipe: Pipe) -> None:
    gone = pipe.topic("events")
    async with admin(pipe) as client:
        await client.delete_topics([gone])
        while not (await describe_topics(client, [gone])).topics[gone].missing:
            await asyncio.sleep(0.05)
    found = await examined(pipe)
    assert wrong(found) == {"topics", "group"}
    assert found["topics"][0] == Line(
        "topics", "wrong", f"topic {gone} does not exist", "run `conference-pipeline setup`"
    )
    assert (
        found["transactions"][0].found == f"not checked: topic {gone} does not exist, or this user may not describe it"
    )
    assert found["lag"][0].state == "ok"


async def test_wrong_topic_setting_is_reported_with_its_command(pipe: Pipe) -> None:
    rooms = pipe.topic("rooms")
    async with admin(pipe) as client:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, rooms, {
                "cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", "max.message.bytes": "4194304",
            })]
        )  # fmt: skip
    found = await examined(pipe)
    [line] = [line for line in found["topics"] if line.state == "wrong"]
    assert line.found.startswith(f"topic {rooms} has cleanup.policy=delete, expected compact: ")
    assert line.remedy.endswith(f"--entity-name {rooms} --add-config cleanup.policy=compact")


async def test_missing_outdated_incompatible_and_unprotected_schemas_are_reported(pipe: Pipe) -> None:
    def other(record: str, **field: Any) -> dict[str, str]:
        schema = json.loads(SCHEMAS[record])
        kept = [one for one in schema["fields"] if one["name"] != "caller_id"]
        return {"schema": json.dumps({**schema, "fields": [*kept, {"name": "x", "type": "int", **field}]})}

    await pipe.run_setup()
    events, rooms = pipe.topic("events"), pipe.topic("rooms")
    joined, left, muted = (f"{events}-conference.Member{what}" for what in ("Joined", "Left", "Muted"))
    member = f"{rooms}-conference.Member"
    async with Registry(pipe.settings) as registry:
        for subject in (joined, left, member):
            await registry.delete(subject)
        await registry._request("POST", f"/subjects/{left}/versions", other("conference.MemberLeft"))
        await registry._request("PUT", f"/config/{left}", {"compatibility": "FULL_TRANSITIVE"})
        await registry._request("POST", f"/subjects/{member}/versions", other("conference.Member", default=1))
        await registry._request("PUT", f"/config/{member}", {"compatibility": "FULL_TRANSITIVE"})
        await registry._request("PUT", f"/config/{muted}", {"compatibility": "NONE"})
    found = await examined(pipe)
    assert [(line.state, line.found) for line in found["schemas"]] == [
        ("wrong", f"{joined} is not registered"),
        ("wrong", f"{member} is registered without this version's schema, which is compatible"),
        ("wrong", f"{left} is registered with a version that is incompatible with this version's schema"),
        (
            "warning",
            f"{muted} is registered without compatibility level FULL_TRANSITIVE: others may register incompatible versions",
        ),
    ]
    nothing = await examined(pipe, PIPELINE_TOPIC_PREFIX=f"{pipe.prefix}-none")
    assert "and 34 more are not registered" in nothing["schemas"][0].found
    assert nothing["schemas"][0].remedy.startswith("run `conference-pipeline setup`")


# --- the workers ---------------------------------------------------------------------------------------------


async def test_partitions_without_an_owner_are_reported(pipe: Pipe) -> None:
    stranger = AIOKafkaConsumer(pipe.topic("events"), **pipe.settings.kafka(), group_id=pipe.settings.group_id)
    await stranger.start()
    await stranger.getmany(timeout_ms=100)
    found = await examined(pipe)
    await stranger.stop()
    assert wrong(found) == {"group"}
    assert found["group"][0].found.endswith("; no owner of partitions 0, 1, 2, 3")
    empty = await examined(pipe)
    assert "has no members: no worker runs" in empty["group"][0].found


async def test_more_workers_than_partitions_is_a_warning(servers: Any) -> None:
    pipe = Pipe(servers, partitions=1)
    await pipe.set_up()
    with pipe.worker(), pipe.worker(ready=False) as idle:
        await asyncio.to_thread(idle.until_log, "partitions assigned")
        found = await examined(pipe)
        assert found["group"][0].state == "warning"
        assert "2 members" in found["group"][0].found
        assert found["group"][0].found.endswith("; 1 member without a partition")


async def test_backlog_is_counted_and_deleted_signals_are_reported(pipe: Pipe) -> None:
    with pipe.worker() as worker:
        await pipe.send(CREATE)
        await pipe.until_events(1)
        assert worker.stop() == 0
    signals = [s.ConferenceVolume(f"v-{n}", "room", T, 1, "volume") for n in range(5)]
    await pipe.send(*signals)
    number = pipe.partition("room")
    place = f"{pipe.topic('api.signals')} partition {number}"
    [line] = (await examined(pipe))["lag"]
    assert line.state == "ok", "they are new"
    assert line.found.startswith("backlog of at most 5 signals on 1 of 8 inputs, the oldest ")
    assert f"the largest, 5, on {place}" in line.found

    async with admin(pipe) as client:
        tp = TopicPartition(pipe.topic("api.signals"), number)
        await client.delete_records({tp: RecordsToDelete(4)})
    lost, rest = (await examined(pipe))["lag"]
    assert lost.state == "wrong"
    assert lost.found.startswith(f"3 signals of {place} were deleted unread (offsets 1 to 3): ")
    assert rest.state == "ok"


async def test_position_after_the_end_of_the_log_is_wrong(pipe: Pipe) -> None:
    """As after a signal topic was recreated. Many rows follow the position."""
    async with Registry(pipe.settings) as registry:
        ids = await registry.schema_ids(pipe.prefix)
    known = (TopicPosition(pipe.topic("api.signals"), 0, 99, T), TopicPosition("another.topic", 0, 99, T))
    value = ENCODERS[Position](Position("owner", known), framing.head(ids["conference.Position"]))
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(pipe.topic("rooms"), value, b'["position"]', partition=0)
        for n in range(700):
            await producer.send(pipe.topic("rooms"), None, json.dumps(["room", str(n)]).encode(), partition=0)
    found = await examined(pipe)
    [line] = [line for line in found["lag"] if line.state == "wrong"]
    assert "partition 0 ends at offset 0, before the worker's position: it was created again" in line.found
    assert line.found.endswith("; the position is 99 on partition 0")


async def test_open_transactions_are_reported_with_owner_and_abort_command(pipe: Pipe) -> None:
    owner = f"{pipe.settings.group_id}-dead"
    number = pipe.partition("room")
    dead = await pipe.left_open(owner)
    async with AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-producer") as foreign:
        await dead.send_and_wait(pipe.topic("events"), b"x", b"room", partition=number)
        await foreign.begin_transaction()
        await foreign.send_and_wait(pipe.topic("media.signals"), b"x", b"room", partition=number)
        found = await examined(pipe)
        await dead.abort_transaction()
        await foreign.abort_transaction()
    await dead.stop()
    lines = {line.found.partition(" at offset")[0]: line for line in found["transactions"]}
    events, rooms = pipe.topic("events"), pipe.topic("rooms")
    for topic in (events, rooms):
        line = lines[f"an open transaction of {owner!r} blocks readers of {topic} partition {number}"]
        assert line.state == "wrong"
        assert line.remedy.endswith(
            f"kafka-transactions.sh abort --topic {topic} --partition {number} --start-offset 0"
        )
    [line] = [line for line in found["transactions"] if line.state == "warning"]
    media = pipe.topic("media.signals")
    assert line.found.startswith(
        f"an open transaction of '{pipe.prefix}-producer' hides signals and delays timeouts of {media} partition "
        f"{number} from offset 0 on, since "
    )
    assert len(found["transactions"]) == 3
    assert (await examined(pipe))["transactions"][0].state == "ok"


async def test_a_transaction_that_is_not_of_a_worker_is_reported(pipe: Pipe) -> None:
    """Workers end only those of their group: nothing else may write to these topics."""
    owner = f"{pipe.prefix}-somebody"
    async with AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=owner) as foreign:
        await foreign.begin_transaction()
        await foreign.send_and_wait(pipe.topic("signals.rejected"), b"x", b"room", partition=1)
        [line] = (await examined(pipe))["transactions"]
        await foreign.abort_transaction()
    assert line.state == "wrong"
    assert line.found.startswith(
        f"an open transaction of {owner!r} blocks readers of {pipe.topic('signals.rejected')} partition 1 at offset 0"
    )
    assert "so workers leave it alone" in line.found
    assert line.remedy.startswith("only workers may write to this topic: stop that producer, or run kafka-transactions")
