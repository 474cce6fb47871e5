"""The environment of a fault run: servers, workers under a supervisor, proxies, a load and a monitor of the events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import secrets
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from pipeline.devstack import Stack
from pipeline.kafka.schema_registry import Registry
from testkit.chaos.encode import encoder
from testkit.chaos.event_monitor import EventMonitor
from testkit.chaos.load import Load
from testkit.chaos.logs import Reader
from testkit.chaos.proxy import Proxies, free_ports, listeners
from testkit.chaos.raw_load import RawLoad
from testkit.fork_server import ForkServer
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import PREFIX, Servers

SLOTS: Final = 6
HEAP_MB: Final = 768
"""Memory of a single broker. While a topic is CreateTime, the broker unpacks what it is sent: two zstd bombs of the raw
load at once ended one with 384 MB."""
_BROKER: Final = {
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "transaction.state.log.segment.bytes": "1048576",
}


@dataclass(frozen=True)
class RunConfig:
    """The parameters of a run. Times in seconds, `rate` in signals per second."""

    seed: int
    nodes: int = 1
    workers: int = 2
    partitions: int = 8
    rate: float = 300.0
    rooms: int = 200
    hot: int = 1000
    watchdog: float = 4.0
    session: float = 6.0
    poison: float = 0.002
    raw: float = 20.0
    """Raw record batches per second, of one to six signals each."""
    proxied: bool = False
    patch: str = ""
    """"module:function" that seeds a bug in the workers."""
    fixed_ids: bool = False


@dataclass
class Slot:
    """A place for one worker, which the supervisor restarts when it ends."""

    number: int
    wanted: bool = False
    """Whether the supervisor keeps a worker running here."""
    process: WorkerProcess | None = None
    clock: float = 0.0
    """Seconds by which the clock of the next worker is shifted."""
    held: threading.Lock = field(default_factory=threading.Lock)
    """While held, the supervisor leaves the slot alone."""


@dataclass
class Injection:
    """One injected fault: its begin and end (monotonic seconds) and the partitions it hit."""

    fault: str
    began: float
    ended: float
    hit: frozenset[int]
    what: str = ""
    """Details, where the fault's name is not enough."""
    settled: float | None = None
    """Seconds from `ended` until the workers had all partitions and almost no lag; None if not measured."""


