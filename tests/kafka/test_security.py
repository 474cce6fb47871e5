"""TLS, logins and least privilege, on a broker and a registry that require them (docs/reference/security.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import typer.testing
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from pipeline.admin.setup import setup
from pipeline.cli import build
from pipeline.devstack import cache
from pipeline.engines.bridge import Bridge
from pipeline.engines.rules.ids import Node
from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.schema_registry import Registry
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.settings import Settings
from pipeline.topics import ALL_TOPICS
from pipeline.worker.process import Worker
from tests.support.gateway import NO_COOLDOWNS, Client, apps_file
from tests.support.model_engine import ModelEngine
from tests.support.secured import (
    PLAIN_PASSWORD,
    PLAIN_USER,
    Authority,
    Secured,
    few_at_a_time,
    fitting,
    numbers,
    run,
    secured,
    settings,
    spellings,
    without,
)

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The two servers, shared by the tests of this module."""
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


# --- the listed permissions suffice ------------------------------------------------------------------------------


async def test_roles_work_with_exactly_their_permissions_even_after_a_kill(site: Secured) -> None:
    pipe = site.pipe()
    pipe.env.update(site.person("a-worker", acls.worker(pipe.settings)))
    to_set_up = pipe.env | site.person("a-setup", acls.setup(pipe.settings), "writer")
    to_send = pipe.env | site.person("a-producer", acls.producer(pipe.settings))
    to_follow = pipe.env | site.person("a-consumer", acls.consumer(pipe.settings))
    code, out, err = await run("setup", env=to_set_up)
    assert code == 0, err
    assert len(out.splitlines()) == len(ALL_TOPICS) + 37

    create = s.ConferenceCreate("c", "room", T, "app", "name")
    join = s.MemberJoined("j", "room", T, "session", "caller")
    lines = signal_json(create) + signal_json(join)
    owner = f"{pipe.settings.group_id}-first"
    with pipe.worker(PIPELINE_TRANSACTIONAL_ID=owner) as first:
        done = await run("send", "-", env=to_send, stdin=lines)
        assert done == (0, "", "sent 2 (api 1, media 1), skipped 0\n")
        await pipe.until_events(2)
        first.kill()
    dead = await pipe.left_open(owner)
    with pipe.worker() as second:
        assert second.metric("pipeline_fenced_owners") == 1
        volume = signal_json(s.ConferenceVolume("v", "room", T, 1, "volume"))
        code, _, err = await run("send", "--avro", "-", env=to_send, stdin=volume)
        assert code == 0, err
        options = ("--from-beginning", "--max", "3", "--timeout", "20")
        code, out, err = await run("events", *options, env=to_follow)
        assert code == 0, err
        assert second.stop() == 0
    await dead.stop()
    assert [json.loads(line)["meta"]["sequence"] for line in out.splitlines()] == [1, 2, 3]


async def test_gateway_and_bridge_work_with_exactly_their_permissions(site: Secured, tmp_path: Path) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    group = f"{pipe.settings.topic_prefix}-bridge-n1"
    to_work = site.person("edge-worker", acls.worker(pipe.settings))
    to_serve = site.person("edge-gateway", acls.gateway(pipe.settings))
    bridge = settings(pipe, site.person("edge-bridge", acls.bridge(pipe.settings, group)))
    engine, stop = ModelEngine(), asyncio.Event()
    with pipe.worker(**to_work), pipe.gateway(apps_file(tmp_path), **NO_COOLDOWNS, **to_serve) as gateway:
        async with Bridge(bridge, Node("n1"), engine) as running, Client(gateway.api) as client:
            task = asyncio.create_task(running.run(stop))
            while running.not_ready() is not None:
                assert not task.done(), task
                await asyncio.sleep(0.05)
            while gateway.metric("gateway_nodes") != 1:
                await asyncio.sleep(0.05)
            room = await client.create()
            assert room.startswith("n1-room-")
            engine.join(room, "n1-u")
            await pipe.until_events(2)
            stop.set()
            await task


# --- each missing permission is named ---------------------------------------------------------------------------


