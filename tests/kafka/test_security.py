"""TLS, logins and least privilege, on a broker and a registry that require them (docs/reference/security.md)."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import typer.testing
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from pipeline.admin.setup import setup
from pipeline.cli import build
from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.required_topics import require_topics
from pipeline.kafka.schema_registry import Registry
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.settings import Settings, load
from pipeline.topics import TOPICS
from pipeline.worker.process import Worker
from testkit.pipe import ROOT, Pipe
from tests.support.secured import PLAIN_PASSWORD, PLAIN_USER, Authority, Secured, secured, spellings

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
SIDE_BY_SIDE = 3  # processes
_numbers = itertools.count()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The two servers, for all tests of this module."""
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


async def run(*arguments: str, env: dict[str, str], stdin: bytes = b"") -> tuple[int, str, str]:
    """A command: exit code, standard output, standard error."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=env, input=stdin, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def few_at_a_time(jobs: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What they return."""
    few = asyncio.Semaphore(SIDE_BY_SIDE)

    async def turn(job: Coroutine[Any, Any, Any]) -> Any:
        async with few:
            return await job

    return await asyncio.gather(*map(turn, jobs))


def settings(pipe: Pipe, env: dict[str, str], **more: Any) -> Settings:
    """What a process with this environment has."""
    variables: dict[str, str] = {
        str(field.validation_alias.choices[0]): name  # type: ignore[union-attr]
        for name, field in Settings.model_fields.items()
    }
    both = {**pipe.env, **env}
    return load(**{variables[key]: value for key, value in both.items() if key in variables}, **more)


def without(site: Secured, needed: list[Acl]) -> Iterator[tuple[Acl, dict[str, str]]]:
    """For each permission, the environment of a user who has all but that one."""
    names = [f"without-{next(_numbers)}" for _ in needed]
    site.users(*names)
    for name, left_out in zip(names, needed, strict=True):
        site.allow(name, [acl for acl in needed if acl is not left_out])
        yield left_out, site.env(name)


# --- with exactly these it works ---------------------------------------------------------------------------------


async def test_each_role_works_with_exactly_its_permissions_also_after_a_kill(site: Secured) -> None:
    pipe = site.pipe()
    pipe.env.update(site.person("a-worker", acls.worker(pipe.settings)))
    to_set_up = pipe.env | site.person("a-setup", acls.setup(pipe.settings), "writer")
    to_send = pipe.env | site.person("a-producer", acls.producer(pipe.settings))
    to_follow = pipe.env | site.person("a-consumer", acls.consumer(pipe.settings))
    code, out, err = await run("setup", env=to_set_up)
    assert code == 0, err
    assert len(out.splitlines()) == len(TOPICS) + 34

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


# --- without any one of them it says which -----------------------------------------------------------------------


