"""Writes broken record batches to a real broker while a worker reads them, and measures what good signals wait.

After each round of batches, one good signal is written to every partition. Its event must come within a second of the
signal's append time; the worker must not end, and its memory must stay near that of an idle one. On a machine that does
other things too, the wait is multiplied by the share of the processor that the worker's main thread got when it could
run.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.codec import decode_json, signal_json
from pipeline.model.wire import ENCODERS
from testkit.pipe import Pipe, WorkerProcess
from testkit.raw_batches import TRANSACTIONAL, Answer, RawProducer, Record, batch
from testkit.servers import servers
from tests.fuzz import seeds
from tests.fuzz.batches import BatchMutator
from tests.fuzz.run import FoundError

NAME: Final = "record batch, worker"
PARTITIONS: Final = 4
ROUND: Final = 64
"""Batches of a round. The next one waits for the events of this one's good signals."""
MOST_SECONDS: Final = 1.0
MOST_MEMORY: Final = 256.0
"""MiB by which the worker's memory peak may exceed that of the idle worker."""
GIVE_UP_SECONDS: Final = 60.0
HEAP_MB: Final = 4096
"""The broker's heap. It holds several batches of 256 MiB at once; one of 768 MiB ends for lack of memory."""
REPEATS: Final = 2
"""A round that is too slow is repeated, since the machine may be busy; the fastest counts."""
T: Final = 1_795_354_386_106_600
Batch = tuple[str, int, bytes]
"""Topic (`api.signals`), partition, bytes."""


async def signals_of(pipe: Pipe) -> list[tuple[bytes, bytes]]:
    """Return valid signals as (key, value), in JSON and in Avro with the ids of this registry."""
    async with Registry(pipe.settings) as registry:
        ids = await registry.schema_ids(pipe.prefix)
    found = []
    for line in seeds.json_lines():
        signal = decode_json(line)
        assert signal is not None
        head = framing.head(ids[signal.RECORD])
        found += [(signal.room_id.encode(), v) for v in (line, ENCODERS[type(signal)](signal, head))]
    return found


