"""Test helpers for the whole pipeline: separate topics, workers as processes, and readers of the output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.partitioner import murmur2

from pipeline.admin.setup import setup
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.codec import event_json, signal_json
from pipeline.model.events import EVENTS
from pipeline.model.records import Position
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.signals import AnySignal
from pipeline.model.wire import DECODERS, ENCODERS
from pipeline.settings import Settings, load
from pipeline.topics import ALL_TOPICS
from testkit.fork_server import Forked, shared
from testkit.servers import Servers

ROOT = Path(__file__).parent.parent
PARTITIONS = 4
READY_SECONDS = 40.0


class Pipe:
    """The topics under a fresh prefix, their schemas, and a fresh consumer group.

    `settings` holds their names; `env` is the same as an environment for child processes.
    """

    def __init__(self, servers: Servers, partitions: int = PARTITIONS) -> None:
        self.servers = servers
        self.prefix = f"t{secrets.token_hex(5)}"
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": servers.registry_url,
            "PIPELINE_TOPIC_PREFIX": self.prefix,
            "PIPELINE_GROUP_ID": f"{self.prefix}-group",
            "PIPELINE_PARTITIONS": str(partitions),
        }
        fixed = {"PIPELINE_HTTP_PORT": "0", "PIPELINE_HTTP_HOST": "127.0.0.1", "PIPELINE_LOG_FORMAT": "json"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PIPELINE_")}
        self.env: dict[str, str] = {**kept, **fixed, **own}
        self.settings: Settings = load(
            bootstrap_servers=servers.bootstrap_servers,
            registry_url=servers.registry_url,
            topic_prefix=self.prefix,
            group_id=own["PIPELINE_GROUP_ID"],
            partitions=partitions,
        )

    async def set_up(self) -> None:
        """Create topics and schemas as the command `setup` does, but with a quarter of its requests: without look-ups
        and without the subjects' compatibility levels."""
        names = [topic.full_name(self.prefix) for topic in ALL_TOPICS]
        async with admin_client(self.settings) as admin, Registry(self.settings) as registry:
            replicas = min(3, len(admin._client.cluster.brokers()))
            made = [
                NewTopic(
                    topic.full_name(self.prefix),
                    topic.partitions(self.settings.partitions),
                    replicas,
                    topic_configs=topic.config,
                )
                for topic in ALL_TOPICS
            ]
            response = await admin.create_topics(made)
            assert {code for _, code, *_ in response.topic_errors} <= {0, TopicAlreadyExistsError.errno}, response
            for topic in ALL_TOPICS:
                for subject, record in topic.subjects(self.prefix).items():
                    await registry._add_version(subject, record)
            while not all(topic.has_leaders for topic in (await describe_topics(admin, names)).topics.values()):
                await asyncio.sleep(0.05)

    async def run_setup(self) -> None:
        """Create topics and schemas as the command `setup` does."""
        differences = await setup(self.settings, lambda _: None)
        assert differences == [], differences

    async def remove_topics(self) -> None:
        """Delete the topics."""
        admin = AIOKafkaAdminClient(**self.settings.kafka())
        await admin.start()
        try:
            await admin.delete_topics([topic.full_name(self.prefix) for topic in ALL_TOPICS])
        finally:
            await admin.close()

    def topic(self, name: str) -> str:
        """Return the full name of a topic such as `api.signals` (all: pipeline.topics.ALL_TOPICS)."""
        return f"{self.prefix}.{name}"

    def partition(self, room_id: str) -> int:
        """Return the room's partition under the Java client's default partitioner."""
        number: int = murmur2(room_id.encode()) & 0x7FFFFFFF
        return number % self.settings.partitions

    async def send(self, *signals: AnySignal) -> None:
        """Append signals as JSON, each acknowledged before the next is sent.

        Wait 5 ms when the topic changes: within one millisecond, the merge takes the API's signal first (contract §5).
        """
        last = ""
        async with AIOKafkaProducer(**self.settings.kafka(), acks="all", enable_idempotence=True) as producer:
            for one in signals:
                topic = self.topic(f"{one.TOPIC}.signals")
                if last not in ("", topic):
                    await asyncio.sleep(0.005)
                last = topic
                await producer.send_and_wait(topic, signal_json(one), one.room_id.encode())

    async def left_open(self, owner: str, room_id: str = "room") -> AIOKafkaProducer:
        """Leave a transaction open as a worker killed within a unit does, with its position record.

        Return its producer, which uses the transactional id `owner`.
        """
        async with Registry(self.settings) as registry:
            ids = await registry.schema_ids(self.prefix)
        number = self.partition(room_id)
        decode = DECODERS[Position.RECORD]
        rows = [row for row in await self.records("rooms") if (row.partition, row.key) == (number, POSITION_KEY)]
        positions = decode(rows[-1].value, framing.HEAD).positions if rows else ()
        value = ENCODERS[Position](Position(owner, positions), framing.head(ids["conference.Position"]))
        dead = AIOKafkaProducer(**self.settings.kafka(), transactional_id=owner)
        await dead.start()
        await dead.begin_transaction()
        await dead.send_and_wait(self.topic("rooms"), value, POSITION_KEY, partition=number)
        return dead

    async def records(self, name: str = "events", *, committed: bool = True) -> list[ConsumerRecord]:
        """Return all records of a topic up to its current end by partition; by default only committed ones."""
        level = "read_committed" if committed else "read_uncommitted"
        partitions = [TopicPartition(self.topic(name), n) for n in range(self.settings.partitions)]
        found: list[ConsumerRecord] = []
        # "earliest" instead of a seek: in aiokafka, a pending lookup of the latest offset overrides a seek.
        async with AIOKafkaConsumer(
            **self.settings.kafka(),
            isolation_level=level,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    batch = await consumer.getmany(partition, timeout_ms=200)
                    found += batch.get(partition, ())
        return found

    async def events(self) -> list[dict[str, Any]]:
        """Return all committed events as parsed JSON, as `conference-pipeline events` prints them."""
        return [json.loads(event_line(record)) for record in await self.records()]

    async def until_events(self, number: int, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Return the committed events once there are `number` of them; fail after `seconds`."""
        limit = time.monotonic() + seconds
        while True:
            found = await self.events()
            if len(found) >= number:
                return found
            assert time.monotonic() < limit, f"{len(found)} of {number} events after {seconds} s: {found}"
            await asyncio.sleep(0.1)

    @contextlib.contextmanager
    def worker(self, *options: str, ready: bool = True, **env: str) -> Iterator[WorkerProcess]:
        """Run a worker process, ready for signals, and stop it at the end.

        Args:
            options: options of the `worker` command.
            ready: wait until the worker is ready.
            env: additional environment variables.
        """
        process = WorkerProcess(shared().spawn({**self.env, **env}, options))
        with _ending(process, ready=ready):
            yield process

    @contextlib.contextmanager
    def gateway(self, apps_file: Path, *, ready: bool = True, **env: str) -> Iterator[WorkerProcess]:
        """Run a gateway process on a free port (`api`), ready for requests, and stop it at the end."""
        own = {"GATEWAY_HTTP_HOST": "127.0.0.1", "GATEWAY_HTTP_PORT": "0", "GATEWAY_APPS_FILE": str(apps_file)}
        process = WorkerProcess(shared().spawn({**self.env, **own, **env}, (), "gateway"))
        with _ending(process, ready=ready):
            yield process

    @contextlib.contextmanager
    def console(self, **env: str) -> Iterator[WorkerProcess]:
        """Run a console process on a free port (`api`), serving, and stop it at the end."""
        process = WorkerProcess(shared().spawn({**self.env, "CONSOLE_HTTP_PORT": "0", **env}, (), "console"))
        with _ending(process, ready=False):
            process.until_log("serving")
            yield process


@contextlib.contextmanager
def _ending(process: WorkerProcess, *, ready: bool) -> Iterator[None]:
    try:
        if ready:
            process.until_ready()
        yield
    finally:
        process.end()


class WorkerProcess:
    """A worker process. `lines` is its standard error so far."""

    def __init__(self, process: Forked | subprocess.Popen[str]) -> None:
        """Read the standard error of `process`, which has the interface of `subprocess.Popen`."""
        self.lines: list[str] = []
        self._process = process
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr
        with self._process.stderr as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    @property
    def returncode(self) -> int | None:
        """The exit code, None while the worker runs."""
        return self._process.poll()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The parsed log lines."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    @property
    def port(self) -> int:
        """The HTTP port."""
        return int(self.until_log("starting")["http_port"])

    @property
    def api(self) -> str:
        """The URL of a gateway's API, or of a console."""
        return f"http://127.0.0.1:{self.until_log('serving')['port']}"

    def until_log(self, message: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Return the first log line whose `msg` contains `message`; fail after `seconds` or if the worker ends."""
        found: dict[str, Any] = self._until(
            lambda: next((line for line in self.log if message in line["msg"]), None), repr(message), seconds
        )
        return found

    def until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until `/readyz` returns 200."""
        self._until(lambda: self.get("/readyz")[0] == 200 or None, "ready", seconds)

    def _until(self, ask: Callable[[], Any], what: str, seconds: float) -> Any:
        limit = time.monotonic() + seconds
        while True:
            ended = self.returncode is not None
            if ended:
                self._reader.join(5)
            if (answer := ask()) is not None:
                return answer
            text = "\n".join(self.lines)
            assert not ended, f"worker ended with {self.returncode} before {what}:\n{text}"
            assert time.monotonic() < limit, f"worker not {what} after {seconds} s:\n{text}"
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an HTTP path; status 0 if the connection fails."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Return a metric by name and labels, such as `pipeline_events_total{type="x"}`; 0 if absent."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, such as SIGSTOP."""
        self._process.send_signal(number)

    def stop(self, seconds: float = 15.0) -> int:
        """Send SIGTERM and return the exit code. Raises subprocess.TimeoutExpired."""
        self._process.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float = 15.0) -> int:
        """Wait for the process to end and return the exit code. Raises subprocess.TimeoutExpired."""
        code = self._process.wait(seconds)
        self._reader.join(5)
        return code

    def end(self) -> None:
        """Stop the process with SIGTERM or, after 10 s, SIGKILL."""
        if self.returncode is None:
            self.signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(10)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL if the process still runs."""
        if self.returncode is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(5)


_DECODERS = {event.EVENT: DECODERS[event.RECORD] for event in EVENTS}


def event_line(record: ConsumerRecord) -> bytes:
    """Return an event's JSON line, decoded with the current schema of its `ce_type`: for events of this version."""
    decode = _DECODERS[dict(record.headers)["ce_type"].decode()]
    return event_json(decode(record.value, 5))