async def test_a_worker_without_one_of_its_permissions_ends_and_names_it(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    for acl, env in without(site, acls.worker(pipe.settings)):
        with capture_logs() as lines:
            code = await asyncio.wait_for(Worker(settings(pipe, env)).run(), 30)
        told = lines[-1]["event"]
        assert code == 2, told
        user = env["KAFKA_SASL_USERNAME"]
        assert told.startswith(f"not authorised: user '{user}' lacks {acl}: `kafka-acls.sh --add "), told
        assert f"--operation {acl.operation} --{acl.kind} {acl.name}" in told
        assert "\n" not in told


async def test_a_transactional_id_of_ones_own_is_not_enough_to_abort_a_dead_workers(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    own = f"{pipe.settings.group_id}-own"
    needed = [
        acl._replace(name=own, prefixed=False) if acl.prefixed else acl for acl in acls.worker(pipe.settings)
    ]
    dead = await pipe.left_open(f"{pipe.settings.group_id}-dead")
    env = site.person("no-prefix", needed) | {"PIPELINE_TRANSACTIONAL_ID": own}
    with pipe.worker(ready=False, **env) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2, worker.lines
    await dead.stop()
    told = worker.log[-1]["msg"]
    assert f"lacks Write on every transactional id that begins with {pipe.settings.group_id}" in told
    assert "--resource-pattern-type prefixed" in told
    assert f"refused was '{pipe.settings.group_id}-dead'" in told


async def test_setup_without_one_of_its_permissions_names_it(site: Secured) -> None:
    pipe = site.pipe()
    needed = acls.setup(pipe.settings)
    for acl, env in without(site, needed):
        with pytest.raises(DeniedError) as caught:
            await setup(settings(pipe, env), lambda _: None)
        assert f" lacks {acl}: `kafka-acls.sh" in str(caught.value)
        if acl.operation == "Create":
            async with admin_client(pipe.settings) as admin:
                await admin.delete_topics([topic.full_name(pipe.prefix) for topic in TOPICS])
                while not (await describe_topics(admin, [acl.name])).topics[acl.name].missing:
                    await asyncio.sleep(0.05)
    await pipe.set_up()
    env = site.person("no-create", [acl for acl in needed if acl.operation != "Create"], "writer")
    assert await setup(settings(pipe, env), lambda _: None) == [], "what exists need not be created"


@pytest.mark.parametrize("needed", [acls.producer, acls.consumer])
async def test_producers_and_consumers_without_a_permission_are_told_which(
    site: Secured, needed: Callable[[Settings], list[Acl]]
) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    for acl, env in without(site, needed(pipe.settings)):
        found = settings(pipe, env)
        with pytest.raises(DeniedError, match=rf" lacks {acl}: `kafka-acls.sh"):
            await require_topics(found, needed(found))


async def test_a_registry_user_who_may_only_read_can_not_set_up(site: Secured) -> None:
    pipe = site.pipe()
    env = site.person("reads-only", acls.setup(pipe.settings), "reader")
    with pytest.raises(
        DeniedError, match=r"refused us PUT /config/\S+ \(403\): a worker needs to read, setup to write"
    ):
        await setup(settings(pipe, env), lambda _: None)


async def test_a_permission_that_is_taken_away_ends_a_worker_and_is_named(site: Secured) -> None:
    async def one(wanted: tuple[str, str]) -> None:
        pipe = site.pipe()
        await pipe.set_up()
        needed = acls.worker(pipe.settings)
        name = f"revoked-{next(_numbers)}"
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


# --- who are you -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "certificate"])
async def test_every_way_to_log_in(site: Secured, mechanism: str) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    wanted = acls.consumer(pipe.settings)
    if mechanism == "certificate":
        certificate, key, _ = site.authority.sign("by-certificate", password="of-the-key")
        site.allow("CN=by-certificate", wanted)
        env = site.env("reader") | {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BOOTSTRAP_SERVERS": site.mutual}
        env |= {"KAFKA_SSL_CERT": certificate, "KAFKA_SSL_KEY": key, "KAFKA_SSL_KEY_PASSWORD": "of-the-key"}
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


REFUSALS: dict[str, tuple[dict[str, str], str]] = {
    "password": ({"KAFKA_SASL_PASSWORD": "WRONG"}, "refused user 'somebody': check KAFKA_SASL_USERNAME"),
    "mechanism": ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "and KAFKA_SASL_MECHANISM (now PLAIN)"),
    "authority": ({"KAFKA_SSL_CA": "OTHER"}, "is not to be trusted (unable to get local issuer certificate): check KAFKA_SSL_CA"),
    "name": ({"KAFKA_BOOTSTRAP_SERVERS": "OTHER NAME"}, "Hostname mismatch"),
    "no TLS there": ({"KAFKA_BOOTSTRAP_SERVERS": "BARE"}, "(does it speak TLS? KAFKA_SECURITY_PROTOCOL)"),
    "no SASL there": (
        {"KAFKA_BOOTSTRAP_SERVERS": "BARE", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "does not take SCRAM-SHA-512 with SASL_PLAINTEXT",
    ),
    "TLS there": ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "does it want TLS? KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
    "all there": ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "does it want TLS, or a password?"),
    "certificate": (
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BOOTSTRAP_SERVERS": "MUTUAL"},
        "want a certificate of ours? KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_CERT",
    ),
    "registry's password": ({"SCHEMA_REGISTRY_PASSWORD": "WRONG"}, "refused us (401): check SCHEMA_REGISTRY_USERNAME"),
    "registry's authority": ({"SCHEMA_REGISTRY_SSL_CA": "OTHER"}, "check SCHEMA_REGISTRY_SSL_CA"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
async def test_who_is_not_let_in_is_told_why(site: Secured, case: str, tmp_path: Path) -> None:
    """In the words of `setup`; a worker ends with 2 where that is ConfigError, and else waits, saying the same."""
    changes, told = REFUSALS[case]
    pipe = site.pipe()
    if "somebody" not in site.passwords:
        site.person("somebody", [])
    meant = {"OTHER": Authority(tmp_path, "other").ca, "BARE": site.plain, "MUTUAL": site.mutual}
    meant["OTHER NAME"] = site.sasl.replace("127.0.0.1", "127.1")
    env = site.env("somebody") | {name: meant.get(value, value) for name, value in changes.items()}
    found = settings(pipe, env)

    async def knock() -> None:
        if case.startswith("registry"):
            async with Registry(found) as registry:
                await registry.ping()
        else:
            async with admin_client(found):
                pass

    with pytest.raises((ConfigError, KafkaConnectionError)) as caught:
        await knock()
    assert told in str(caught.value)
    assert isinstance(caught.value, ConfigError) is not ("?" in told)
    assert "\n" not in str(caught.value)


async def test_a_worker_that_is_not_let_in_ends_and_one_that_meets_silence_waits(site: Secured) -> None:
    pipe = site.pipe()
    env = site.person("not-let-in", [])
    wrong = settings(pipe, env | {"KAFKA_SASL_PASSWORD": "wrong-one"})
    with capture_logs() as lines:
        assert await asyncio.wait_for(Worker(wrong).run(), 30) == 2
    assert "refused user 'not-let-in': check KAFKA_SASL_USERNAME" in lines[-1]["event"]
    with pipe.worker(ready=False, **env | {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}) as worker:
        line = await asyncio.to_thread(worker.until_log, "waiting for Kafka")
        assert "does it want TLS" in line["error"]
        assert await asyncio.to_thread(worker.stop) == 0


# --- secrets are not said ----------------------------------------------------------------------------------------


async def test_a_worker_at_debug_tells_no_secret_in_logs_metrics_and_probes(site: Secured) -> None:
    """Logged in by PLAIN, whose bytes are the password itself, and with the registry's user in its URL."""
    pipe = site.pipe()
    await pipe.set_up()
    site.allow(PLAIN_USER, acls.worker(pipe.settings))
    env = plainly(site, site.passwords["reader"], PLAIN_PASSWORD)
    with pipe.worker(**env) as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
        pages = [worker.get(page)[1] for page in ("/metrics", "/readyz", "/livez")]
        assert worker.stop() == 0
    said = "\n".join([*pages, *worker.lines])
    assert "pipeline_events_total" in said
    assert any(line["level"] == "debug" for line in worker.log), "it is noisy"
    assert [word for word in spellings(PLAIN_PASSWORD, site.passwords["reader"]) if word in said] == []


def plainly(site: Secured, registry: str, broker: str) -> dict[str, str]:
    """An environment of debug logs with these passwords, the registry's in its URL."""
    return site.env("reader") | {
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": PLAIN_USER,
        "KAFKA_SASL_PASSWORD": broker,
        "SCHEMA_REGISTRY_URL": site.registry.replace("//", f"//reader:{quote(registry, safe='')}@"),
        "SCHEMA_REGISTRY_USERNAME": "",
        "SCHEMA_REGISTRY_PASSWORD": "",
        "PIPELINE_LOG_LEVEL": "debug",
    }


async def test_errors_of_every_command_tell_no_secret(site: Secured) -> None:
    pipe = site.pipe()
    await pipe.set_up()
    site.allow(PLAIN_USER, [*acls.worker(pipe.settings), *acls.producer(pipe.settings)])
    site.allow(PLAIN_USER, [acl for acl in acls.setup(pipe.settings) if acl.operation != "Create"])
    wrong = "Wr0ng/\"pass'word@é"
    good = site.passwords["reader"]
    cases = [
        (command, {**pipe.env, **plainly(site, *passwords), "PIPELINE_LOG_FORMAT": style})
        for command, style, passwords in (
            (["worker"], "json", (good, wrong)),
            (["worker"], "text", (wrong, PLAIN_PASSWORD)),
            (["setup"], "text", (wrong, PLAIN_PASSWORD)),
            (["events", "--max", "1"], "text", (good, wrong)),
        )
    ]
    for code, out, err in await few_at_a_time([run(*command, env=env) for command, env in cases]):
        assert code == 2, err
        assert "refused" in err
        assert [word for word in spellings(wrong, good, PLAIN_PASSWORD) if word in out + err] == []
        assert "Traceback" not in err


def test_up_and_status_pass_a_registry_on_without_its_password(
    site: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", site.plain)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", site.registry.replace("//", "//reader:hunter2@"))
    command = typer.testing.CliRunner()
    text, as_json, status = (
        command.invoke(build(), [*arguments, "--name", "none"])
        for arguments in (["up"], ["up", "--json"], ["status", "--json"])
    )
    assert text.exit_code == 0
    assert text.stdout.splitlines() == [
        f"export KAFKA_BOOTSTRAP_SERVERS={site.plain}",
        'export SCHEMA_REGISTRY_URL="$SCHEMA_REGISTRY_URL"',
    ]
    assert json.loads(as_json.stdout)["schema_registry_url"] == site.registry
    assert "hunter2" not in "".join(one.output for one in (text, as_json, status))
