"""Faults of brokers, alone or three of them, and of the registry."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from testkit.chaos.logs import API, MEDIA
from testkit.chaos.world import World
from tests.chaos.of_workers import end

_BROKERS: Final = threading.Lock()


def _down(world: World, fault: str, name: str, number: signal.Signals, seconds: float) -> None:
    with _BROKERS, world.injecting(fault):
        world.stack.kill(name, number)
        time.sleep(seconds)
        if number == signal.SIGSTOP:
            world.stack.kill(name, signal.SIGCONT)
        else:
            _until_gone(world, name)
            world.stack.up()


def _until_gone(world: World, name: str) -> None:
    limit = time.monotonic() + 30
    while any(p.name == name and p.state == "running" for p in world.stack.status().processes):
        if time.monotonic() > limit:
            world.stack.kill(name, signal.SIGKILL)
        time.sleep(0.05)


def broker_kill(world: World) -> None:
    _down(world, "broker_kill", "kafka-1", signal.SIGKILL, world.rng.uniform(0, 3))


def broker_restart(world: World) -> None:
    _down(world, "broker_restart", "kafka-1", signal.SIGTERM, 0)


def broker_freeze(world: World) -> None:
    _down(
        world, "broker_freeze", "kafka-1", signal.SIGSTOP, world.rng.uniform(1, 2.2 * world.setting.session)
    )


def registry_gone(world: World) -> None:
    """No registry; a worker that starts meanwhile waits for it, the others go on."""
    slot = world.victim()
    with _BROKERS, world.injecting("registry_gone", slot):
        world.stack.kill("registry")
        end(slot)
        time.sleep(world.rng.uniform(1, 4))
        world.stack.up()


def cluster(fault: str, choose: Callable[[World], int]) -> Callable[[World], None]:
    def inject(world: World) -> None:
        number = world.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        seconds = world.rng.uniform(1, 10) if number == signal.SIGSTOP else world.rng.uniform(0, 5)
        _down(world, fault, f"kafka-{choose(world)}", number, seconds)

    return inject


def any_node(world: World) -> int:
    return world.rng.randint(1, world.setting.nodes)


def _leader(world: World, topic: str, partition: int) -> int:
    number = world.admin().list_topics(topic, timeout=20).topics[topic].partitions[partition].leader
    return int(number) if number > 0 else any_node(world)


def leader_of_signals(world: World) -> int:
    return _leader(
        world, world.pipe.topic(world.rng.choice((API, MEDIA))), world.rng.randrange(world.setting.partitions)
    )


def _coordinator(world: World, topic: str, name: str) -> int:
    """Kafka puts a group, or a transactional id, on the partition |Java's hash of its name| mod partitions."""
    value = 0
    for character in name:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    value = abs(value - (1 << 32) if value >= 1 << 31 else value)
    return _leader(
        world, topic, value % len(world.admin().list_topics(topic, timeout=20).topics[topic].partitions)
    )


def group_coordinator(world: World) -> int:
    return _coordinator(world, "__consumer_offsets", world.pipe.env["PIPELINE_GROUP_ID"])


def transaction_coordinator(world: World) -> int:
    process = world.victim().process
    started = [line for line in process.log if line["msg"] == "starting"] if process else []
    return (
        _coordinator(world, "__transaction_state", started[-1]["transactional_id"])
        if started
        else any_node(world)
    )
