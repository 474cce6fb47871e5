"""Runs the demo: sends the scenario's signals through a worker and compares the events with an offline run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import typer

from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.demo.scenario import Step, steps
from pipeline.demo.worker_process import DemoError, WorkerProcess, running_worker
from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import event_json, signal_json
from pipeline.model.events import Event
from pipeline.settings import Settings
from pipeline.terminal import event_colour, printable

LATE_SECONDS: Final = 20.0  # wait for an event before the demo fails
SETTLE_SECONDS: Final = 0.5  # wait at the end for events that must not come


class PlannedStep(NamedTuple):
    """A step with its outcome, as an offline run of the rules gives it."""

    step: Step
    timeouts: tuple[Event, ...]  # events of the watchdog before the step
    events: tuple[Event, ...]
    no_event: str  # why the signal causes no event; not used when there are `events`


def plan(speed: float, room_id: str) -> list[PlannedStep]:
    """Return the recorded conference with the expected outcome of each step."""
    partition, planned = Partition(Rules()), []
    for step in steps(room_id=room_id, speed=speed):
        now = step.signal.occurred_at
        timeouts = tuple(event for due in partition.due(now) for event in partition.expire(due).events)
        decision = partition.apply(step.signal, now)
        no_event = f"rejected: {decision.rejected}" if decision.rejected else f"no event: {decision.no_op}"
        planned.append(PlannedStep(step, timeouts, decision.events, no_event))
    return planned


def run(settings: Settings, screen: Screen, speed: float, save: str | None) -> None:
    """Start a worker, send every signal, show every event and compare them with the plan.

    `save` is a file for the signals as JSON lines. Raises DemoError, KafkaError, ConfigError.
    """
    began = time.monotonic()
    planned = plan(speed, settings.topic_prefix)
    screen.progress("starting a worker")
    with running_worker(settings) as worker:
        demo = DemoRun(settings, screen, worker)
        asyncio.run(demo.play(planned))
        _save(save, demo.sent)
        if difference := _difference(planned, demo.seen):
            raise DemoError(f"{difference}\n{worker.log_tail()}")
        if not screen.as_json:
            _summarise(demo, worker, time.monotonic() - began)


class DemoRun:
    """One run: `sent` has the signals as JSON lines, `seen` the events in the order of their arrival."""

    def __init__(self, settings: Settings, screen: Screen, worker: WorkerProcess) -> None:
        self._settings, self._screen, self._worker = settings, screen, worker
        self._arrived: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.seen: list[Event] = []

    async def play(self, planned: list[PlannedStep]) -> None:
        """Send the signals and show the events."""
        await self._worker.ready()
        async with (
            EventReader(self._settings, self._screen.progress) as reader,
            SignalProducer(self._settings, keep_order=False, linger_ms=0) as producer,
        ):
            listening = asyncio.create_task(self._listen(reader))
            try:
                last = time.monotonic()
                for one in planned:
                    last = await self._play_step(one, producer, last)
                await asyncio.sleep(SETTLE_SECONDS)
                while not self._arrived.empty():
                    await self._show(1)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _play_step(self, planned: PlannedStep, producer: SignalProducer, last: float) -> float:
        """Send one signal `delay` seconds after `last` and show its events; return the time of its acknowledgement."""
        step = planned.step
        if planned.timeouts:
            self._screen.comment("… no more reports from the engine: wait for the watchdog, 10 s after the play")
            await self._show(len(planned.timeouts), step.delay)
        await asyncio.sleep(last + step.delay - time.monotonic())
        self._screen.comment(step.title)
        signal = msgspec.structs.replace(step.signal, occurred_at=time.time_ns() // 1000)
        self.sent.append(signal_json(signal))
        await (await producer.send(signal, self.sent[-1]))
        last = time.monotonic()
        await self._show(len(planned.events))
        if not planned.events:
            self._screen.comment(f"    → {planned.no_event}")
        return last

    async def _listen(self, reader: EventReader) -> None:
        try:
            async for event, _ in reader:
                self._arrived.put_nowait(event)
        except Exception as error:  # raised by _show
            self._arrived.put_nowait(error)

    async def _show(self, number: int, delay: float = 0.0) -> None:
        """Show the next `number` events. Raises DemoError after `delay` + `LATE_SECONDS`."""
        limit = time.monotonic() + delay + LATE_SECONDS
        for _ in range(number):
            while True:
                with contextlib.suppress(TimeoutError):
                    arrived = await asyncio.wait_for(self._arrived.get(), 0.25)
                    break
                self._worker.check()
                if time.monotonic() > limit:
                    raise DemoError(f"no event within {LATE_SECONDS:g} s\n{self._worker.log_tail()}")
            if isinstance(arrived, BaseException):
                raise arrived
            self.seen.append(arrived)
            self._screen.event(arrived)


def _difference(planned: list[PlannedStep], seen: list[Event]) -> str | None:
    """Return the first difference from the planned events, apart from times; None if there is none."""
    expected = [_without_time(event) for one in planned for event in (*one.timeouts, *one.events)]
    got = [_without_time(event) for event in seen]
    for number, (left, right) in enumerate(zip(expected, got, strict=False), 1):
        if left != right:
            return f"event {number} differs\nexpected {json.dumps(left)}\ngot      {json.dumps(right)}"
    return None if len(expected) == len(got) else f"got {len(got)} events, expected {len(expected)}"


def _without_time(event: Event) -> dict[str, Any]:
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


def _summarise(demo: DemoRun, worker: WorkerProcess, seconds: float) -> None:
    """Print the number of events by name, and the numbers of rejected signals and no-ops by reason."""
    counts = Counter(event.EVENT for event in demo.seen)
    typer.echo(
        f"\n{len(demo.seen)} events of {len(counts)} kinds from {len(demo.sent)} signals, "
        f"sequence 1 to {demo.seen[-1].meta.sequence} without a gap, in {seconds:.0f} s.\n"
        "An offline replay of the same signals gives the same events.\n"
    )
    for name, number in sorted(counts.items()):
        typer.echo(f"  {number:>2}  {typer.style(name, fg=event_colour(name))}")
    for title, metric in (("rejected", "pipeline_rejected_total"), ("no-ops", "pipeline_no_ops_total")):
        typer.echo(f"  {title}: " + ", ".join(f"{reason} {count}" for reason, count in worker.counter(metric).items()))


class Screen:
    """Prints events and comments for people; with `as_json`, events as JSON lines and no comments."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def progress(self, text: str) -> None:
        """Print a line about the run itself on standard error."""
        typer.secho(printable(text), err=True, dim=True)

    def comment(self, text: str) -> None:
        """Print a line about the conference."""
        if not self.as_json:
            typer.secho(f"# {printable(text)}", dim=True)
            sys.stdout.flush()

    def event(self, event: Event) -> None:
        """Print one event: time, sequence number, name, fields."""
        if self.as_json:
            text = event_json(event).decode()
            sys.stdout.write(printable(text, lines=True) if sys.stdout.isatty() else text)
        else:
            meta = event.meta
            at = datetime.fromtimestamp(meta.occurred_at / 1e6).strftime("%H:%M:%S.%f")[:-3]
            name = typer.style(f"{event.EVENT:<30}", fg=event_colour(event.EVENT), bold=True)
            inferred = typer.style("  (inferred, not reported)", dim=True) if meta.synthetic else ""
            typer.echo(f"{at}  {meta.sequence:>3}  {name} {printable(_fields(event))}{inferred}")
        sys.stdout.flush()


def _fields(event: Event) -> str:
    fields = msgspec.structs.asdict(event)
    shown = {key: value for key, value in fields.items() if key not in ("room_id", "meta", "session_uuid")}
    return "  ".join(f"{key}={' '.join(value) if isinstance(value, tuple) else value}" for key, value in shown.items())
