"""Starts the servers of a stack: brokers and registry in parallel, each as soon as its files are downloaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.devstack import apicurio, fetch, jvm, kafka, process, state
from pipeline.devstack.cache import make_dir
from pipeline.devstack.progress import Progress
from pipeline.devstack.state import Proc, State
from pipeline.errors import ConfigError

READY_SECONDS = 240.0  # longest start of a server that runs but does not answer
POLL = 0.05


class Launch:
    """One call of `up`; `dead` are the servers of `current` to start."""

    def __init__(self, folder: Path, current: State, dead: Sequence[Proc], progress: Progress) -> None:
        self._folder, self._state, self._progress = folder, current, progress
        self._brokers = [proc for proc in dead if proc.node]
        self._registry = [proc for proc in dead if not proc.node]
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._started: list[Proc] = []
        self._errors: list[BaseException] = []

    def run(self) -> None:
        """Return when all servers answer; after an error, stop those that this call started. Raises as Stack.up."""
        starts = (self._start_brokers, self._start_registry)
        threads = [threading.Thread(target=self._run_start, args=(start,), daemon=True) for start in starts]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.1)  # short, so that Ctrl-C is handled
            if self._errors:
                raise self._errors[0]
        except BaseException:
            self._cancel.set()
            for thread in threads:
                thread.join(fetch.TIMEOUT)
            self._undo()
            raise

    def _run_start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except BaseException as error:  # raised again in the caller's thread
            self._errors.append(error)
            self._cancel.set()

    def _start_brokers(self) -> None:
        if self._brokers:
            jars = fetch.kafka_jars(self._progress, self._cancel)
            machine = self._machine("kafka", jars)
            ports = {p.node: (p.port, p.inner_port) for p in self._state.processes if p.node}
            for proc in self._brokers:
                folder = make_dir(self._folder / proc.name)
                settings = kafka.properties(proc.node, ports, folder / "data", self._state.spec.properties)
                kafka.prepare(folder, self._state.cluster_id, proc.node, settings)
                command = kafka.command(folder, jars, machine)
                self._spawn(proc, command, jars[0].parent, machine.archive)
        brokers = [proc for proc in self._state.processes if proc.node]
        for proc in brokers:
            self._wait(proc, lambda port: kafka.known_brokers(port) == {proc.node for proc in brokers})

    def _start_registry(self) -> None:
        for proc in self._registry:
            app = fetch.registry_app(self._progress, self._cancel)
            machine = self._machine("registry", [app])
            folder = make_dir(self._folder / proc.name)
            command = apicurio.command(folder, app, machine, (proc.port, proc.inner_port))
            self._spawn(proc, command, folder, machine.archive)
        for proc in self._state.processes:
            if not proc.node:
                self._wait(proc, apicurio.answers)

    def _machine(self, kind: str, jars: Sequence[Path]) -> jvm.Jvm:
        return jvm.Jvm(jvm.server_archive(kind, jars), self._state.spec.heap_mb, self._state.spec.flags)

    def _spawn(self, proc: Proc, command: Sequence[str], folder: Path, archive: Path) -> None:
        with self._lock:
            if self._cancel.is_set():
                raise fetch.Cancelled
            self._progress.say(f"starting {proc.name} on port {proc.port}")
            pid = process.spawn(command, folder, self._folder / proc.name / "server.log")
            born = process.birth(pid) or "ended at once"
            proc.started(pid, born, "" if archive.exists() else str(archive))
            self._started.append(proc)
            state.save(self._folder / "state.json", self._state)

    def _wait(self, proc: Proc, ready: Callable[[int], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        log = self._folder / proc.name / "server.log"
        while not ready(proc.port):
            if process.birth(proc.pid) != proc.born:
                raise ConfigError(f"{proc.name} ended while starting; last lines of its log: {process.tail(log)}")
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{proc.name} does not answer on port {proc.port} after {READY_SECONDS:.0f} s: "
                    f"see {log}; last lines: {process.tail(log)}"
                )
            if self._cancel.wait(POLL):
                raise fetch.Cancelled

    def _undo(self) -> None:
        """Stop the servers that this call started; keep their data for the next `up`."""
        # After a join interrupted by Ctrl-C, CPython 3.11 reports a thread as ended that may still spawn a server.
        with self._lock:
            process.stop([(proc.pid, proc.born) for proc in self._started], 5.0)
            for proc in self._started:
                proc.stopped()
            state.save(self._folder / "state.json", self._state)
