"""Latency from the append of a signal until its event is visible to a read_committed consumer, at fixed rates.

A separate process writes signals at an even rate, see `pacer`. Its linger time is 5 ms, the default of clients
(librdkafka; the Java client since Kafka 4.0, KIP-1030), unless `--linger` sets another; the latency starts at the
append. The consumer here only records the wall time at which it received each event. Afterwards the signals are read
back with the broker's append times and matched by signal_id = meta.cause. Everything uses the clock of one machine.
Append times are truncated to milliseconds, so a latency is up to 1 ms too long. A run is "overloaded" if events are
missing 5 s after the last signal.

Python's garbage collector is disabled in both processes during the measurement: at 66,000 signals a second it paused
the consumer for 0.65 s in 15 s, up to 0.1 s at a time, which would count as latency.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, TopicPartition

from benchmarks.peers.contestants import Contestant, Running, cpu
from benchmarks.peers.events import messages
from benchmarks.peers.pacer import PacerConfig, pace
from benchmarks.peers.rooms import Codec
from benchmarks.peers.workspace import PARTITIONS, Servers, Workspace
from pipeline.gc_pause import gc_paused

ROOMS: Final = 2_000
READY_SECONDS: Final = 120.0
BEHIND_SECONDS: Final = 5.0


class LatencyPlan(NamedTuple):
    """A run: its round and its rate in signals per second; `nominal` describes a rate relative to the maximum."""

    round: int
    rate: float
    nominal: str = ""


@dataclass(frozen=True)
class Latency:
    """One run, latencies in milliseconds. `rate` is the planned rate, `sent` the achieved one, in signals/s."""

    contestant: str
    round: int
    rate: float
    nominal: str
    sent: float
    signals: int
    p50: float | None
    p99: float | None
    p999: float | None
    note: str = ""
    carried: float = 0.0
    """Events received per second while signals were sent, without the warm-up."""
    cores: float = 0.0
    """Processor seconds of the contestant per second meanwhile."""
    broker_cores: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all events arrived; otherwise it was overloaded and has no latencies."""
        return self.p50 is not None

    def row(self) -> dict[str, Any]:
        """Return the run as a JSON object."""
        return {"bench": "latency", **asdict(self)}


def steady(runs: list[Latency]) -> list[Latency]:
    """Return the complete runs of a contestant at a rate, or none if they are not the majority.

    A median of a minority would hide the overloaded runs.
    """
    good = [run for run in runs if run.complete]
    return good if 2 * len(good) > len(runs) else []


def middle(runs: list[Latency]) -> Latency:
    """Return a run with the medians of `runs`, which must not be empty."""
    rate, p50, p99 = (statistics.median(getattr(run, what) for run in runs) for what in ("rate", "p50", "p99"))
    return replace(runs[0], rate=rate, p50=p50, p99=p99)


class Spent(NamedTuple):
    """Processor seconds until a moment (monotonic seconds)."""

    at: float
    contestant: float
    broker: float

    @classmethod
    def until_now(cls, workspace: Workspace, running: Running) -> Spent:
        """Read the clocks of the contestant's processes and of the broker."""
        return cls(time.monotonic(), running.cpu, cpu(workspace.servers.broker))

    def cores_since(self, before: Spent) -> tuple[float, float]:
        """Return how many cores contestant and broker have used since a moment before."""
        passed = self.at - before.at
        used = (self.contestant - before.contestant, self.broker - before.broker)
        return round(used[0] / passed, 3), round(used[1] / passed, 3)