class Testbed:
    """The environment of one run, as a context manager."""

    def __init__(self, config: RunConfig, stack: Stack | None = None) -> None:
        """Use `stack`, which already runs and is left running, or start one."""
        self.config = config
        self.rng = random.Random(config.seed)
        self.injections: list[Injection] = []
        self.exits: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        """The broker's answers to late requests, by fault and timing."""
        self.unexpected: list[str] = []
        """Unexpected exits of workers."""
        self.not_injected: list[str] = []
        """Failed injections with their errors."""
        self.unseen = 0.0
        """Seconds after the end of the load during which unprocessed signals existed that no worker had in its lag."""
        self.started: list[tuple[int, WorkerProcess]] = []
        """All workers ever started, with their slot's number."""
        self.killed = False
        """Whether a worker was killed, so that its counters are lost."""
        self.unstamped_until = 0.0
        """Until when (monotonic seconds) a worker that starts may refuse topics that are not LogAppendTime."""
        self._admins: list[AdminClient] = []
        self._own = stack is None
        self._ports = free_ports(config.nodes, SLOTS) if config.proxied and stack is None else ""
        self.stack = stack or Stack(
            f"{PREFIX}{os.getpid()}-chaos-{secrets.token_hex(3)}",
            nodes=config.nodes,
            heap_mb=256 if config.nodes > 1 else HEAP_MB,
            extra_properties=_BROKER | (listeners(self._ports, SLOTS) if config.proxied else {}),
        )
        self.slots = [Slot(number) for number in range(SLOTS)]
        self.proxies: Proxies | None = None
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Testbed:
        config, status = self.config, self.stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        servers = Servers(status.bootstrap_servers, status.schema_registry_url, "chaos", self.stack)
        self.pipe = Pipe(servers, config.partitions)
        asyncio.run(self.pipe.set_up())
        if config.proxied:
            self._proxy()
        group = self.pipe.env["PIPELINE_GROUP_ID"]
        self.reader = Reader(servers.bootstrap_servers, servers.registry_url, self.pipe.topic, group)
        encode = encoder(asyncio.run(_ids(self.pipe)))
        self.load = Load(
            servers.bootstrap_servers,
            self.pipe.topic,
            config.seed,
            rate=config.rate,
            rooms=config.rooms,
            hot=config.hot,
            poison=config.poison,
            encode=encode,
        )
        self.raw = RawLoad(
            servers.bootstrap_servers,
            self.pipe.topic,
            config.partitions,
            config.seed + 1,
            encode,
            rate=config.raw,
            rooms=max(1, config.rooms // 10),
        )
        self.fork_server = ForkServer(config.patch)
        self.monitor = EventMonitor(servers.bootstrap_servers, self.pipe.topic("events"), config.partitions)
        self._supervisor.start()
        for slot in self.slots[: config.workers]:
            slot.wanted = True
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._supervisor.join(5)
        for slot in self.slots:
            slot.wanted = False
            if slot.process is not None:
                slot.process.kill()
        self.fork_server.stop()
        self.monitor.stop()
        if self.proxies is not None:
            self.proxies.stop()
        if self._own:
            self.stack.down()
        else:
            with contextlib.suppress(Exception):
                asyncio.run(self.pipe.remove_topics())

    def begin(self, backlog: int) -> None:
        """Write `backlog` signals, then start both loads."""
        if backlog:
            self.load.burst(backlog)
        self.load.start()
        if self.config.raw:
            self.raw.start()

    def finish(self) -> None:
        """Stop both loads and wait for all acknowledgements; the raw one last, which ends with broken batches."""
        self.load.finish()
        self.raw.finish()

    @property
    def late_signals(self) -> dict[tuple[str, int, int], int]:
        """The signals with a slow acknowledgement, with its time in microseconds."""
        return self.load.late | self.raw.late

    def _proxy(self) -> None:
        self.proxies = Proxies()
        for slot in range(SLOTS):
            for node in range(1, self.config.nodes + 1):
                port = int(f"{self._ports}{node}1{slot}")
                self.proxies.add(slot, node, port, port - 10, self.config.seed + slot)

    def admin(self) -> AdminClient:
        """Return a new client: an old one may wait forever for a response of a faulty broker.

        All are kept until the end: garbage collection of a client fails its pending requests.
        """
        self._admins.append(AdminClient({"bootstrap.servers": self.pipe.servers.bootstrap_servers, "log_level": 0}))
        return self._admins[-1]

    # --- workers ---------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Slot]:
        """The slots with a running worker."""
        return [s for s in self.slots if s.wanted and s.process is not None and s.process.returncode is None]

    def victim(self) -> Slot:
        """Return a random slot with a running worker. Raises RuntimeError if there is none for a minute."""
        limit = time.monotonic() + 60
        while not (running := self.running):
            if time.monotonic() > limit:
                raise RuntimeError(f"no worker runs; they ended with {dict(self.exits)}")
            time.sleep(0.05)
        return self.rng.choice(running)

    def owner(self) -> Slot:
        """Return a random slot whose worker has partitions."""
        for _ in range(200):
            slot = self.victim()
            if slot.process is not None and _gauges(slot.process)["partitions"]:
                return slot
            time.sleep(0.1)
        return self.victim()

    def start(self, slot: Slot) -> None:
        """Start the slot's worker; the supervisor keeps it running."""
        slot.wanted = True
        env = {
            **self.pipe.env,
            "PIPELINE_WATCHDOG_SECONDS": str(self.config.watchdog),
            "PIPELINE_SESSION_TIMEOUT_SECONDS": str(self.config.session),
        }
        if self.config.fixed_ids:
            env["PIPELINE_TRANSACTIONAL_ID"] = f"{self.pipe.prefix}-{slot.number}"
        if self.config.proxied:
            ports = [f"{self._ports}{node}1{slot.number}" for node in range(1, self.config.nodes + 1)]
            env["KAFKA_BOOTSTRAP_SERVERS"] = ",".join(f"127.0.0.1:{port}" for port in ports)
        if slot.clock:
            env["WRONG_BY_SECONDS"] = str(slot.clock)
        slot.process = WorkerProcess(self.fork_server.spawn(env))
        self.started.append((slot.number, slot.process))

    def kill(self, slot: Slot) -> None:
        """Kill the slot's worker with SIGKILL."""
        self.killed = True
        if slot.process is not None:
            slot.process.kill()

    def _supervise(self) -> None:
        """Restart workers that ended."""
        while not self._ending.wait(0.05):
            for slot in self.slots:
                if not slot.wanted or not slot.held.acquire(blocking=False):
                    continue
                try:
                    if slot.process is None or slot.process.returncode is not None:
                        self.record_exit(slot)
                        self.start(slot)
                finally:
                    slot.held.release()

    def record_exit(self, slot: Slot) -> None:
        """Wait for the slot's worker to end and record its exit code."""
        if slot.process is None:
            return
        code = slot.process.wait()
        last = slot.process.log[-1]["msg"] if slot.process.log else " ".join(slot.process.lines[-3:])
        self.exits[f"{code}"] += 1
        self.killed = self.killed or code != 0
        refuses = code == 2 and "message.timestamp.type" in last and time.monotonic() < self.unstamped_until
        # -15: SIGTERM before the process installed its handler.
        expected = refuses or code in {0, -signal.SIGKILL, -signal.SIGTERM, 1, 3}
        if not expected or (code == 1 and "unexpected" in last):
            traces = re.findall(r'File "(.+)"', slot.process.log[-1].get("trace", "") if slot.process.log else "")
            where = f" (in {Path(traces[-1]).name})" if traces else ""
            self.unexpected.append(f"worker {slot.number} ended with {code}{where}: {last}")
        slot.process = None

    def partitions_of(self, slot: Slot) -> frozenset[int]:
        """Return the last assignment of the slot's worker."""
        lines = slot.process.log if slot.process is not None else []
        assigned = [line["partitions"] for line in lines if line["msg"] == "partitions assigned"]
        return frozenset(assigned[-1]) if assigned else frozenset()

    @contextlib.contextmanager
    def injecting(self, fault: str, *hit: Slot, what: str = "") -> Iterator[None]:
        """Record an injection for the block; it hits the partitions of the slots `hit`, or all."""
        partitions = frozenset().union(*(self.partitions_of(slot) for slot in hit)) if hit else None
        began = time.monotonic()
        yield
        everything = frozenset(range(self.config.partitions))
        self.injections.append(
            Injection(fault, began, time.monotonic(), everything if partitions is None else partitions, what)
        )

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait until the workers have all partitions and little lag; False after `seconds`."""
        return self._until(lambda lag, armed: lag < self.config.rate / 2, seconds)

    def drain(self, seconds: float = 180.0) -> bool:
        """Wait until all signals are processed and all deadlines have fired; False after `seconds`.

        A worker's lag comes from its fetches: one that waits long for a response reports 0. So the logs decide, and
        `unseen` counts how long they contradicted the workers.
        """
        limit = time.monotonic() + seconds
        while self._until(lambda lag, armed: lag == 0 and armed == 0, limit - time.monotonic(), times=4):
            checked = time.monotonic()
            if not any(self.reader.unfinished(number) for number in range(self.config.partitions)):
                return True
            time.sleep(0.25)
            self.unseen += time.monotonic() - checked
        return False

    def _until(self, good: Callable[[float, float], bool], seconds: float, times: int = 1) -> bool:
        limit, met = time.monotonic() + seconds, 0
        while met < times:
            if time.monotonic() > limit:
                return False
            found = [_gauges(slot.process) for slot in self.running if slot.process]
            partitions = sum(gauges["partitions"] for gauges in found)
            lag, armed = (sum(gauges[name] for gauges in found) for name in ("lag_records", "watchdog_armed"))
            met = met + 1 if partitions == self.config.partitions and good(lag, armed) else 0
            time.sleep(0.25)
        return True

    def stop(self) -> None:
        """Send SIGTERM to all workers; each must end with exit code 0 within 20 s."""
        self._ending.set()
        self._supervisor.join(5)
        for slot in self.slots:
            slot.wanted = False
            if slot.process is not None and slot.process.returncode is None:
                slot.process.signal(signal.SIGCONT)
                young = not slot.process.log  # it may not have its handler yet
                try:
                    code = slot.process.stop(20)
                except subprocess.TimeoutExpired:
                    self.unexpected.append(f"worker {slot.number} did not end within 20 s of SIGTERM")
                    continue
                if code != 0 and not young:
                    self.unexpected.append(f"worker {slot.number}, stopped with SIGTERM, ended with {code}")


def _gauges(process: WorkerProcess) -> Counter[str]:
    """Read some gauges of a worker; empty while it is not ready."""
    sums: Counter[str] = Counter()
    if not any(line["msg"] == "starting" for line in process.log) or process.get("/readyz")[0] != 200:
        return sums
    for name, value in re.findall(
        r"^pipeline_(partitions|lag_records|watchdog_armed)(?:{.*})? (\S+)$", process.get("/metrics")[1], re.M
    ):
        sums[name] += float(value)  # type: ignore[assignment]
    return sums


async def _ids(pipe: Pipe) -> dict[str, int]:
    async with Registry(pipe.settings) as registry:
        return await registry.schema_ids(pipe.prefix)


def quantiles(values: list[float]) -> dict[str, Any]:
    """Return p50, p99, max and the number of values."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 3),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "max": round(ordered[-1], 3),
    }
