"""Where faults happen: a stack of its own, workers that a supervisor keeps running, proxies, a load, a follower."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import secrets
import signal
import socket
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
from testkit.chaos.follower import Follower
from testkit.chaos.load import Load
from testkit.chaos.logs import Reader
from testkit.chaos.proxy import Proxies
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import PREFIX, Servers
from testkit.zygote import Zygote

SLOTS: Final = 6
_BROKER: Final = {
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "transaction.state.log.segment.bytes": "1048576",
}


@dataclass(frozen=True)
class Setting:
    """What a run is like. Times in seconds, `rate` in signals per second."""

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
    proxied: bool = False
    bug: str = ""
    small_segments: bool = False
    fixed_ids: bool = False


@dataclass
class Slot:
    """Room for one worker, which is started again when it ends."""

    number: int
    wanted: bool = False
    process: WorkerProcess | None = None
    clock: float = 0.0
    """Seconds by which the clock of its next worker is wrong."""
    held: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Injection:
    """One fault: when it began and was over (monotonic seconds), and whose partitions it hit."""

    fault: str
    began: float
    ended: float
    hit: frozenset[int]
    what: str = ""
    """What exactly was done, where the fault's name does not say it."""
    settled: float | None = None
    """Seconds from `ended` until the workers had all partitions and next to no lag, where that was waited for."""


