"""`Stack`: a named set of brokers and a registry, started, checked and deleted together; `resolve`: their URLs."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.devstack import apicurio, jvm, kafka, process, state
from pipeline.devstack.cache import cache_dir, java, locked, make_dir
from pipeline.devstack.launch import Launch
from pipeline.devstack.progress import Progress
from pipeline.devstack.state import Proc, Spec, State
from pipeline.errors import ConfigError

BROKER, REGISTRY = "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"
STOP_SECONDS = 10.0  # between SIGTERM and SIGKILL
STOP_SECONDS_ARCHIVE = 30.0  # the same, for a server that writes its class archive

Condition = Literal["running", "died", "stopped"]


@dataclass(frozen=True)
class ProcessStatus:
    """One server. `rss` in bytes; `last_log` only when it died."""

    name: str
    state: Condition
    pid: int
    port: int
    url: str
    log: Path
    rss: int | None = None
    last_log: str = ""


@dataclass(frozen=True)
class StackStatus:
    """All servers of one stack. A URL is None when the stack has no such server or is stopped; `notes` are messages
    about servers that had died and were started again by `up`."""

    name: str
    state: Condition
    bootstrap_servers: str | None = None
    schema_registry_url: str | None = None
    processes: tuple[ProcessStatus, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)


class Stack:
    """Brokers and a registry on this machine. They listen on 127.0.0.1 only.

    Args:
        name: stacks with different names run side by side.
        home: folder for the stack's own folder; default: in the cache. Downloads are always shared.
        kafka_port: client port of the first broker; default: a random free one.
        registry_port: port of the registry; default: a random free one.
        nodes: number of brokers, each also a controller; 3 have replication 3 and min.insync.replicas 2. 0: none.
        heap_mb: Java heap of each process in MiB.
        registry: whether to run a registry.
        extra_properties: additional `server.properties` of each broker; they override those of the stack. In a value,
            `{node}`, `{client}` and `{controller}` are replaced by the broker's number and ports.
        flags: JVM flags; the default starts fast, ("-XX:+UseG1GC",) has a higher throughput.

    All but the name is fixed from the first `up` until `down`.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        home: Path | None = None,
        kafka_port: int | None = None,
        registry_port: int | None = None,
        nodes: int = 1,
        heap_mb: int = 384,
        registry: bool = True,
        extra_properties: Mapping[str, str] | None = None,
        flags: tuple[str, ...] = jvm.FAST_START,
    ) -> None:
        if not name or name.startswith(".") or "/" in name:
            raise ConfigError(f"stack name {name!r}: use letters, digits and dashes")
        self.name = name
        self.home = (home or cache_dir() / "stacks").absolute()
        self.folder = self.home / name
        self._asked = (kafka_port, registry_port)
        properties = dict(extra_properties or {})
        self._spec = Spec(nodes=nodes, registry=registry, heap_mb=heap_mb, properties=properties, flags=flags)
        self._state_file = self.folder / "state.json"

    def up(self, progress: Progress | None = None) -> StackStatus:
        """Start the servers that do not run; return when all brokers have joined and the registry answers.

        It may be called again. A server that died starts on the same port with its data; the `notes` of the result
        then have the last lines of its log.

        Raises ConfigError when the extra `local` is missing, a download fails, a port is in use, the stack exists with
        other arguments, or a server does not start.
        """
        java()
        progress = progress or Progress()
        with self._lock():
            current = state.load(self._state_file) or self._new_state()
            self._check_same(current)
            notes = tuple(self._note(p) for p in current.processes if p.pid and not _runs(p))
            for note in notes:
                progress.say(note)
            Launch(self.folder, current, [p for p in current.processes if not _runs(p)], progress).run()
            return self._status(current, notes)

    def down(self) -> None:
        """Stop every process (SIGTERM, then SIGKILL) and delete data, logs and state, if any; keep the downloads."""
        if not self.home.exists():
            return
        with self._lock():
            current = state.load(self._state_file)
            if current is not None:
                writing = any(p.archive and _runs(p) for p in current.processes)
                patience = STOP_SECONDS_ARCHIVE if writing else STOP_SECONDS
                process.stop([(p.pid, p.born) for p in current.processes if p.pid], patience)
                for proc in current.processes:
                    if proc.archive:
                        jvm.keep(self.folder / proc.name, proc.archive)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def status(self) -> StackStatus:
        """Return the state of the processes; change nothing."""
        current = state.load(self._state_file)
        return StackStatus(self.name, "stopped") if current is None else self._status(current, ())

    def kill(self, process_name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one server, to test failures. Raises ConfigError when no such server runs."""
        current = state.load(self._state_file)
        for proc in current.processes if current else []:
            if proc.name == process_name and _runs(proc):
                os.kill(proc.pid, number)
                # Wait until it is dead, so that an `up` right after this call starts it again.
                while number == signal.SIGKILL and _runs(proc):
                    time.sleep(0.01)
                return
        raise ConfigError(f"no process {process_name!r} runs in the local stack {self.name!r}")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        lock = make_dir(self.home) / f"{self.name}.lock"
        with locked(lock):
            try:
                yield
            finally:
                if not self.folder.exists():
                    lock.unlink(missing_ok=True)

    def _new_state(self) -> State:
        kafka_port, registry_port = self._asked
        taken: list[int] = []

        def proc(name: str, node: int, asked: int | None, option: str) -> Proc:
            taken.append(port := process.choose_port(asked, taken, option))
            taken.append(inner := process.choose_port(None, taken, option))
            return Proc(name=name, node=node, port=port, inner_port=inner)

        processes = [
            proc(f"kafka-{node}", node, kafka_port if node == 1 else None, "--kafka-port")
            for node in range(1, self._spec.nodes + 1)
        ]
        if self._spec.registry:
            processes.append(proc("registry", 0, registry_port, "--registry-port"))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        made = State(spec=self._spec, cluster_id=cluster_id, processes=processes)
        make_dir(self.folder)
        state.save(self._state_file, made)
        return made

    def _check_same(self, current: State) -> None:
        has = {proc.node: proc.port for proc in current.processes}
        arguments = [
            ("port of the broker", has.get(1), self._asked[0]),
            ("port of the registry", has.get(0), self._asked[1]),
            *((name, getattr(current.spec, name), getattr(self._spec, name)) for name in Spec.__struct_fields__),
        ]
        differs = [f"{name} {old}, not {new}" for name, old, new in arguments if new is not None and old != new]
        if differs:
            raise ConfigError(
                f"local stack {self.name!r} exists with {'; '.join(differs)}: "
                "run `conference-pipeline down` first, or use another --name"
            )

    def _note(self, proc: Proc) -> str:
        log = self.folder / proc.name / "server.log"
        return f"{proc.name} (pid {proc.pid}) had died; starting it again. Last lines of {log}: {process.tail(log)}"

    def _status(self, current: State, notes: tuple[str, ...]) -> StackStatus:
        found = tuple(self._process_status(proc) for proc in current.processes)
        states = {one.state for one in found}
        brokers = [f"{kafka.HOST}:{p.port}" for p in current.processes if p.node]
        registries = [apicurio.url(p.port) for p in current.processes if not p.node]
        overall: Condition = "died" if "died" in states else "stopped" if "stopped" in states else "running"
        return StackStatus(self.name, overall, ",".join(brokers) or None, next(iter(registries), None), found, notes)

    def _process_status(self, proc: Proc) -> ProcessStatus:
        log = self.folder / proc.name / "server.log"
        condition: Condition = "running" if _runs(proc) else "died" if proc.pid else "stopped"
        return ProcessStatus(
            name=proc.name,
            state=condition,
            pid=proc.pid,
            port=proc.port,
            url=f"{kafka.HOST}:{proc.port}" if proc.node else apicurio.url(proc.port),
            log=log,
            rss=process.rss(proc.pid) if condition == "running" else None,
            last_log=process.tail(log) if condition == "died" else "",
        )


def _runs(proc: Proc) -> bool:
    return bool(proc.pid) and process.birth(proc.pid) == proc.born


@dataclass(frozen=True)
class Urls:
    """The values for KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL."""

    bootstrap_servers: str
    schema_registry_url: str


def resolve(name: str = "default", *, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Urls:
    """Return both URLs from the environment, or both from the running local stack `name`. Raises ConfigError.

    One of each would combine a broker with the schemas of another place.
    """
    environ = os.environ if environ is None else environ
    broker, registry = environ.get(BROKER, "").strip(), environ.get(REGISTRY, "").strip()
    if bool(broker) != bool(registry):
        has, lacks = (BROKER, REGISTRY) if broker else (REGISTRY, BROKER)
        raise ConfigError(f"{has} is set, but {lacks} is not: set both, or unset {has} to use the servers of `up`")
    if not broker:
        status = Stack(name, home=home).status()
        broker, registry = status.bootstrap_servers or "", status.schema_registry_url or ""
        missing = [variable for variable, value in ((BROKER, broker), (REGISTRY, registry)) if not value]
        if missing or status.state == "died":
            why = "has a process that died" if status.state == "died" else "does not run"
            variables = " and ".join(missing or [BROKER, REGISTRY])
            raise ConfigError(f"local stack {name!r} {why}: run `conference-pipeline up` or set {variables}")
    return Urls(broker, registry)