class EventConsumer:
    """A consumer that records when each event arrives."""

    def __init__(self, workspace: Workspace, running: Running) -> None:
        self._running = running
        self.seen: list[tuple[float, list[bytes]]] = []
        self.count = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": workspace.servers.bootstrap,
                "group.id": "watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 3,
            }
        )
        # Not from committed offsets: a broker that has just started has no coordinator for them yet.
        places = [TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in workspace.partitions()]
        self._consumer.assign(places)

    def until(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Consume until `enough()` or, returning False, for `seconds`. Raises RuntimeError if a process fails."""
        limit = time.monotonic() + seconds
        while not enough():
            if time.monotonic() > limit:
                return False
            first = self._consumer.poll(0.05)
            if first is None:
                self._running.check()
                continue
            found = [first, *self._consumer.consume(5_000, 0)]
            if error := next((each.error() for each in found if each.error()), None):
                raise RuntimeError(f"the consumer of the events failed: {error}")
            values = [each.value() for each in found]
            self.seen.append((time.time() * 1000, values))
            self.count += len(values)
        return True

    def carried(self, since: float, until: float) -> float:
        """Return the events received per second between two times (milliseconds)."""
        count = sum(len(values) for at, values in self.seen if since <= at < until)
        return round(count / (until - since) * 1e3, 1)

    def close(self) -> None:
        """Stop consuming."""
        self._consumer.close()


def measure(
    contestant: Contestant,
    servers: Servers,
    plan: LatencyPlan,
    seconds: tuple[float, float],
    folder: Path,
    linger_ms: int,
) -> Latency:
    """Measure one run; `seconds` of warm-up and of measurement. Raises RuntimeError if the contestant fails."""
    workspace = Workspace(servers)
    workspace.set_up()
    signals = int(plan.rate * sum(seconds))
    context = get_context("spawn")
    pipe, remote = context.Pipe()
    config = PacerConfig(
        servers.bootstrap, workspace.prefix, workspace.ids, ROOMS, PARTITIONS, plan.rate, signals, linger_ms
    )
    pacer = context.Process(target=pace, args=(remote, config), daemon=True)
    pacer.start()
    remote.close()  # only the pacer has this end now: if it fails, `recv` raises EOFError
    try:
        with Running(contestant, workspace, folder) as running, gc_paused():
            consumer = EventConsumer(workspace, running)
            if not consumer.until(lambda: consumer.count >= ROOMS, READY_SECONDS):
                seen = f"{consumer.count:,} of {ROOMS:,} events seen, {workspace.written():,} offsets written"
                stable = f"{workspace.written(IsolationLevel.READ_COMMITTED):,} of them stable"
                raise RuntimeError(f"{running.group} is not ready: {seen}, {stable}:\n{running.tail()}")
            pipe.recv()
            began = time.time() * 1000
            pipe.send("go")
            warm = began + seconds[0] * 1000
            consumer.until(lambda: pipe.poll() or time.time() * 1000 >= warm, 3 * sum(seconds) + 60)
            before = Spent.until_now(workspace, running)
            consumer.until(pipe.poll, 3 * sum(seconds) + 60)
            spent = Spent.until_now(workspace, running)
            took = float(pipe.recv())
            carried = consumer.carried(warm, time.time() * 1000)
            complete = consumer.until(lambda: consumer.count >= ROOMS + signals, BEHIND_SECONDS)
            consumer.close()
        latencies = sorted(_latencies(workspace, consumer, warm)) if complete else []
    finally:
        pacer.kill()
        pacer.join()
        workspace.remove()
    sent = round(signals / took, 1)
    more = (carried, *spent.cores_since(before))
    if not complete:
        note = f"overloaded: {ROOMS + signals - consumer.count:,} events missing after {BEHIND_SECONDS:.0f} s"
        return Latency(contestant.name, *plan, sent, signals, None, None, None, note, *more)
    p50, p99, p999 = [round(latencies[int(share * (len(latencies) - 1))], 1) for share in (0.5, 0.99, 0.999)]
    return Latency(contestant.name, *plan, sent, len(latencies), p50, p99, p999, "", *more)


def _latencies(workspace: Workspace, consumer: EventConsumer, since: float) -> list[float]:
    """Return the latencies of the signals appended after `since` whose event arrived."""
    codec = Codec(workspace.ids)
    appended: dict[str, int] = {}
    for topic in ("api.signals", "media.signals"):
        for batch in messages(workspace, topic):
            for message in batch:
                if (at := message.timestamp()[1]) > since:
                    appended[codec.decode(message.value())[1]["signal_id"]] = at
    causes = ((at, codec.decode(value)[1]["meta"]["cause"]) for at, values in consumer.seen for value in values)
    return [at - appended[cause] for at, cause in causes if cause in appended]
