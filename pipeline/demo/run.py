"""Runs the demo: sends the scenario's signals through a worker and compares the events with an offline run."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import typer

from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.demo.arrivals import Arrivals
from pipeline.demo.command_process import CommandProcess, DemoError, running
from pipeline.demo.scenario import Step, steps
from pipeline.demo.screen import Screen
from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import event_json, signal_json
from pipeline.model.events import Event
from pipeline.settings import Settings
from pipeline.terminal import event_colour


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
    with running(settings, "the worker", "worker") as worker:
        demo = DemoRun(settings, screen, worker)
        asyncio.run(demo.play(planned))
        _save(save, demo.sent)
        if difference := _difference(planned, demo.seen):
            raise DemoError(f"{difference}\n{worker.log_tail()}")
        if not screen.as_json:
            _summarise(demo, worker, time.monotonic() - began)


class DemoRun:
    """One run: `sent` has the signals as JSON lines."""

    def __init__(self, settings: Settings, screen: Screen, worker: CommandProcess) -> None:
        self._settings, self._screen, self._worker = settings, screen, worker
        self._arrivals = Arrivals(screen, [worker])
        self.sent: list[bytes] = []

    @property
    def seen(self) -> list[Event]:
        """The events in the order of their arrival."""
        return self._arrivals.seen

    async def play(self, planned: list[PlannedStep]) -> None:
        """Send the signals and show the events."""
        await self._worker.ready()
        async with (
            EventReader(self._settings, self._screen.progress) as reader,
            SignalProducer(self._settings, keep_order=False, linger_ms=0) as producer,
            self._arrivals.listening(reader),
        ):
            last = time.monotonic()
            for one in planned:
                last = await self._play_step(one, producer, last)
            await self._arrivals.settle()

    async def _play_step(self, planned: PlannedStep, producer: SignalProducer, last: float) -> float:
        """Send one signal `delay` seconds after `last` and show its events; return the time of its acknowledgement."""
        step = planned.step
        if planned.timeouts:
            self._screen.comment("… no more reports from the engine: wait for the watchdog, 10 s after the play")
            await self._arrivals.show(len(planned.timeouts), step.delay)
        await asyncio.sleep(last + step.delay - time.monotonic())
        self._screen.comment(step.title)
        signal = msgspec.structs.replace(step.signal, occurred_at=time.time_ns() // 1000)
        self.sent.append(signal_json(signal))
        await (await producer.send(signal, self.sent[-1]))
        last = time.monotonic()
        await self._arrivals.show(len(planned.events))
        if not planned.events:
            self._screen.comment(f"    → {planned.no_event}")
        return last


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


def _summarise(demo: DemoRun, worker: CommandProcess, seconds: float) -> None:
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
