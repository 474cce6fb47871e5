"""The throughput of a contestant and its CPU time per signal. The method is described in `__main__.py`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contestants import Contestant, Running, cpu
from benchmarks.peers.events import Check
from benchmarks.peers.load import Load
from benchmarks.peers.rooms import Codec
from benchmarks.peers.workspace import Workspace

POLL_SECONDS: Final = 0.1
STALL_SECONDS: Final = 90.0
"""Seconds without an event after which a contestant has failed."""
SETTLED_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Snapshot:
    """Wall time, and CPU time of contestant and broker, in seconds."""

    at: float
    worker: float
    broker: float


@dataclass(frozen=True)
class Throughput:
    """One run. CPU in microseconds per signal; violations by kind."""

    contestant: str
    round: int
    signals: int
    seconds: float
    k_per_s: float
    worker_us: float
    broker_us: float
    peak_mb: float
    events: int
    violations: dict[str, int]

    def row(self) -> dict[str, Any]:
        """Return the run as a JSON object."""
        return {"bench": "throughput", **asdict(self)}


def measure(
    contestant: Contestant,
    workspace: Workspace,
    load: Load,
    warm_up: int,
    signals: int,
    number: int,
    folder: Path,
) -> Throughput:
    """Measure one contestant on the current backlog. Raises RuntimeError if it fails."""
    total = warm_up + signals
    aimed = min(total, contestant.most or total)
    workspace.empty_outputs()
    with Running(contestant, workspace, folder) as running:
        before = reach(workspace, running, aimed * warm_up // total)
        after = reach(workspace, running, aimed)
        peak = running.peak_mb
        if aimed == total:
            _settle(workspace, running)
    check = Check(workspace, Codec(workspace.ids), before.at * 1000, after.at * 1000)
    if aimed == total:
        check.complete(load)
    seconds, count = after.at - before.at, max(check.in_window, 1)
    return Throughput(
        contestant=contestant.name,
        round=number,
        signals=check.in_window,
        seconds=round(seconds, 3),
        k_per_s=round(check.in_window / seconds / 1e3, 3),
        worker_us=round((after.worker - before.worker) / count * 1e6, 2),
        broker_us=round((after.broker - before.broker) / count * 1e6, 2),
        peak_mb=round(peak, 1),
        events=check.count,
        violations=dict(check.violations),
    )


def reach(workspace: Workspace, running: Running, events: int) -> Snapshot:
    """Wait until the events topic has `events` records. Raises RuntimeError if it stops growing."""
    last, changed = -1, time.monotonic()
    while (written := workspace.written()) < events:
        running.check()
        if written != last:
            last, changed = written, time.monotonic()
        if time.monotonic() - changed > STALL_SECONDS:
            raise RuntimeError(
                f"{running.group} has written {written:,} of {events:,} events and none for "
                f"{STALL_SECONDS:.0f} s:\n{running.tail()}"
            )
        time.sleep(POLL_SECONDS)
    return Snapshot(time.time(), running.cpu, cpu(workspace.servers.broker))


def _settle(workspace: Workspace, running: Running) -> None:
    """Wait until no more events are written."""
    last, changed = -1, time.monotonic()
    while time.monotonic() - changed < SETTLED_SECONDS:
        running.check()
        if (written := workspace.written()) != last:
            last, changed = written, time.monotonic()
        time.sleep(POLL_SECONDS)