class World:
    """Everything of one run. Use as a context manager."""

    def __init__(self, setting: Setting, stack: Stack | None = None) -> None:
        """`stack` is one that already runs, of the setting's shape; it is left running."""
        self.setting = setting
        self.rng = random.Random(setting.seed)
        self.injections: list[Injection] = []
        self.exits: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        """What the broker said to late requests, by fault and moment."""
        self.unexpected: list[str] = []
        self.not_injected: list[str] = []
        """Which injections failed, and why."""
        self.unseen = 0.0
        """Seconds for which signals were left to process that no worker knew of, when the load had ended."""
        self.lives: list[tuple[int, WorkerProcess]] = []
        """Every worker that was ever started, with the number of its slot."""
        self.killed = False
        """Whether a worker's counters were lost."""
        self._admins: list[AdminClient] = []
        self._own = stack is None
        self._ports = _free_ports(setting) if stack is None else ""
        self.stack = stack or Stack(
            f"{PREFIX}{os.getpid()}-chaos-{secrets.token_hex(3)}",
            nodes=setting.nodes,
            heap_mb=256 if setting.nodes > 1 else 384,
            extra_properties=_BROKER | (_listeners(self._ports, setting.nodes) if setting.proxied else {}),
        )
        self.slots = [Slot(number) for number in range(SLOTS)]
        self.proxies: Proxies | None = None
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> World:
        setting, status = self.setting, self.stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        servers = Servers(status.bootstrap_servers, status.schema_registry_url, "chaos", self.stack)
        self.pipe = Pipe(servers, setting.partitions)
        asyncio.run(self.pipe.set_up())
        if setting.proxied:
            self._proxy()
        self.reader = Reader(servers.bootstrap_servers, servers.registry_url, self.pipe.topic)
        self.load = Load(
            servers.bootstrap_servers,
            self.pipe.topic,
            setting.seed,
            rate=setting.rate,
            rooms=setting.rooms,
            hot=setting.hot,
            poison=setting.poison,
            encode=encoder(asyncio.run(_ids(self.pipe))),
        )
        self.zygote = Zygote(setting.bug)
        self.follower = Follower(servers.bootstrap_servers, self.pipe.topic("events"), setting.partitions)
        self._keeper.start()
        for slot in self.slots[: setting.workers]:
            slot.wanted = True
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._keeper.join(5)
        for slot in self.slots:
            slot.wanted = False
            if slot.process is not None:
                slot.process.kill()
        self.zygote.stop()
        self.follower.stop()
        if self.proxies is not None:
            self.proxies.stop()
        if self._own:
            self.stack.down()
        else:
            with contextlib.suppress(Exception):
                asyncio.run(self.pipe.remove_topics())

    def _proxy(self) -> None:
        self.proxies = Proxies()
        for slot in range(SLOTS):
            for node in range(1, self.setting.nodes + 1):
                port = int(f"{self._ports}{node}1{slot}")
                self.proxies.add(slot, node, port, port - 10, self.setting.seed + slot)

    def admin(self) -> AdminClient:
        """A new one: an old one may wait for ever for an answer that a broker in trouble never gave.

        All are kept: one that is collected ends its questions unanswered.
        """
        self._admins.append(
            AdminClient({"bootstrap.servers": self.pipe.servers.bootstrap_servers, "log_level": 0})
        )
        return self._admins[-1]

    # --- workers ---------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Slot]:
        """The slots whose worker runs."""
        return [s for s in self.slots if s.wanted and s.process is not None and s.process.returncode is None]

    def victim(self) -> Slot:
        """A running worker, by chance.

        Raises:
            RuntimeError: none ran for a minute.
        """
        limit = time.monotonic() + 60
        while not (running := self.running):
            if time.monotonic() > limit:
                raise RuntimeError(f"no worker runs; they ended with {dict(self.exits)}")
            time.sleep(0.05)
        return self.rng.choice(running)

    def owner(self) -> Slot:
        """A running worker that has partitions, by chance."""
        for _ in range(200):
            slot = self.victim()
            if slot.process is not None and _gauges(slot.process)["partitions"]:
                return slot
            time.sleep(0.1)
        return self.victim()

    def start(self, slot: Slot) -> None:
        """Start the slot's worker now; it is kept running."""
        slot.wanted = True
        env = {
            **self.pipe.env,
            "PIPELINE_WATCHDOG_SECONDS": str(self.setting.watchdog),
            "PIPELINE_SESSION_TIMEOUT_SECONDS": str(self.setting.session),
        }
        if self.setting.fixed_ids:
            env["PIPELINE_TRANSACTIONAL_ID"] = f"{self.pipe.prefix}-{slot.number}"
        if self.setting.proxied:
            ports = [f"{self._ports}{node}1{slot.number}" for node in range(1, self.setting.nodes + 1)]
            env["KAFKA_BOOTSTRAP_SERVERS"] = ",".join(f"127.0.0.1:{port}" for port in ports)
        if slot.clock:
            env["WRONG_BY_SECONDS"] = str(slot.clock)
        slot.process = WorkerProcess(self.zygote.spawn(env))
        self.lives.append((slot.number, slot.process))

    def _keep(self) -> None:
        """The supervisor: a worker that ends is started again."""
        while not self._ending.wait(0.05):
            for slot in self.slots:
                if not slot.wanted or not slot.held.acquire(blocking=False):
                    continue
                try:
                    if slot.process is None or slot.process.returncode is not None:
                        self.buried(slot)
                        self.start(slot)
                finally:
                    slot.held.release()

    def buried(self, slot: Slot) -> None:
        """Write down how the slot's worker ended."""
        if slot.process is None:
            return
        code = slot.process.wait()
        said = slot.process.log[-1]["msg"] if slot.process.log else " ".join(slot.process.lines[-3:])
        self.exits[f"{code}"] += 1
        self.killed = self.killed or code != 0
        # -15 is a SIGTERM before the process could have a handler.
        if code not in {0, -signal.SIGKILL, -signal.SIGTERM, 1, 3} or (code == 1 and "unexpected" in said):
            traces = re.findall(
                r'File "(.+)"', slot.process.log[-1].get("trace", "") if slot.process.log else ""
            )
            where = f" (in {Path(traces[-1]).name})" if traces else ""
            self.unexpected.append(f"worker {slot.number} ended with {code}{where}: {said}")
        slot.process = None

    def partitions_of(self, slot: Slot) -> frozenset[int]:
        """What the slot's worker was assigned last."""
        lines = slot.process.log if slot.process is not None else []
        assigned = [line["partitions"] for line in lines if line["msg"] == "partitions assigned"]
        return frozenset(assigned[-1]) if assigned else frozenset()

    @contextlib.contextmanager
    def injecting(self, fault: str, *hit: Slot, what: str = "") -> Iterator[None]:
        """Note an injection; it hits the partitions of `hit`, or all."""
        partitions = frozenset().union(*(self.partitions_of(slot) for slot in hit)) if hit else None
        began = time.monotonic()
        yield
        everything = frozenset(range(self.setting.partitions))
        self.injections.append(
            Injection(fault, began, time.monotonic(), everything if partitions is None else partitions, what)
        )

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait until the workers have all partitions and little lag; False when that takes too long."""
        return self._until(lambda lag, armed: lag < self.setting.rate / 2, seconds)

    def drain(self, seconds: float = 180.0) -> bool:
        """Wait until all is processed and all deadlines have fired; False when that takes too long.

        A worker's lag is what its fetches know of: one that waits long for an answer says 0. So the logs have the last
        word, and `unseen` is how long they said otherwise.
        """
        limit = time.monotonic() + seconds
        while self._until(lambda lag, armed: lag == 0 and armed == 0, limit - time.monotonic(), times=4):
            said = time.monotonic()
            if not any(self.reader.unfinished(number) for number in range(self.setting.partitions)):
                return True
            time.sleep(0.25)
            self.unseen += time.monotonic() - said
        return False

    def _until(self, good: Callable[[float, float], bool], seconds: float, times: int = 1) -> bool:
        limit, met = time.monotonic() + seconds, 0
        while met < times:
            if time.monotonic() > limit:
                return False
            found = [_gauges(slot.process) for slot in self.running if slot.process]
            partitions = sum(gauges["partitions"] for gauges in found)
            lag, armed = (sum(gauges[name] for gauges in found) for name in ("lag_records", "watchdog_armed"))
            met = met + 1 if partitions == self.setting.partitions and good(lag, armed) else 0
            time.sleep(0.25)
        return True

    def stop(self) -> None:
        """SIGTERM to all workers; each must end with 0 in time."""
        self._ending.set()
        self._keeper.join(5)
        for slot in self.slots:
            slot.wanted = False
            if slot.process is not None and slot.process.returncode is None:
                slot.process.signal(signal.SIGCONT)
                young = not slot.process.log  # it may not have a handler yet
                try:
                    code = slot.process.stop(20)
                except subprocess.TimeoutExpired:
                    self.unexpected.append(f"worker {slot.number} did not end within 20 s of SIGTERM")
                    continue
                if code != 0 and not young:
                    self.unexpected.append(f"worker {slot.number}, stopped with SIGTERM, ended with {code}")


def _gauges(process: WorkerProcess) -> Counter[str]:
    """Some gauges of a worker; nothing while it is not ready."""
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


def _free_ports(setting: Setting) -> str:
    """The first two digits of ports of which we need `xx{node}{0 or 1}{slot}`; a stack's own begin at 20000."""
    if not setting.proxied:
        return ""
    for prefix in random.sample(range(11, 20), 9):
        try:
            for node in range(1, setting.nodes + 1):
                for last in (*range(SLOTS), *range(10, 10 + SLOTS)):
                    with socket.socket() as trial:
                        trial.bind(("127.0.0.1", prefix * 1000 + node * 100 + last))
        except OSError:
            continue
        return str(prefix)
    raise RuntimeError("no free ports for the proxies")


def _listeners(prefix: str, nodes: int) -> dict[str, str]:
    """A listener for each worker slot, which tells clients to come through the slot's proxy."""
    names = [f"SLOT{slot}" for slot in range(SLOTS)]
    own = [f"{name}://127.0.0.1:{prefix}{{node}}0{slot}" for slot, name in enumerate(names)]
    shown = [f"{name}://127.0.0.1:{prefix}{{node}}1{slot}" for slot, name in enumerate(names)]
    plain = "PLAINTEXT://127.0.0.1:{client}"
    return {
        "listeners": ",".join((plain, "CONTROLLER://127.0.0.1:{controller}", *own)),
        "advertised.listeners": ",".join((plain, *shown)),
        "listener.security.protocol.map": ",".join(
            f"{n}:PLAINTEXT" for n in ("PLAINTEXT", "CONTROLLER", *names)
        ),
    }


def quantiles(values: list[float]) -> dict[str, Any]:
    """p50, p99, max and the number of values."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 3),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "max": round(ordered[-1], 3),
    }
