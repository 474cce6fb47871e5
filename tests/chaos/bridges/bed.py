"""The environment of a run: a broker, a registry, workers, some engine nodes, and a copy of the rooms table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import subprocess
import threading
import time
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from pipeline.devstack import Stack
from testkit.chaos.logs import PartitionLog, Reader
from testkit.fork_server import ForkServer
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import PREFIX, Servers
from tests.chaos.bridges.node import Node

WATCHDOG_SECONDS: Final = "10"
_BROKER: Final = {"group.min.session.timeout.ms": "1000"}


class WorkerSlot:
    """A worker that is started again when it ends."""

    def __init__(self, env: dict[str, str], forks: ForkServer) -> None:
        self._env, self._forks = env, forks
        self.process = WorkerProcess(forks.spawn(env))
        self.wanted = True

    def kill(self) -> None:
        """Kill it."""
        self.process.signal(signal.SIGKILL)

    def supervise(self) -> None:
        """Start it again if it has ended."""
        if self.wanted and self.process.returncode is not None:
            self.process = WorkerProcess(self._forks.spawn(self._env))

    def stop(self) -> int:
        """Stop it, and return the exit code."""
        self.wanted = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.stop(20)
        self.process.kill()
        return -1


class Table:
    """The rooms and members by the rooms topic, read with librdkafka and fastavro."""

    def __init__(self, servers: Servers, reader: Reader, topic: str, partitions: int) -> None:
        self._reader, self._partitions = reader, partitions
        self._log = PartitionLog(0)
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers.bootstrap_servers,
                "group.id": f"table-{secrets.token_hex(6)}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])

    def read(self, seconds: float = 3.0) -> None:
        """Read until nothing came for a moment."""
        limit, moved = time.monotonic() + 20 * seconds, time.monotonic()
        while time.monotonic() < limit and time.monotonic() - moved < 0.3:
            for record in self._consumer.consume(5_000, 0.05):
                if record.error() is None:
                    self._reader._row(self._log, record)
                    moved = time.monotonic()
                elif record.error().code() != KafkaError._PARTITION_EOF:
                    moved = time.monotonic()

    def members(self, node: str) -> dict[tuple[str, str], bool]:
        """Return who is in which room of a node, and whether muted."""
        return {
            (room_id, session): row["muted"]
            for room_id, rows in self._log.members.items()
            if room_id.startswith(f"{node}-room-")
            for session, row in rows.items()
        }

    def playing(self, node: str) -> dict[str, tuple[str, bool]]:
        """Return which operation plays in which room of a node, and whether it is paused."""
        return {
            room_id: (row["operation_id"], row["playback_status"] == "paused")
            for room_id, row in self._log.rooms.items()
            if room_id.startswith(f"{node}-room-") and row["playback_status"] != "stopped"
        }

    def close(self) -> None:
        """End reading."""
        self._consumer.close()


class Bed:
    """The environment, as a context manager. `patch` ("module:function") changes the bridges."""

    def __init__(self, seed: int, nodes: int, workers: int, patch: str) -> None:
        self.rng = random.Random(seed)
        self._seed, self._nodes, self._workers = seed, nodes, workers
        self.stack = Stack(
            f"{PREFIX}{os.getpid()}-bridges-{secrets.token_hex(3)}", heap_mb=384, extra_properties=_BROKER
        )
        self._patch = patch
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.nodes: list[Node] = []
        self.workers: list[WorkerSlot] = []
        self.faults: list[str] = []

    def __enter__(self) -> Bed:
        status = self.stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        servers = Servers(status.bootstrap_servers, status.schema_registry_url, "chaos", self.stack)
        self.pipe = Pipe(servers, 4)
        asyncio.run(self.pipe.set_up())
        group = self.pipe.env["PIPELINE_GROUP_ID"]
        self.reader = Reader(servers.bootstrap_servers, servers.registry_url, self.pipe.topic, group)
        self.table = Table(servers, self.reader, self.pipe.topic("rooms"), 4)
        self.worker_env = {
            **self.pipe.env, "PIPELINE_WATCHDOG_SECONDS": WATCHDOG_SECONDS, "PIPELINE_WATCHDOG_MODE": "progress",
            "PIPELINE_SESSION_TIMEOUT_SECONDS": "6",
        }  # fmt: skip
        self._forks = (ForkServer(), ForkServer(self._patch))
        self.workers = [WorkerSlot(self.worker_env, self._forks[0]) for _ in range(self._workers)]
        for number in range(self._nodes):
            self.nodes.append(Node(f"n{number + 1}", self.pipe, self._forks[1], self._seed + 100 * (number + 1)))
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_supervisor()
        for node in self.nodes:
            node.stop()
        for worker in self.workers:
            worker.process.kill()
        for forks in self._forks:
            with contextlib.suppress(subprocess.TimeoutExpired):  # on a busy machine it ends later
                forks.stop()
        self.table.close()
        self.stack.down()

    def _end_supervisor(self) -> None:
        self._ending.set()
        self._supervisor.join(20)

    def _supervise(self) -> None:
        while not self._ending.wait(0.05):
            for worker in self.workers:
                worker.supervise()
            for node in self.nodes:
                node.supervise()

    def end(self) -> None:
        """Stop bridges and workers with SIGTERM; each must end with exit code 0."""
        self._end_supervisor()
        for node in self.nodes:
            life = node.slot.life
            node.slot.wanted = False
            if life is not None:
                life.terminated = True
                with contextlib.suppress(subprocess.TimeoutExpired):
                    life.process.stop(30)
                if life.process.returncode != 0:
                    self.faults.append(f"a bridge of {node.name}, stopped, ended with {life.process.returncode}")
                life.code, life.ended = life.process.returncode, time.time_ns() // 1000
        codes = [worker.stop() for worker in self.workers]
        if any(codes):
            self.faults.append(f"workers, stopped, ended with {codes}")

    def logs(self) -> list[PartitionLog]:
        """Return all records."""
        return [self.reader.read(number) for number in range(4)]

    def lines(self) -> list[tuple[str, str]]:
        """Return the log lines of all processes with their times."""
        found: list[tuple[str, Any]] = []
        for node in self.nodes:
            for number, life in enumerate(node.lives):
                found += [(one.get("ts", ""), f"{node.name} bridge {number}: {one}") for one in life.process.log]
        return sorted(found)
