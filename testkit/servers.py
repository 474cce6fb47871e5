"""A real Kafka broker and schema registry for tests: from the environment, in Docker, or the local stack."""

from __future__ import annotations

import contextlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.devstack import Stack
from pipeline.devstack.cache import cache_dir
from pipeline.errors import PipelineError

BROKER, REGISTRY = "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"
KAFKA_IMAGE = os.environ.get("TEST_KAFKA_IMAGE", "confluentinc/cp-kafka:8.1.0")
REGISTRY_IMAGE = os.environ.get("TEST_REGISTRY_IMAGE", "apicurio/apicurio-registry:3.1.2")
PREFIX = "tests-"
"""Prefix of the local stacks' names, before the pid of the process that stops them."""
SHARED = "TEST_STACK"
"""Variable with the name of the local stack that several test processes share. Another process stops it."""


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers; `origin` describes them. `stack` is set for a local one.

    `lasting` servers outlive the tests, which must then delete what they created.
    """

    bootstrap_servers: str
    registry_url: str
    origin: str
    stack: Stack | None = None
    lasting: bool = False


class NoServersError(Exception):
    """No servers are available; the text has the reason of each attempt."""


@contextlib.contextmanager
def servers(heap_mb: int = 768) -> Iterator[Servers]:
    """Provide the first available of: servers named by the environment, Docker (testcontainers), the local stack.

    `heap_mb` is the largest heap of a local broker in MiB. Raises NoServersError with the reasons.
    """
    reasons = []
    with contextlib.ExitStack() as closing:
        attempts: tuple[Callable[[contextlib.ExitStack], Servers], ...] = (_named, _docker, partial(_local, heap_mb))
        for attempt in attempts:
            with contextlib.ExitStack() as attempted:
                try:
                    found = attempt(attempted)
                except _Unavailable as error:
                    reasons.append(str(error))
                    continue
                closing.push(attempted.pop_all())
                break
        else:
            raise NoServersError("no Kafka and schema registry for the tests: " + "; ".join(reasons))
        yield found


class _Unavailable(Exception):
    pass


def _named(_: contextlib.ExitStack) -> Servers:
    broker, registry = os.environ.get(BROKER, "").strip(), os.environ.get(REGISTRY, "").strip()
    if broker and registry:
        return Servers(broker, registry, f"named by {BROKER} and {REGISTRY}", lasting=True)
    if broker or registry:  # a mistake: other servers must not be used instead
        raise NoServersError(f"only one of {BROKER} and {REGISTRY} is set: set both or neither")
    raise _Unavailable(f"{BROKER} and {REGISTRY} are not set")


def _docker(closing: contextlib.ExitStack) -> Servers:
    try:
        import docker  # type: ignore[import-untyped]

        client = docker.from_env(timeout=2)
        client.ping()
        client.close()
    except Exception as error:
        raise _Unavailable(f"Docker: the engine does not respond ({type(error).__name__})") from None
    try:
        return _containers(closing)
    except Exception as error:  # an image that can't be pulled, a port, a memory limit …
        raise _Unavailable(f"Docker: {type(error).__name__}: {error}") from error


def _containers(closing: contextlib.ExitStack) -> Servers:
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    kafka = KafkaContainer(KAFKA_IMAGE).with_kraft()
    for name, value in {
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
    }.items():
        kafka.with_env(name, value)
    closing.callback(kafka.stop)
    kafka.start(timeout=120)
    registry = DockerContainer(REGISTRY_IMAGE).with_exposed_ports(8080)
    registry.with_env("APICURIO_REST_ARTIFACT_DELETION_ENABLED", "true")
    registry.waiting_for(HttpWaitStrategy(8080, "/apis/ccompat/v7/subjects").with_startup_timeout(120))
    closing.callback(registry.stop)
    registry.start()
    host, port = registry.get_container_host_ip(), registry.get_exposed_port(8080)
    url = f"http://{host}:{port}/apis/ccompat/v7"
    with urllib.request.urlopen(f"{url}/subjects", timeout=10):
        return Servers(kafka.get_bootstrap_server(), url, f"Docker: {KAFKA_IMAGE}, {REGISTRY_IMAGE}")


def _local(heap_mb: int, closing: contextlib.ExitStack) -> Servers:
    sweep()
    shared = os.environ.get(SHARED, "")
    stack = Stack(shared or own_stack(), heap_mb=heap_mb)
    if not shared:
        closing.callback(stack.down)
    try:
        status = stack.up()
    except PipelineError as error:
        raise _Unavailable(f"local stack: {error}") from error
    assert status.bootstrap_servers
    assert status.schema_registry_url
    origin = f"local stack {stack.name!r}"
    return Servers(status.bootstrap_servers, status.schema_registry_url, origin, stack)


def own_stack() -> str:
    """Return the name of this process's local stack."""
    return f"{PREFIX}{os.getpid()}"


def sweep() -> None:
    """Stop the stacks of test processes that no longer run."""
    home = cache_dir() / "stacks"
    for folder in home.glob(f"{PREFIX}*") if home.exists() else ():
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if folder.is_dir() and pid.isdigit() and not Path("/proc", pid).exists():
            Stack(folder.name).down()
