"""The demo's performance: a worker as a child process, signals in, events out, and the comparison."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from pipeline.cli.events import Follower, colour
from pipeline.cli.send import PRODUCER
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.demo.scenario import Step
    from pipeline.model.events import Event
    from pipeline.settings import Settings

READY_SECONDS: Final = 60.0
LATE_SECONDS: Final = 20.0
"""How long an event may take before the demo gives up."""
STOP_SECONDS: Final = 8.0


class DemoError(PipelineError):
    """What came out is not what must come out."""


class Planned(NamedTuple):
    """A step and what the rules, run offline, say comes of it. `before` are timeouts that come while it waits."""

    step: Step
    before: tuple[Event, ...]
    events: tuple[Event, ...]
    silence: str


def plan(speed: float, room_id: str) -> list[Planned]:
    """The recorded conference, with what must come of each step."""
    from pipeline.core.partition import Partition
    from pipeline.core.watchdog import Rules
    from pipeline.demo.scenario import steps

    partition, planned = Partition(Rules()), []
    for step in steps(room_id=room_id, speed=speed):
        now = step.signal.occurred_at
        before = tuple(event for due in partition.due(now) for event in partition.expire(due).events)
        decision = partition.apply(step.signal, now)
        silence = f"rejected: {decision.rejected}" if decision.rejected else f"no event: {decision.no_op}"
        planned.append(Planned(step, before, decision.events, silence))
    return planned


class Screen:
    """What the reader sees: events on standard output, everything about the run itself on standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def progress(self, text: str) -> None:
        """A word about the run."""
        typer.secho(text, err=True, dim=True)

    def comment(self, text: str) -> None:
        """A word about what happens."""
        if not self.as_json:
            typer.secho(f"# {text}", dim=True)
            sys.stdout.flush()

    def event(self, event: Event) -> None:
        """One event."""
        from pipeline.model.codec import event_json

        if self.as_json:
            sys.stdout.write(event_json(event).decode())
        else:
            meta = event.meta
            at = datetime.fromtimestamp(meta.occurred_at / 1e6).strftime("%H:%M:%S.%f")[:-3]
            name = typer.style(f"{event.EVENT:<30}", fg=colour(event.EVENT), bold=True)
            inferred = typer.style("  (inferred: nobody reported it)", dim=True) if meta.synthetic else ""
            typer.echo(f"{at}  {meta.sequence:>3}  {name} {_fields(event)}{inferred}")
        sys.stdout.flush()


def _fields(event: Event) -> str:
    import msgspec

    fields = msgspec.structs.asdict(event)
    shown = {key: value for key, value in fields.items() if key not in ("room_id", "meta", "session_uuid")}
    return "  ".join(
        f"{key}={' '.join(value) if isinstance(value, tuple) else value}" for key, value in shown.items()
    )


def play(found: Settings, screen: Screen, speed: float, save: str | None) -> None:
    """Start a worker, send every step, show every event, compare. Raises DemoError, KafkaError, ConfigError."""
    began = time.monotonic()
    planned = plan(speed, found.topic_prefix)
    screen.progress("starting a worker")
    with _worker(found) as worker:
        performance = Performance(found, screen, worker)
        asyncio.run(performance.run(planned))
        _save(save, performance.sent)
        wrong = _difference(planned, performance.seen)
        if wrong:
            raise DemoError(f"{wrong}\n{worker.words()}")
        if not screen.as_json:
            _summary(performance, worker, time.monotonic() - began)


