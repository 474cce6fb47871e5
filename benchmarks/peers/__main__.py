"""Compare the pipeline with Kafka Streams, a hand-written loop, Quix Streams and stock Faust on one broker.

    make bench-peers                                   (shorter: PEERS="--rounds 1 --signals 100000")
    python -m benchmarks.peers [--only ours,handwritten] [--no-latency]

The task: two co-partitioned Avro inputs, state of a room and its members, one event per signal, with `meta` and
CloudEvents headers, to the signal's partition number, and a changelog row per changed room and member; exactly once
(stock Faust: at least once). Each contestant is one process with one worker. The load is in `load.py`.

Throughput: the inputs are filled once. Each run empties the output topics and starts a new group on the whole backlog.
It is measured from the moment when the events topic has passed the warm-up until it holds all events (its end offsets
are polled 10 times a second). Then all events are read with `read_committed` and checked; those appended between the
two moments are counted. CPU is the user and system time of the contestant's processes and of the broker between the
same moments. Slow contestants get a part of the backlog. A broker that has just started needs several times the CPU per
record, so the first runs (`--break-in`) are discarded. Rounds interleave the contestants in rotating order. The tables
have median and range, and the ratios of the pipeline to each peer within the same round.

Latency: see `latency.py`. The contestants take turns at each rate, in rounds as above. A rate is skipped for a
contestant that was overloaded at a lower one or has a lower throughput. The sender needs a part of the machine, so the
throughput while signals are sent is lower than from a backlog. It is measured in each round: signals are sent at the
backlog's rate, and the rate of events after the warm-up is the contestant's maximum. Its next run is at 80 % of that.
Near the maximum, a backlog from the start takes longer to process, so that run has four times the warm-up.

Broker and contestant share the machine. Results go to docs/results/peers.md and peers.jsonl, the chart to
docs/peers.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka

from benchmarks.peers import jars, latency, plot, report, throughput
from benchmarks.peers.contestants import BENCH_PYTHON, ROOT, STREAMS_HEAP, Contestant, contestants
from benchmarks.peers.latency import Latency, LatencyPlan
from benchmarks.peers.load import Load, fill
from benchmarks.peers.rooms import Codec
from benchmarks.peers.throughput import Throughput
from benchmarks.peers.workspace import BROKER_FLAGS, BROKER_HEAP_MB, PARTITIONS, Servers, Workspace, servers
from pipeline.devstack.cache import java


def report_progress(text: str) -> None:
    """Print progress with the time to standard error."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