class Live:
    """One run. Raises FoundError when a limit is broken; the batches of that round are saved to a file."""

    def __init__(
        self, pipe: Pipe, signals: list[tuple[bytes, bytes]], seed: int, found: Path, *, transactional: bool = True
    ) -> None:
        """`found` is the folder for the batches of a failed round. `pipe` has PARTITIONS partitions.

        `transactional`: whether to write transactional batches. A broker that does not verify transactions (KIP-890)
        would store them, and nothing would end their transactions.
        """
        self._transactional = transactional
        self._pipe, self.seed, self._found = pipe, seed, found
        self._random = Random(f"{seed}/{NAME}")
        self._mutator = BatchMutator(signals, self._random)
        self.batches = self.rounds = self.slow_rounds = 0
        self.answers: dict[str, Counter[int]] = {}
        """Per kind of damage, the broker's answers (error codes)."""
        self.waits: list[float] = []
        """Seconds from the append of a good signal to its event."""
        self.slowest = 0.0
        """The longest wait of a round in its fastest try, multiplied by the worker's share of the processor."""
        self.share = 1.0
        """The worker's share of the processor over the whole run."""
        self.idle = self.peak = 0.0
        """The worker's memory in MiB: before the first batch, and the peak since."""
        self.dead = 0.0
        self.seconds = 0.0
        self._rooms = self._good_rooms()
        self._sent = 0
        self._muted = False

    def _good_rooms(self) -> list[str]:
        """Return a room of each partition."""
        found: dict[int, str] = {}
        for number in range(1000):
            found.setdefault(self._pipe.partition(f"good-{number}"), f"good-{number}")
        return [found[number] for number in range(self._pipe.settings.partitions)]

    # --- the run ----------------------------------------------------------------------------------------------

    def run(self, count: int, seconds: float = 1e9, progress: Callable[[int], None] = lambda _: None) -> None:
        """Write `count` batches, or as many as fit into `seconds`; then restart the worker once."""
        began = time.monotonic()
        with RawProducer(self._pipe.settings.bootstrap_servers) as producer, Events(self._pipe) as events:
            self._producer, self._events = producer, events
            with self._pipe.worker() as worker:
                self._start(worker)
                before = scheduled(worker.pid)
                while self.batches < count and time.monotonic() - began < seconds:
                    self._round(worker, min(ROUND, count - self.batches))
                    progress(self.batches)
                self.share = share_of(worker.pid, before)
                self.dead = sum(worker.metric(f'pipeline_dead_letters_total{{topic="{t}"}}') for t in self._topics())
                if (code := worker.stop()) != 0:
                    raise self._broken([], f"the worker ended with {code} when it was stopped")
            with self._pipe.worker() as worker:
                self._good(worker, [])
        self.seconds = time.monotonic() - began

    def replay(self, batches: list[Batch]) -> None:
        """Write saved batches one by one, to find the one that fails."""
        with RawProducer(self._pipe.settings.bootstrap_servers) as producer, Events(self._pipe) as events:
            self._producer, self._events = producer, events
            with self._pipe.worker() as worker:
                self._start(worker)
                for one in batches:
                    self._write([one])
                    self._good(worker, [one])
                    self._check_memory(worker, [one])

    def _topics(self) -> list[str]:
        return [self._pipe.topic(name) for name in ("api.signals", "media.signals")]

    def _start(self, worker: WorkerProcess) -> None:
        """Create the good rooms, and measure the idle worker."""
        for number, room in enumerate(self._rooms):
            for topic, signal in (
                ("api.signals", s.ConferenceCreate("create", room, T, "app", "good")),
                ("media.signals", s.MemberJoined("join", room, T, "member", "+1")),
            ):
                answer = self._producer.send(self._pipe.topic(topic), number, _one(room, signal))
                assert answer.stored, answer
                time.sleep(0.005)  # within one millisecond the merge takes the API's signal first
                self._events.wait(self._place(topic, number, answer), worker)
        for _ in range(4):
            self._good(worker, [])
        self.waits.clear()
        with suppress(OSError):
            Path(f"/proc/{worker.pid}/clear_refs").write_text("5")
        self.idle = self.peak = memory(worker.pid, "VmRSS")

    def _round(self, worker: WorkerProcess, count: int) -> None:
        """Write batches and good signals behind them; check the worker."""
        batches: list[Batch] = []
        kinds = []
        for _ in range(count):
            topic = self._random.choice(("api.signals", "media.signals"))
            data = self._mutator.mutant()
            while not self._transactional and data[22] & TRANSACTIONAL:
                data = self._mutator.mutant()
            batches.append((topic, self._random.randrange(PARTITIONS), data))
            kinds.append(self._mutator.kind)
        before = scheduled(worker.pid)
        for kind, (_, _, data), answer in zip(kinds, batches, self._write(batches), strict=True):
            self.answers.setdefault(kind, Counter())[answer.error] += 1
            if answer.stored:
                self._mutator.keep(data)
        self.batches += count
        self.rounds += 1
        slowest = self._good(worker, batches) * share_of(worker.pid, before)
        if slowest > MOST_SECONDS:
            self.slow_rounds += 1
            for _ in range(REPEATS):
                before = scheduled(worker.pid)
                self._write(batches)
                slowest = min(slowest, self._good(worker, batches) * share_of(worker.pid, before))
            if slowest > MOST_SECONDS:
                raise self._broken(batches, f"good signals waited {slowest:.2f} s, {REPEATS + 1} times")
        self.slowest = max(self.slowest, slowest)
        self._check_memory(worker, batches)

    def _write(self, batches: list[Batch]) -> list[Answer]:
        full = [(self._pipe.topic(topic), number, data) for topic, number, data in batches]
        try:
            return self._producer.send_all(full)
        except KafkaException as error:
            raise self._broken(batches, f"the broker does not answer: {error}") from error

    def _good(self, worker: WorkerProcess, batches: list[Batch]) -> float:
        """Write a good signal to each partition, by turns to both topics; return the longest wait for an event."""
        self._sent += 1
        if self._sent % 2:
            topic, kind = "api.signals", None
        else:
            topic, kind = "media.signals", s.MemberUnmuted if self._muted else s.MemberMuted
            self._muted = not self._muted
        sent = []
        for number, room in enumerate(self._rooms):
            name = f"good-{self._sent}"
            volume = s.ConferenceVolume(name, room, T, self._sent // 2 % 5, name)
            sent.append((topic, number, _one(room, volume if kind is None else kind(name, room, T, "member"))))
        waits = []
        for number, answer in enumerate(self._write(sent)):
            assert answer.stored, answer
            try:
                came = self._events.wait(self._place(topic, number, answer), worker)
            except TimeoutError:
                last = f"; its last lines: {worker.lines[-2:]}" if worker.returncode is not None else ""
                state = "ended" if last else f"gave no event within {GIVE_UP_SECONDS:.0f} s"
                raise self._broken(batches, f"the worker {state} ({worker.returncode}){last}") from None
            waits.append(max(0.0, came - answer.append_time_ms / 1000))
        self.waits += waits
        return max(waits)

    def _place(self, topic: str, number: int, answer: Answer) -> bytes:
        return f"{self._pipe.topic(topic)}/{number}/{answer.base_offset}".encode()

    def _check_memory(self, worker: WorkerProcess, batches: list[Batch]) -> None:
        self.peak = max(self.peak, memory(worker.pid, "VmHWM"))
        if self.above > MOST_MEMORY:
            raise self._broken(batches, f"the worker's memory rose by {self.above:.0f} MiB")

    @property
    def above(self) -> float:
        """The worker's memory peak above idle, in MiB."""
        return self.peak - self.idle

    def _broken(self, batches: list[Batch], what: str) -> FoundError:
        self._found.mkdir(parents=True, exist_ok=True)
        path = self._found / f"record-batches.{self.seed}.{self.rounds}"
        lines = [json.dumps([t, number, base64.b64encode(data).decode()]) for t, number, data in batches]
        path.write_text("".join(line + "\n" for line in lines))
        return FoundError(f"{NAME}, seed {self.seed}, batch {self.batches}: {what[:2000]}; {path}")

    # --- the result -------------------------------------------------------------------------------------------

    @property
    def stored(self) -> int:
        """Batches that the broker stored."""
        return sum(counts[0] for counts in self.answers.values())

    def result(self) -> dict[str, Any]:
        """Return the run's result as a JSON object."""
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "target": NAME,
            "seed": self.seed,
            "batches": self.batches,
            "stored": self.stored,
            "dead_letters": round(self.dead),
            "seconds": round(self.seconds),
            "good_signals": len(self.waits),
            "wait_ms": {name: round(value * 1000) for name, value in quantiles(self.waits).items()},
            "most_wait_ms_of_own_processor": round(self.slowest * 1000),
            "share_of_processor": round(self.share, 2),
            "slow_rounds": self.slow_rounds,
            "idle_mib": round(self.idle, 1),
            "peak_mib_above_idle": round(self.above, 1),
            "answers": {kind: dict(sorted(counts.items())) for kind, counts in sorted(self.answers.items())},
        }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum."""
    if len(seconds) < 2:
        return {"median": 0.0, "p99": 0.0, "max": max(seconds, default=0.0)}
    return {
        "median": statistics.median(seconds),
        "p99": statistics.quantiles(seconds, n=100)[98],
        "max": max(seconds),
    }


def scheduled(pid: int) -> tuple[int, int]:
    """Return how long the main thread has run, and has waited for a processor (ns); zeros when that is not known."""
    try:
        run, waited, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    except OSError:
        return 0, 0
    return run, waited


def share_of(pid: int, before: tuple[int, int]) -> float:
    """Return the part of the time since `before` that the main thread ran, of that in which it could."""
    run, waited = (now - then for now, then in zip(scheduled(pid), before, strict=True))
    return run / (run + waited) if run > 0 and waited >= 0 else 1.0


def memory(pid: int, name: str) -> float:
    """Return a line of /proc/PID/status in MiB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