class Performance:
    """One run: `sent` are the JSON lines of the signals, `seen` the events, in the order they came."""

    def __init__(self, found: Settings, screen: Screen, worker: Worker) -> None:
        self._settings, self._screen, self._worker = found, screen, worker
        self._arrived: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.seen: list[Event] = []

    async def run(self, planned: list[Planned]) -> None:
        """Send and show everything."""
        from aiokafka import AIOKafkaProducer

        await self._worker.ready()
        async with (
            Follower(self._settings) as follower,
            AIOKafkaProducer(**self._settings.kafka(), **{**PRODUCER, "linger_ms": 0}) as producer,
        ):
            listening = asyncio.create_task(self._listen(follower))
            try:
                last = time.monotonic()
                for one in planned:
                    last = await self._perform(one, producer, last)
                await asyncio.sleep(0.5)  # what must not come would come now
                while not self._arrived.empty():
                    await self._show(1)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _perform(self, one: Planned, producer: Any, last: float) -> float:
        """Wait for the step's time, send it, show what comes of it; when it was acknowledged."""
        import msgspec

        from pipeline.model.codec import signal_json

        step = one.step
        if one.before:
            self._screen.comment("… and now nothing at all: we wait for the watchdog, 10 s after the play")
            await self._show(len(one.before), step.delay)
        await asyncio.sleep(last + step.delay - time.monotonic())
        self._screen.comment(step.title)
        signal = msgspec.structs.replace(step.signal, occurred_at=time.time_ns() // 1000)
        self.sent.append(signal_json(signal))
        topic = f"{self._settings.topic_prefix}.{step.topic}.signals"
        await producer.send_and_wait(topic, self.sent[-1].rstrip(b"\n"), signal.room_id.encode())
        last = time.monotonic()
        await self._show(len(one.events))
        if not one.events:
            self._screen.comment(f"    → {one.silence}")
        return last

    async def _listen(self, follower: Follower) -> None:
        try:
            async for event in follower:
                self._arrived.put_nowait(event)
        except Exception as error:
            self._arrived.put_nowait(error)

    async def _show(self, number: int, patience: float = 0.0) -> None:
        """Show the next events. Raises DemoError when they don't come."""
        limit = time.monotonic() + patience + LATE_SECONDS
        for _ in range(number):
            while True:
                with contextlib.suppress(TimeoutError):
                    arrived = await asyncio.wait_for(self._arrived.get(), 0.25)
                    break
                self._worker.check()
                if time.monotonic() > limit:
                    raise DemoError(
                        f"an event did not come within {LATE_SECONDS:g} s\n{self._worker.words()}"
                    )
            if isinstance(arrived, BaseException):
                raise arrived
            self.seen.append(arrived)
            self._screen.event(arrived)


def _difference(planned: list[Planned], seen: list[Event]) -> str | None:
    """The first event that is not as the rules, run offline, give it; times aside."""
    wanted = [_plain(event) for one in planned for event in (*one.before, *one.events)]
    got = [_plain(event) for event in seen]
    for number, (left, right) in enumerate(zip(wanted, got, strict=False), 1):
        if left != right:
            return f"event {number} is not what it must be\nexpected {json.dumps(left)}\ngot      {json.dumps(right)}"
    if len(wanted) != len(got):
        return f"{len(got)} events came, {len(wanted)} were expected"
    return None


def _plain(event: Event) -> dict[str, Any]:
    from pipeline.model.codec import event_json

    fields: dict[str, Any] = json.loads(event_json(event))
    del fields["meta"]["occurred_at"]
    return fields


def _save(path: str | None, lines: list[bytes]) -> None:
    if path is None:
        return
    try:
        with open(path, "wb") as file:
            file.writelines(lines)
    except OSError as error:
        raise DemoError(f"{path}: {error.strerror}") from None


def _summary(performance: Performance, worker: Worker, seconds: float) -> None:
    counts = Counter(event.EVENT for event in performance.seen)
    typer.echo(
        f"\n{len(performance.seen)} events of {len(counts)} kinds from {len(performance.sent)} signals, "
        f"sequence 1 to {performance.seen[-1].meta.sequence} without a gap, in {seconds:.0f} s;"
    )
    typer.echo("an offline replay of the same signals gives the same events.\n")
    for name, number in sorted(counts.items()):
        typer.echo(f"  {number:>2}  {typer.style(name, fg=colour(name))}")
    for title, metric in (("rejected", "pipeline_rejected_total"), ("no-ops", "pipeline_no_ops_total")):
        reasons = worker.counted(metric)
        typer.echo(f"  {title}: " + ", ".join(f"{reason} {number}" for reason, number in reasons.items()))


# --- the worker ----------------------------------------------------------------------------------------------


class Worker:
    """A worker as a child process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=8)
        self._port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last.append(line.rstrip("\n"))
            if not self._port and line.startswith("{"):
                self._port = json.loads(line).get("http_port", 0)

    async def ready(self) -> None:
        """Return when it takes signals. Raises DemoError when it ends or takes too long."""
        limit = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(self._answers):
            self.check()
            if time.monotonic() > limit:
                raise DemoError(f"the worker is not ready after {READY_SECONDS:g} s\n{self.words()}")
            await asyncio.sleep(0.05)

    def _answers(self) -> bool:
        return bool(self._port and self._get("/readyz"))

    def check(self) -> None:
        """Raises DemoError when it has ended."""
        if self._process.poll() is not None:
            self._reader.join(1)
            raise DemoError(f"the worker ended with exit code {self._process.returncode}\n{self.words()}")

    def words(self) -> str:
        """The last lines of its log."""
        return "\n".join(("its worker's last words:", *self._last))

    def counted(self, metric: str) -> dict[str, int]:
        """What a counter of its metrics says, by its label, without what is 0."""
        found = {}
        for line in self._get("/metrics").splitlines():
            if line.startswith(metric + "{"):
                label, _, number = line.rpartition(" ")
                if float(number):
                    found[label.split('"')[1]] = int(float(number))
        return found

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through HTTP_PROXY
        try:
            with opener.open(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1)


@contextlib.contextmanager
def _worker(found: Settings) -> Iterator[Worker]:
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": found.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": found.registry_url,
        "PIPELINE_TOPIC_PREFIX": found.topic_prefix,
        "PIPELINE_GROUP_ID": found.group_id,
        "PIPELINE_PARTITIONS": str(found.partitions),
        "PIPELINE_HTTP_PORT": "0",
        "PIPELINE_HTTP_HOST": "127.0.0.1",
        "PIPELINE_LOG_FORMAT": "json",
        "PIPELINE_LOG_LEVEL": "info",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "worker"],
        env={**kept, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal is ours to pass on
    )
    worker = Worker(process)
    try:
        yield worker
    finally:
        worker.stop()