@dataclass
class Bench:
    """One run of the whole benchmark."""

    given: argparse.Namespace
    servers: Servers
    folder: Path
    taking_part: list[Contestant]
    runs: list[Throughput] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def throughput(self) -> None:
        """Measure all rounds on one backlog."""
        workspace, given = Workspace(self.servers), self.given
        workspace.set_up()
        load = Load(Codec(workspace.ids), workspace.prefix, given.rooms)
        fill(self.servers.bootstrap, load, given.warm_up + given.signals, report_progress)
        for number in range(given.break_in):
            one = self.taking_part[number % len(self.taking_part)]
            with self._attempt(f"{one.title}, discarded: the broker warms up"):
                throughput.measure(one, workspace, load, given.warm_up, given.signals, 0, self.folder)
        for number in range(given.rounds):
            for one in in_turn(self.taking_part, number):
                with self._attempt(f"{one.title}, round {number + 1}"):
                    run = throughput.measure(
                        one, workspace, load, given.warm_up, given.signals, number + 1, self.folder
                    )
                    self.runs.append(run)
                    report_progress(json.dumps(run.row()))
        workspace.remove()

    def latency(self) -> None:
        """Measure all rates, the contestants in turn, in rounds."""
        found = report.by_name(self.runs)
        most = {name: statistics.median(run.k_per_s for run in runs) * 1e3 for name, runs in found.items()}
        taking_part = [one for one in self.taking_part if one.latency]
        too_much: dict[str, float] = {name: 0.95 * rate for name, rate in most.items()}
        for number in range(self.given.latency_rounds):
            turn = in_turn(taking_part, number)
            for rate in self.given.rates:
                for one in turn:
                    if rate < too_much.get(one.name, float("inf")):
                        row = self._latency(one, LatencyPlan(number + 1, rate), (self.given.settle, self.given.seconds))
                        if row is not None and not row.complete:
                            too_much[one.name] = rate
            for one in turn:
                if one.name in most:
                    self._at_its_maximum(one, number + 1, most[one.name])

    def _at_its_maximum(self, one: Contestant, number: int, most: float) -> None:
        """Measure the throughput while signals are sent, and the latency at 80 % of it."""
        settle, seconds = self.given.settle, self.given.seconds
        # Large units commit rarely, so the throughput needs a longer measurement.
        row = self._latency(one, LatencyPlan(number, most, " (as from a backlog)"), (settle, 3 * settle + seconds))
        if row is not None:
            self._latency(one, LatencyPlan(number, 0.8 * row.carried, " (80 %)"), (4 * settle, seconds))

    def _latency(self, one: Contestant, plan: LatencyPlan, seconds: tuple[float, float]) -> Latency | None:
        """Measure one run; `seconds` of warm-up and of measurement. Return None if it failed."""
        row = None
        with self._attempt(f"{one.title} at {plan.rate:,.0f} signals/s, round {plan.round}"):
            row = latency.measure(one, self.servers, plan, seconds, self.folder, self.given.linger)
            self.latencies.append(row)
            report_progress(json.dumps(row.row()))
        return row

    @contextmanager
    def _attempt(self, what: str) -> Iterator[None]:
        """Record a contestant's failure instead of ending the benchmark."""
        report_progress(what)
        try:
            yield
        except RuntimeError as error:
            report_progress(f"{what}: {error}")
            self.failures.append(f"{what}: {str(error).splitlines()[0]}")

    def write(self, folder: Path) -> None:
        """Write the tables, the rows and the chart."""
        facts = settings(self.given, self.taking_part)
        lines = [
            "# Comparison with peers",
            "",
            "Generated by `make bench-peers`. The method is described in `benchmarks/peers/__main__.py`.",
            "",
        ]
        lines += ["## Backlog", "", *report.throughput(self.taking_part, self.runs, self.failures), ""]
        if self.latencies:
            lines += ["## Latency", "", *report.latency(self.taking_part, self.latencies), ""]
        lines += ["## Settings", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
        results = folder / "results"
        results.mkdir(parents=True, exist_ok=True)
        (results / "peers.md").write_text("\n".join(lines))
        rows: list[dict[str, Any]] = [{"bench": "settings", **facts}]
        rows += [run.row() for run in self.runs] + [latency.row() for latency in self.latencies]
        (results / "peers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "peers.svg").write_text(plot.draw(self.taking_part, self.runs, self.latencies))
        print("\n".join(lines))


def in_turn(contestants: list[Contestant], number: int) -> list[Contestant]:
    """Return the order of a round: each round starts with the next contestant."""
    shift = number % len(contestants)
    return contestants[shift:] + contestants[:shift]


def settings(given: argparse.Namespace, taking_part: list[Contestant]) -> dict[str, str]:
    """Return the facts that a reader needs to judge the results."""
    found = subprocess.run([str(java()), "-version"], capture_output=True, text=True, check=True)
    names = {one.name for one in taking_part}
    facts = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "JVM": found.stderr.splitlines()[1],
        "broker": f"Kafka 4.3.1, one node, heap {BROKER_HEAP_MB} MiB, {' '.join(BROKER_FLAGS)}",
        "libraries": ", ".join(
            [f"{name} {version(name)}" for name in ("aiokafka", "faust-streaming", "fastavro", "confluent-kafka")]
            + [f"librdkafka {confluent_kafka.libversion()[0]}"]
            + ([f"quixstreams {_bench_version('quixstreams')}"] if "quix" in names else [])
        ),
        "load": f"{given.warm_up:,} + {given.signals:,} signals of {given.rooms:,} rooms, {PARTITIONS} partitions, "
        f"Avro, two thirds API, one third media; {given.rounds} rounds, after {given.break_in} discarded runs",
        "latency": f"{given.latency_rounds} rounds of {given.seconds:g} s at each rate, after {given.settle:g} s; "
        f"at the backlog's rate {3 * given.settle + given.seconds:g} s, at 80 % after {4 * given.settle:g} s; "
        f"producer: linger {given.linger} ms",
    }
    for one in taking_part:
        part = f"; at most {one.most:,} signals a run, with the same share of warm-up" if one.most else ""
        facts[one.title] = one.settings + part
    return facts


def _bench_version(package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([BENCH_PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _milliseconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1 ms")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Callable[..., Any] = parser.add_argument
    add("--rounds", type=int, default=3, help="throughput rounds; 0: only latency (%(default)s)")
    add("--break-in", type=int, default=3, help="discarded runs before the first round (%(default)s)")
    add("--warm-up", type=int, default=1_200_000, help="signals before the measurement (%(default)s)")
    add("--signals", type=int, default=2_400_000, help="signals measured (%(default)s)")
    add("--rooms", type=int, default=20_000, help="rooms (%(default)s)")
    add("--quix", type=int, default=200_000, help="signals of a Quix run, including the warm-up (%(default)s)")
    add(
        "--faust",
        type=int,
        default=20_000,
        help="signals of a stock Faust run, including the warm-up (%(default)s)",
    )
    add("--only", type=lambda text: text.split(","), help="comma-separated names of contestants")
    add("--no-latency", action="store_true", help="measure only throughput")
    add(
        "--rates",
        type=lambda text: [float(one) for one in text.split(",") if one],
        default=[100, 500, 2000, 10000],
        help="comma-separated rates of the latency runs, signals/s (100,500,2000,10000)",
    )
    add("--latency-rounds", type=int, default=3, help="latency rounds (%(default)s)")
    add("--seconds", type=float, default=20.0, help="duration of a latency measurement (%(default)s)")
    add("--linger", type=_milliseconds, default=5, help="linger time of the sender, ms (%(default)s)")
    add("--settle", type=float, default=5.0, help="seconds of warm-up of a latency run (%(default)s)")
    add(
        "--out",
        type=Path,
        default=ROOT / "docs",
        help="folder for results/peers.md, results/peers.jsonl, peers.svg",
    )
    return parser.parse_args()


def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that context managers stop all processes
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        folder = Path(scratch)
        wanted = given.only or ["streams"]
        java_program = any(name.startswith("streams") for name in wanted)
        streams = jars.command(folder / "classes", STREAMS_HEAP) if java_program else []
        everyone = contestants(streams, given.quix, given.faust)
        if unknown := set(given.only or ()) - {one.name for one in everyone}:
            raise SystemExit(f"--only: unknown {', '.join(unknown)}; valid: {', '.join(one.name for one in everyone)}")
        with servers() as running:
            chosen = [one for one in everyone if not given.only or one.name in given.only]
            bench = Bench(given, running, folder, chosen)
            if given.rounds:
                bench.throughput()
            if not given.no_latency:
                bench.latency()
            bench.write(given.out)
    return 1 if bench.failures or any(run.violations for run in bench.runs) else 0


if __name__ == "__main__":
    sys.exit(main())
