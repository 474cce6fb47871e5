"""Ours beside Kafka Streams, a hand-written loop, Quix Streams and stock Faust: the same work, the same broker.

    make bench-peers                                   (PEERS="--rounds 1 --signals 100000" for a smaller one)
    python -m benchmarks.peers [--only ours,handwritten] [--no-latency]

The work: two co-partitioned inputs in Avro, the state of a room and of its members, one event per signal with its
`meta` and CloudEvents headers to the partition number of the signal, a changelog row per room and member that changed;
exactly once (stock Faust: at least once). Each contestant is one process, one worker. The load is in `load.py`.

Throughput: the inputs are filled once. Every run empties the output topics, begins with a group of its own on the whole
backlog, and is measured from the moment when the topic of events has passed the warm-up until it has all (10 looks a
second at its end offsets). Then all events are read `read_committed` and checked; counted are those that the broker
appended between the two moments. CPU is user and system time of the contestant's processes and of the broker's, between
the same moments. Slow contestants get a part of the backlog. A broker that has just started takes several times the CPU
for a record, so the first runs (`--break-in`) are thrown away. Rounds interleave the contestants in rotating order;
shown are median and least to greatest, and the ratios of ours to each peer within the same round.

Latency: see `latency.py`. The contestants take turns at each rate, in rounds as above; one that was overloaded, or
takes less from a backlog, is not asked for as much again. What sends the signals needs a part of the machine, so what
one carries while they come is less than what it takes from a backlog: in each round, each is sent as many a second as
it took from the backlog, what it carried meanwhile, once it had settled, is its maximum, and 80 % of that is the rate
of its next run. Near the maximum it takes a while to make up for what was behind at the beginning, so that run settles
four times as long as the others.

Broker and contestant share the machine; what one takes the other lacks. Results go to docs/results/peers.md and
peers.jsonl, the picture to docs/peers.svg.
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
from benchmarks.peers.latency import Asked, Latency
from benchmarks.peers.load import Load, fill
from benchmarks.peers.rooms import Codec
from benchmarks.peers.workspace import BROKER_FLAGS, BROKER_HEAP_MB, PARTITIONS, Servers, Workspace, servers
from benchmarks.peers.throughput import Throughput
from pipeline.devstack.cache import java


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


@dataclass
class Bench:
    """One run of all of it."""

    given: argparse.Namespace
    servers: Servers
    folder: Path
    taking_part: list[Contestant]
    runs: list[Throughput] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def throughput(self) -> None:
        """All rounds on one backlog."""
        workspace, given = Workspace(self.servers), self.given
        workspace.set_up()
        load = Load(Codec(workspace.ids), workspace.prefix, given.rooms)
        fill(self.servers.bootstrap, load, given.warm_up + given.signals, say)
        for number in range(given.break_in):
            one = self.taking_part[number % len(self.taking_part)]
            with self._attempt(f"{one.title}, thrown away: the broker warms up"):
                throughput.measure(one, workspace, load, given.warm_up, given.signals, 0, self.folder)
        for number in range(given.rounds):
            for one in in_turn(self.taking_part, number):
                with self._attempt(f"{one.title}, round {number + 1}"):
                    run = throughput.measure(
                        one, workspace, load, given.warm_up, given.signals, number + 1, self.folder
                    )
                    self.runs.append(run)
                    say(json.dumps(run.row()))
        workspace.remove()

    def latency(self) -> None:
        """All rates, the contestants in turn, in rounds."""
        found = report.by_name(self.runs)
        most = {name: statistics.median(run.k_per_s for run in runs) * 1e3 for name, runs in found.items()}
        taking_part = [one for one in self.taking_part if one.latency]
        too_much: dict[str, float] = {name: 0.95 * rate for name, rate in most.items()}
        for number in range(self.given.latency_rounds):
            turn = in_turn(taking_part, number)
            for rate in self.given.rates:
                for one in turn:
                    if rate < too_much.get(one.name, float("inf")):
                        row = self._latency(
                            one, Asked(number + 1, rate), (self.given.settle, self.given.seconds)
                        )
                        if row is not None and not row.complete:
                            too_much[one.name] = rate
            for one in turn:
                if one.name in most:
                    self._at_its_maximum(one, number + 1, most[one.name])

    def _at_its_maximum(self, one: Contestant, number: int, most: float) -> None:
        """What one carries while signals are sent, and its latency at 80 % of it."""
        settle, seconds = self.given.settle, self.given.seconds
        # Large units come seldom, so what is carried takes a while to measure.
        row = self._latency(one, Asked(number, most, " (as from a backlog)"), (settle, 3 * settle + seconds))
        if row is not None:
            self._latency(one, Asked(number, 0.8 * row.carried, " (80 %)"), (4 * settle, seconds))

    def _latency(self, one: Contestant, asked: Asked, seconds: tuple[float, float]) -> Latency | None:
        """`seconds` of warm-up and of measuring."""
        row = None
        with self._attempt(f"{one.title} at {asked.rate:,.0f} signals/s, round {asked.round}"):
            row = latency.measure(one, self.servers, asked, seconds, self.folder, self.given.linger)
            self.latencies.append(row)
            say(json.dumps(row.row()))
        return row

    @contextmanager
    def _attempt(self, what: str) -> Iterator[None]:
        """A contestant that fails is a line of the table, not the end of the run."""
        say(what)
        try:
            yield
        except RuntimeError as error:
            say(f"{what}: {error}")
            self.failures.append(f"{what}: {str(error).splitlines()[0]}")

    def write(self, folder: Path) -> None:
        """Table, rows and picture."""
        facts = settings(self.given, self.taking_part)
        lines = [
            "# Ours beside peers",
            "",
            "By `make bench-peers`; the method is in `benchmarks/peers/__main__.py`.",
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
    """The order of a round: each begins with the next one."""
    shift = number % len(contestants)
    return contestants[shift:] + contestants[:shift]


def settings(given: argparse.Namespace, taking_part: list[Contestant]) -> dict[str, str]:
    """What a reader must know to judge the figures."""
    found = subprocess.run([str(java()), "-version"], capture_output=True, text=True, check=True)
    names = {one.name for one in taking_part}
    facts = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "JVM": found.stderr.splitlines()[1],
        "broker": f"Kafka 4.3.1, one node, heap {BROKER_HEAP_MB} MiB, {' '.join(BROKER_FLAGS)}",
        "libraries": ", ".join(
            [
                f"{name} {version(name)}"
                for name in ("aiokafka", "faust-streaming", "fastavro", "confluent-kafka")
            ]
            + [f"librdkafka {confluent_kafka.libversion()[0]}"]
            + ([f"quixstreams {_bench_version('quixstreams')}"] if "quix" in names else [])
        ),
        "load": f"{given.warm_up:,} + {given.signals:,} signals of {given.rooms:,} rooms, {PARTITIONS} partitions, "
        f"Avro, two thirds API, one third media; {given.rounds} rounds, {given.break_in} runs before them thrown away",
        "latency": f"{given.latency_rounds} rounds of {given.seconds:g} s at each rate, after {given.settle:g} s; "
        f"as from a backlog {3 * given.settle + given.seconds:g} s, 80 % of it after {4 * given.settle:g} s; "
        f"producer: linger {given.linger} ms",
    }
    for one in taking_part:
        part = f"; at most {one.most:,} signals a run, with the same share of warm-up" if one.most else ""
        facts[one.title] = one.settings + part
    return facts


def _bench_version(package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [BENCH_PYTHON, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _milliseconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of milliseconds, 1 or more")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    add: Callable[..., Any] = parser.add_argument
    add("--rounds", type=int, default=3, help="of the backlog; 0: only latency")
    add(
        "--break-in",
        type=int,
        default=3,
        help="runs before them, of one contestant after another, thrown away",
    )
    add("--warm-up", type=int, default=1_200_000, help="signals before the window")
    add("--signals", type=int, default=2_400_000, help="signals in the window")
    add("--rooms", type=int, default=20_000)
    add("--quix", type=int, default=200_000, help="signals of a run of Quix, warm-up included")
    add("--faust", type=int, default=20_000, help="signals of a run of stock Faust, warm-up included")
    add("--only", type=lambda text: text.split(","), help="names, separated by commas")
    add("--no-latency", action="store_true")
    add(
        "--rates",
        type=lambda text: [float(one) for one in text.split(",") if one],
        default=[100, 500, 2000, 10000],
    )
    add("--latency-rounds", type=int, default=3)
    add("--seconds", type=float, default=20.0, help="of measuring a latency")
    add(
        "--linger",
        type=_milliseconds,
        default=5,
        help="milliseconds that what sends signals at a rate waits for more",
    )
    add("--settle", type=float, default=5.0, help="seconds before that at the same rate")
    add(
        "--out",
        type=Path,
        default=ROOT / "docs",
        help="folder for results/peers.md, results/peers.jsonl, peers.svg",
    )
    return parser.parse_args()


def main() -> int:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is stopped
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        folder = Path(scratch)
        wanted = given.only or ["streams"]
        java_program = any(name.startswith("streams") for name in wanted)
        streams = jars.command(folder / "classes", STREAMS_HEAP) if java_program else []
        everyone = contestants(streams, given.quix, given.faust)
        if unknown := set(given.only or ()) - {one.name for one in everyone}:
            raise SystemExit(
                f"unknown: {', '.join(unknown)}; there are {', '.join(one.name for one in everyone)}"
            )
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
