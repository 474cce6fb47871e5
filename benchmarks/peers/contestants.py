"""The contestants with their settings, and how one is started and stopped.

All get the same environment: KAFKA_BOOTSTRAP_SERVERS, the prefix of the topics, a new group id per run, and the schema
ids (PEER_SCHEMA_IDS, JSON). Each is one process unless its title names another number. Settings that the results do
not name are defaults of the library.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.peers.workspace import PARTITIONS, Workspace
from pipeline.worker.unit import MAX_SIGNALS

ROOT: Final = Path(__file__).parent.parent.parent
BENCH_PYTHON: Final = ROOT / ".venv-bench" / "bin" / "python"
STREAMS_HEAP: Final = "1g"
QUIX_COMMIT_SECONDS: Final = "0.1"
STREAMS: Final = (
    f"Kafka Streams 4.3.1, exactly_once_v2, in-memory stores with changelogs, 1 thread, heap {STREAMS_HEAP}"
)
TWICE: Final = '"$@" & one=$!; "$@" & two=$!; trap "kill $one $two" TERM; wait; wait'
"""A shell command that runs another one twice in parallel."""
UNITS: Final = f"units of up to {MAX_SIGNALS:,} signals; fetch 1 MiB a partition; no compression"
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contestant:
    """One contestant; `settings` is its description in the results, `most` limits the signals of a run."""

    name: str
    title: str
    settings: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    most: int | None = None
    exactly_once: bool = True
    latency: bool = True
    """Whether its latency is measured."""


def contestants(streams: list[str], quix_most: int, faust_most: int) -> list[Contestant]:
    """Return all contestants; `streams` is the command of the Kafka Streams program."""
    python = sys.executable
    worker = python, "-P", "-m", "pipeline", "worker"
    compiled = {"PYTHONPATH": str(ROOT / "build" / "compiled")}
    return [
        Contestant(
            "ours",
            "conference-pipeline",
            f"compiled (scripts/compile.sh), as in the image; {UNITS}",
            worker,
            compiled,
        ),
        Contestant(
            "ours-100",
            "conference-pipeline, commit interval 100 ms",
            f"PIPELINE_COMMIT_INTERVAL_MS=100, compiled; {UNITS}",
            worker,
            {**compiled, "PIPELINE_COMMIT_INTERVAL_MS": "100"},
        ),
        Contestant(
            "ours-2",
            "conference-pipeline, 2 workers",
            "two processes, six partitions each",
            ("sh", "-c", TWICE, "sh", *worker),
            compiled,
            latency=False,
        ),
        Contestant(
            "ours-source",
            "conference-pipeline, not compiled",
            UNITS,
            (python, "-m", "pipeline", "worker"),
            most=1_200_000,
            latency=False,
        ),
        *(_streams(streams, milliseconds) for milliseconds in ("100", "10")),
        Contestant(
            "handwritten",
            "confluent-kafka + fastavro",
            f"transactions of up to {MAX_SIGNALS:,} signals; librdkafka's fetch sizes (1 MiB a partition); "
            "no compression",
            (python, "-m", "benchmarks.peers.handwritten"),
        ),
        Contestant(
            "quix",
            "Quix Streams",
            f"exactly-once, RocksDB with changelog; commit_interval {QUIX_COMMIT_SECONDS} s (default: 5 s)",
            (str(BENCH_PYTHON), "-m", "benchmarks.peers.quix"),
            {"PEER_COMMIT_SECONDS": QUIX_COMMIT_SECONDS},
            quix_most,
        ),
        Contestant(
            "faust",
            "Faust 0.15.3 as it comes",
            "at-least-once, memory store with changelog, stock settings",
            (python, "-m", "benchmarks.peers.stock_faust"),
            {},
            faust_most,
            exactly_once=False,
        ),
    ]


def _streams(command: list[str], milliseconds: str) -> Contestant:
    return Contestant(
        f"streams-{milliseconds}",
        f"Kafka Streams, commit {milliseconds} ms",
        f"{STREAMS}; commit.interval.ms {milliseconds}; no compression",
        tuple(command),
        {"PEER_COMMIT_MS": milliseconds},
    )


class Running:
    """A running contestant, as a context manager that stops it at the end."""

    def __init__(self, contestant: Contestant, workspace: Workspace, folder: Path) -> None:
        """Start it; its log and its state go to `folder`."""
        self.group = f"{contestant.name}-{secrets.token_hex(4)}"
        self.log = folder / f"{self.group}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PIPELINE_", "PEER_"))}
        env = {
            **clean,
            "KAFKA_BOOTSTRAP_SERVERS": workspace.servers.bootstrap,
            "SCHEMA_REGISTRY_URL": workspace.servers.registry,
            "PIPELINE_TOPIC_PREFIX": workspace.prefix,
            "PIPELINE_GROUP_ID": self.group,
            "PIPELINE_PARTITIONS": str(PARTITIONS),
            "PIPELINE_HTTP_PORT": "0",
            "PIPELINE_HTTP_HOST": "127.0.0.1",
            "PIPELINE_WATCHDOG_SECONDS": "86400",  # the peers have none
            "PEER_PREFIX": workspace.prefix,
            "PEER_GROUP": self.group,
            "PEER_SCHEMA_IDS": json.dumps(workspace.ids),
            "PEER_STATE_DIR": str(folder / self.group),
            **contestant.env,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                contestant.command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise RuntimeError with the end of the log if the process has ended."""
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"{self.group} ended with {code}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self, patience: float = 20.0) -> None:
        """Stop the process with SIGTERM or, after `patience` seconds, its group with SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    @property
    def cpu(self) -> float:
        """CPU seconds of all its processes."""
        return sum(cpu(pid) for pid in _tree(self._process.pid))

    @property
    def peak_mb(self) -> float:
        """Sum of its processes' peak resident memory, in MiB."""
        status = (Path(f"/proc/{pid}/status").read_text().splitlines() for pid in _tree(self._process.pid))
        return sum(int(line.split()[1]) / 1024 for lines in status for line in lines if line.startswith("VmHWM:"))


def cpu(pid: int) -> float:
    """Return the CPU seconds, user and system, of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found
