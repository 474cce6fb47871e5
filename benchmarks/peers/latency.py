"""From the append of a signal until its event is visible to a read_committed consumer, at fixed rates.

A process of its own writes signals at an even pace, see `pacer`. It lingers for 5 ms, as clients do by default
(librdkafka; the Java client since Kafka 4.0, KIP-1030), unless `--linger` says otherwise; latency begins with the
append. The consumer here notes the wall time at which it has an event in hand, and nothing else. Afterwards the signals
are read back with the broker's append times, and matched by signal_id = meta.cause. One machine, one clock; append
times are whole milliseconds, cut, so a latency is up to 1 ms too long. "overloaded": not all events were there 5 s
after the last signal.

Python's garbage collector rests in both processes meanwhile: at 66,000 signals a second it stopped the consumer for
0.65 s in 15, for up to 0.1 s at once, which were added to the latencies of whoever was measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, IsolationLevel

from benchmarks.peers.contestants import Contestant, Running
from benchmarks.peers.events import messages
from benchmarks.peers.pacer import Todo, pace
from benchmarks.peers.rooms import Codec
from benchmarks.peers.workspace import PARTITIONS, Servers, Workspace
from pipeline.gc_pause import gc_paused

ROOMS: Final = 2_000
READY_SECONDS: Final = 120.0
BEHIND_SECONDS: Final = 5.0


class Asked(NamedTuple):
    """A run: the number of its round, and signals per second; `nominal` says what they are of its maximum."""

    round: int
    rate: float
    nominal: str = ""


@dataclass(frozen=True)
class Latency:
    """One run, in milliseconds. `rate` is what was asked for, `sent` what the producer achieved, per second."""

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
    """Events per second that were seen while signals were sent, without the warm-up."""

    @property
    def complete(self) -> bool:
        """Whether all events were there; else it was overloaded, and has no figures."""
        return self.p50 is not None

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {"bench": "latency", **asdict(self)}


def steady(runs: list[Latency]) -> list[Latency]:
    """Of the runs of a contestant at a rate, those with all events; none when they are not more than half: a median of
    the good ones would hide the others."""
    good = [run for run in runs if run.complete]
    return good if 2 * len(good) > len(runs) else []


def middle(runs: list[Latency]) -> Latency:
    """The medians of such runs, of which there is one at least."""
    rate, p50, p99 = (
        statistics.median(getattr(run, what) for run in runs) for what in ("rate", "p50", "p99")
    )
    return replace(runs[0], rate=rate, p50=p50, p99=p99)


class Watch:
    """The consumer: when each event was seen."""

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
        self._consumer.assign(workspace.partitions())

    def until(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Look at events until `enough`, asked for now and then; False when that took too long. Raises RuntimeError."""
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
        """Events per second that were seen between two times (milliseconds)."""
        count = sum(len(values) for at, values in self.seen if since <= at < until)
        return round(count / (until - since) * 1e3, 1)

    def close(self) -> None:
        """Stop consuming."""
        self._consumer.close()


def measure(
    contestant: Contestant,
    servers: Servers,
    asked: Asked,
    seconds: tuple[float, float],
    folder: Path,
    linger_ms: int,
) -> Latency:
    """One contestant as `asked`; `seconds` of warm-up and of measuring. Raises RuntimeError when it fails."""
    workspace = Workspace(servers)
    workspace.set_up()
    signals = int(asked.rate * sum(seconds))
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    todo = Todo(servers.bootstrap, workspace.prefix, workspace.ids, ROOMS, PARTITIONS, asked.rate, signals, linger_ms)
    pacer = context.Process(target=pace, args=(theirs, todo), daemon=True)
    pacer.start()
    theirs.close()  # the pacer has the only one now: if it fails, `recv` says so
    try:
        with Running(contestant, workspace, folder) as running, gc_paused():
            watch = Watch(workspace, running)
            if not watch.until(lambda: watch.count >= ROOMS, READY_SECONDS):
                seen = f"{watch.count:,} of {ROOMS:,} events seen, {workspace.written():,} offsets written"
                stable = f"{workspace.written(IsolationLevel.READ_COMMITTED):,} of them stable"
                raise RuntimeError(f"{running.group} is not ready: {seen}, {stable}:\n{running.tail()}")
            ours.recv()
            began = time.time() * 1000
            ours.send("go")
            watch.until(ours.poll, 3 * sum(seconds) + 60)
            took = float(ours.recv())
            carried = watch.carried(began + seconds[0] * 1000, time.time() * 1000)
            complete = watch.until(lambda: watch.count >= ROOMS + signals, BEHIND_SECONDS)
            watch.close()
        latencies = sorted(_latencies(workspace, watch, began + seconds[0] * 1000)) if complete else []
    finally:
        pacer.kill()
        pacer.join()
        workspace.remove()
    sent = round(signals / took, 1)
    if not complete:
        note = f"overloaded: {ROOMS + signals - watch.count:,} events missing after {BEHIND_SECONDS:.0f} s"
        return Latency(contestant.name, *asked, sent, signals, None, None, None, note, carried)
    p50, p99, p999 = [round(latencies[int(share * (len(latencies) - 1))], 1) for share in (0.5, 0.99, 0.999)]
    return Latency(contestant.name, *asked, sent, len(latencies), p50, p99, p999, "", carried)


def _latencies(workspace: Workspace, watch: Watch, since: float) -> list[float]:
    """Of the signals that were appended after `since` and whose event was seen."""
    codec = Codec(workspace.ids)
    appended: dict[str, int] = {}
    for topic in ("api.signals", "media.signals"):
        for batch in messages(workspace, topic):
            for message in batch:
                if (at := message.timestamp()[1]) > since:
                    appended[codec.decode(message.value())[1]["signal_id"]] = at
    causes = ((at, codec.decode(value)[1]["meta"]["cause"]) for at, values in watch.seen for value in values)
    return [at - appended[cause] for at, cause in causes if cause in appended]