async def test_worker_ends_and_names_a_missing_permission(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    for acl, env in without(site, acls.worker(pipe.settings)):
        with capture_logs() as lines:
            code = await asyncio.wait_for(Worker(settings(pipe, env)).run(), 30)
        text = lines[-1]["event"]
        assert code == 2, text
        user = env["KAFKA_SASL_USERNAME"]
        assert text.startswith(f"not authorised: user '{user}' lacks {acl}: `kafka-acls.sh --add "), text
        assert f"--operation {acl.operation} --{acl.kind} {acl.name}" in text
        assert "\n" not in text


async def test_worker_needs_the_ids_of_dead_workers(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    own = f"{pipe.settings.group_id}-own"
    needed = [acl._replace(name=own, prefixed=False) if acl.prefixed else acl for acl in acls.worker(pipe.settings)]
    dead = await pipe.left_open(f"{pipe.settings.group_id}-dead")
    env = site.person("no-prefix", needed) | {"PIPELINE_TRANSACTIONAL_ID": own}
    with pipe.worker(ready=False, **env) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2, worker.lines
    await dead.stop()
    text = worker.log[-1]["msg"]
    assert f"lacks Write on every transactional id that begins with {pipe.settings.group_id}" in text
    assert "--resource-pattern-type prefixed" in text
    assert f"(for '{pipe.settings.group_id}-dead')" in text


async def test_setup_names_a_missing_permission(site: Secured) -> None:
    pipe = site.pipe()
    needed = acls.setup(pipe.settings)
    for acl, env in without(site, needed):
        with pytest.raises(DeniedError) as caught:
            await setup(settings(pipe, env), lambda _: None)
        assert f" lacks {acl}: `kafka-acls.sh" in str(caught.value)
        if acl.operation == "Create":
            async with admin_client(pipe.settings) as admin:
                await admin.delete_topics([topic.full_name(pipe.prefix) for topic in ALL_TOPICS])
                while not (await describe_topics(admin, [acl.name])).topics[acl.name].missing:
                    await asyncio.sleep(0.05)
    await pipe.set_up()
    env = site.person("no-create", [acl for acl in needed if acl.operation != "Create"], "writer")
    assert await setup(settings(pipe, env), lambda _: None) == [], "existing topics need no Create"


@pytest.mark.parametrize("needed", [acls.producer, acls.consumer, acls.viewer, acls.outcomes, acls.gateway])
async def test_producers_and_consumers_name_a_missing_permission(
    site: Secured, needed: Callable[[Settings], list[Acl]]
) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    for acl, env in without(site, needed(pipe.settings)):
        found = settings(pipe, env)
        with pytest.raises(DeniedError, match=rf" lacks {acl}: `kafka-acls.sh"):
            await require_topics(found, needed(found))


async def test_setup_needs_write_access_to_the_registry(site: Secured) -> None:
    pipe = site.pipe()
    env = site.person("reads-only", acls.setup(pipe.settings), "reader")
    denied = r"denied PUT /config/\S+ \(403\): allow this user to read, and to write for `setup`"
    with pytest.raises(DeniedError, match=denied):
        await setup(settings(pipe, env), lambda _: None)


async def test_revoked_permission_ends_a_worker_and_is_named(site: Secured) -> None:
    async def one(wanted: tuple[str, str]) -> None:
        pipe = site.pipe()
        await pipe.set_up()
        needed = acls.worker(pipe.settings)
        name = f"revoked-{next(numbers)}"
        [acl] = [acl for acl in needed if (acl.operation, acl.name.removeprefix(pipe.prefix)) == wanted]
        with pipe.worker(ready=False, **site.person(name, needed)) as worker:
            await asyncio.to_thread(worker.until_ready)
            site.forbid(name, [acl])
            await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
            assert await asyncio.to_thread(worker.wait, 40) == 2, worker.lines
        assert f"user '{name}' lacks {acl}: `kafka-acls.sh" in worker.log[-1]["msg"], worker.lines
        assert not any("Traceback" in line for line in worker.lines)

    cases = [("Read", ".api.signals"), ("Write", ".events"), ("Read", "-group")]
    await few_at_a_time([one(case) for case in cases])


# --- logins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "certificate"])
async def test_every_login_mechanism_works(site: Secured, mechanism: str) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    wanted = acls.consumer(pipe.settings)
    if mechanism == "certificate":
        certificate, key, _ = site.authority.sign("by-certificate", password="of-the-key")
        site.allow("CN=by-certificate", wanted)
        env = site.env("reader") | {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BOOTSTRAP_SERVERS": site.mutual}
        env = fitting(env) | {
            "KAFKA_SSL_CERT": certificate,
            "KAFKA_SSL_KEY": key,
            "KAFKA_SSL_KEY_PASSWORD": "of-the-key",
        }
    elif mechanism == "PLAIN":
        site.allow(PLAIN_USER, wanted)
        env = site.env("reader") | {
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": PLAIN_USER,
            "KAFKA_SASL_PASSWORD": PLAIN_PASSWORD,
        }
    else:
        env = site.person(f"by-{mechanism}", wanted) | {"KAFKA_SASL_MECHANISM": mechanism}
    found = settings(pipe, env)
    assert await require_topics(found, wanted) == {pipe.topic("events"): pipe.settings.partitions}


REJECTIONS: dict[str, tuple[dict[str, str], type[Exception], str]] = {
    "password": ({"KAFKA_SASL_PASSWORD": "WRONG"}, ConfigError, "rejected user 'a-user': check KAFKA_SASL_USERNAME"),
    "mechanism": ({"KAFKA_SASL_MECHANISM": "PLAIN"}, ConfigError, "and KAFKA_SASL_MECHANISM (now PLAIN)"),
    "authority": ({"KAFKA_SSL_CA": "OTHER"}, ConfigError, "can't be verified (unable to get local issuer certificate): check KAFKA_SSL_CA"),
    "name": ({"KAFKA_BOOTSTRAP_SERVERS": "OTHER NAME"}, ConfigError, "Hostname mismatch"),
    "no TLS there": ({"KAFKA_BOOTSTRAP_SERVERS": "BARE"}, KafkaConnectionError, "(if it has no TLS, change KAFKA_SECURITY_PROTOCOL)"),
    "no SASL there": (
        {"KAFKA_BOOTSTRAP_SERVERS": "BARE", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        ConfigError,
        "does not support SCRAM-SHA-512 with SASL_PLAINTEXT",
    ),
    "TLS there": ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, KafkaConnectionError, "if it requires TLS, set KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
    "all there": ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, KafkaConnectionError, "if it requires TLS or a login, set KAFKA_SECURITY_PROTOCOL"),
    "certificate": (
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BOOTSTRAP_SERVERS": "MUTUAL"},
        KafkaConnectionError,
        "if it requires a certificate, set KAFKA_SSL_CERT",
    ),
    "registry's password": ({"SCHEMA_REGISTRY_PASSWORD": "WRONG"}, ConfigError, "rejected the login (401): check SCHEMA_REGISTRY_USERNAME"),
    "registry's authority": ({"SCHEMA_REGISTRY_SSL_CA": "OTHER"}, ConfigError, "check SCHEMA_REGISTRY_SSL_CA"),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTIONS)
async def test_rejected_connections_are_explained(site: Secured, case: str, tmp_path: Path) -> None:
    """As `setup` reports it. At a ConfigError, a worker ends with exit code 2; otherwise it logs the error and waits."""
    changes, kind, text = REJECTIONS[case]
    pipe = site.pipe()
    if "a-user" not in site.passwords:
        site.person("a-user", [])
    values = {"OTHER": Authority(tmp_path, "other").ca, "BARE": site.plain, "MUTUAL": site.mutual}
    values["OTHER NAME"] = site.sasl.replace("127.0.0.1", "127.1")
    env = fitting(site.env("a-user") | {name: values.get(value, value) for name, value in changes.items()})
    found = settings(pipe, env)

    async def connect() -> None:
        if case.startswith("registry"):
            async with Registry(found) as registry:
                await registry.ping()
        else:
            async with admin_client(found):
                pass

    with pytest.raises((ConfigError, KafkaConnectionError)) as caught:
        await connect()
    assert text in str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


async def test_worker_ends_after_rejection_and_waits_after_closed_connection(site: Secured) -> None:
    pipe = site.pipe()
    env = site.person("rejected", [])
    wrong = settings(pipe, env | {"KAFKA_SASL_PASSWORD": "wrong-one"})
    with capture_logs() as lines:
        assert await asyncio.wait_for(Worker(wrong).run(), 30) == 2
    assert "rejected user 'rejected': check KAFKA_SASL_USERNAME" in lines[-1]["event"]
    with pipe.worker(ready=False, **fitting(env | {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"})) as worker:
        line = await asyncio.to_thread(worker.until_log, "waiting for Kafka")
        assert "if it requires TLS" in line["error"]
        assert await asyncio.to_thread(worker.stop) == 0


# --- secrets stay secret -----------------------------------------------------------------------------------------


async def test_debug_logs_metrics_and_probes_contain_no_secret(site: Secured) -> None:
    """With a PLAIN login, which sends the password itself, and the registry's user in its URL."""
    pipe = site.pipe()
    await pipe.set_up()
    site.allow(PLAIN_USER, acls.worker(pipe.settings))
    env = plain_env(site, site.passwords["reader"], PLAIN_PASSWORD)
    with pipe.worker(**env) as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
        pages = [worker.get(page)[1] for page in ("/metrics", "/readyz", "/livez")]
        assert worker.stop() == 0
    output = "\n".join([*pages, *worker.lines])
    assert "pipeline_events_total" in output
    assert any(line["level"] == "debug" for line in worker.log), "debug logs are on"
    assert [word for word in spellings(PLAIN_PASSWORD, site.passwords["reader"]) if word in output] == []


def plain_env(site: Secured, registry: str, broker: str) -> dict[str, str]:
    """Return an environment with debug logs and these passwords, the registry's in its URL."""
    return site.env("reader") | {
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": PLAIN_USER,
        "KAFKA_SASL_PASSWORD": broker,
        "SCHEMA_REGISTRY_URL": site.registry.replace("//", f"//reader:{quote(registry, safe='')}@"),
        "SCHEMA_REGISTRY_USERNAME": "",
        "SCHEMA_REGISTRY_PASSWORD": "",
        "PIPELINE_LOG_LEVEL": "debug",
    }


async def test_errors_of_commands_contain_no_secret(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    site.allow(PLAIN_USER, [*acls.worker(pipe.settings), *acls.producer(pipe.settings)])
    site.allow(PLAIN_USER, [acl for acl in acls.setup(pipe.settings) if acl.operation != "Create"])
    wrong = "Wr0ng/\"pass'word@é"
    good = site.passwords["reader"]
    cases = [
        (command, {**pipe.env, **plain_env(site, *passwords), "PIPELINE_LOG_FORMAT": style})
        for command, style, passwords in (
            (["worker"], "json", (good, wrong)),
            (["worker"], "text", (wrong, PLAIN_PASSWORD)),
            (["setup"], "text", (wrong, PLAIN_PASSWORD)),
            (["events", "--max", "1"], "text", (good, wrong)),
        )
    ]
    for code, out, err in await few_at_a_time([run(*command, env=env) for command, env in cases]):
        assert code == 2, err
        assert "rejected" in err
        assert [word for word in spellings(wrong, good, PLAIN_PASSWORD) if word in out + err] == []
        assert "Traceback" not in err


def test_up_and_status_print_the_registry_without_its_password(
    site: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cache.ENV, str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", site.plain)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", site.registry.replace("//", "//reader:hunter2@"))
    command = typer.testing.CliRunner()
    text, as_json, status = (
        command.invoke(build(), arguments) for arguments in (["up"], ["up", "--json"], ["stack", "status", "--json"])
    )
    assert text.exit_code == 0
    assert text.stdout.splitlines() == [
        f"export KAFKA_BOOTSTRAP_SERVERS={site.plain}",
        'export SCHEMA_REGISTRY_URL="$SCHEMA_REGISTRY_URL"',
    ]
    assert json.loads(as_json.stdout)["schema_registry_url"] == site.registry
    assert "hunter2" not in "".join(one.output for one in (text, as_json, status))