def saved(path: Path) -> list[Batch]:
    """Return the batches of a saved round."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(topic, number, base64.b64decode(data)) for topic, number, data in lines]


def _one(room: str, signal: s.AnySignal) -> bytes:
    return batch([Record(room.encode(), signal_json(signal))])


class Events:
    """Notes when the event of a signal becomes visible; reads in a thread."""

    def __init__(self, pipe: Pipe) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": pipe.settings.bootstrap_servers,
                "group.id": f"{pipe.prefix}-reader-{os.getpid()}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(pipe.topic("events"), n, 0) for n in range(pipe.settings.partitions)])
        self._came: dict[bytes, float] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Events:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(10)
        self._consumer.close()

    def _read(self) -> None:
        while not self._stopping:
            messages = [m for m in self._consumer.consume(1000, 0.1) if m.error() is None]
            now = time.time()
            with self._changed:
                for message in messages:
                    if (message.key() or b"").startswith(b"good-"):
                        self._came[dict(message.headers() or ())["ce_signal"]] = now
                self._changed.notify_all()

    def wait(self, place: bytes, worker: WorkerProcess) -> float:
        """Return the time (seconds since the epoch) at which the event of the signal at `place` came.

        Raises TimeoutError after GIVE_UP_SECONDS, or soon if the worker has ended.
        """
        limit = time.monotonic() + GIVE_UP_SECONDS
        with self._changed:
            while place not in self._came:
                self._changed.wait(0.5)
                if worker.returncode is not None or time.monotonic() > limit:
                    raise TimeoutError
            return self._came.pop(place)


@contextmanager
def on_servers(seed: int, found: Path) -> Iterator[Live]:
    """A run on servers of its own."""

    async def set_up(pipe: Pipe) -> list[tuple[bytes, bytes]]:
        await pipe.set_up()
        return await signals_of(pipe)

    with servers(HEAP_MB) as own:
        pipe = Pipe(own, PARTITIONS)
        yield Live(pipe, asyncio.run(set_up(pipe)), seed, found)
