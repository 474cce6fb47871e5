"""Watches the topics while a worker runs: whether they exist, are the same, and have the partitions and settings.

A broker that has just started may not know a topic yet, or may know an older one. So the process ends only when all
brokers that answer have described the topics in the same way for some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from aiokafka import errors as Errors

from pipeline import topics
from pipeline.admin import topic_shape
from pipeline.admin.replicas import START, minimums, unwritable
from pipeline.admin.setup import check_topics
from pipeline.admin.signal_loss import recreated
from pipeline.admin.topic_policy import FAR_AHEAD
from pipeline.core.merge import Input
from pipeline.errors import ConfigError, FatalError, LossError, PipelineError
from pipeline.kafka.admin import TopicMetadata, admin_client
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.metrics import Metrics
from pipeline.settings import Settings
from pipeline.worker.broker_clock import BrokerClock

CHECK_SECONDS: Final = 30.0
"""Seconds between two checks (contract §6.6). Refreshed metadata of a Kafka client cause one at once."""
MIN_SECONDS: Final = 2.0
"""The same at least: a client refreshes its metadata many times a second while it misses a topic."""
SETTINGS_SECONDS: Final = 300.0
"""Seconds between two checks of the topics' settings."""
ROUND_SECONDS: Final = 1.0
SAME_ROUNDS: Final = 5
"""Rounds in which all brokers must give the same answer."""
MAX_ROUNDS: Final = 30
Described = Mapping[str, TopicMetadata]
log = structlog.get_logger("topics")


class TopicWatch:
    """The topics as this worker found them first, and whether they have changed since."""

    def __init__(self, settings: Settings, offsets: LogOffsets, metrics: Metrics) -> None:
        self._settings, self._offsets, self._metrics = settings, offsets, metrics
        self._names = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS]
        self._signals = [topic.full_name(settings.topic_prefix) for topic in topics.SIGNAL_TOPICS]
        self.table: Final = topics.ROOMS.full_name(settings.topic_prefix)
        self.ids: dict[str, str] = {}
        """The id of each topic when it was described first; "" where the broker has none."""
        self.doubt = ""
        """What is wrong with the topics as far as one broker knows, while the others are asked; else ""."""
        self.unwritable = ""
        """Why no output can be written: too few in-sync replicas; else ""."""
        self._least: dict[str, int] = {}
        self._due = asyncio.Event()
        self._deviations: set[str] = set()
        self._ahead: set[bytes] = set()
        self._undated: dict[bytes, int] = {}

    def look_soon(self) -> None:
        """Check soon: a Kafka client has refreshed its metadata."""
        self._due.set()

    async def run(self, inputs: Callable[[], Iterable[Input]], clock: BrokerClock) -> None:
        """Check the topics and the times of the signals until cancelled. Raises FatalError."""
        settings_due = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), CHECK_SECONDS)
            self._due.clear()
            try:
                await self.check()
                if time.monotonic() > settings_due:
                    await self._check_settings()
                    settings_due = time.monotonic() + SETTINGS_SECONDS
            except Errors.KafkaError as error:  # Kafka is away: the next check repeats it
                log.debug("could not describe the topics", error=str(error))
            self._report_times(inputs(), clock)
            await asyncio.sleep(MIN_SECONDS)

    # --- existence, identity, partitions -----------------------------------------------------------------------

    async def check(self) -> None:
        """Compare the topics with those of before. Raises ConfigError, LossError, KafkaError."""
        try:
            found = await self._first() if not self.ids else await self._offsets.describe(self._names)
            if self._fault(found) is not None:
                self.doubt = str(self._fault(found))
                log.warning("check all brokers", found=self.doubt)
                found = await self._agreed()
            if (fault := self._fault(found)) is not None:
                raise await self._with_records(fault, found)
        finally:
            self.doubt = ""
        self._note(found)
        self._check_replicas(found)

    async def _first(self) -> Described:
        """Describe the topics before there is anything to compare with."""
        answers = await self._offsets.describe_by_all(self._names)
        shapes = [_shape(answer) for answer in answers]
        return answers[0] if answers and shapes == shapes[:1] * len(shapes) else await self._agreed()

    async def _agreed(self) -> Described:
        """Return what all brokers that answer have agreed on for SAME_ROUNDS rounds. Raises KafkaError."""
        rounds, before = 0, None
        for _ in range(MAX_ROUNDS):
            answers = await self._offsets.describe_by_all(self._names)
            shapes = [_shape(answer) for answer in answers]
            agree = bool(shapes) and shapes == shapes[:1] * len(shapes)
            rounds = rounds + 1 if agree and shapes[0] == before else int(agree)
            if rounds >= SAME_ROUNDS:
                return answers[0]
            before = shapes[0] if agree else None
            await asyncio.sleep(ROUND_SECONDS)
        raise Errors.KafkaTimeoutError("the brokers describe the topics in different ways")

    def _fault(self, found: Described) -> FatalError | None:
        """Return what ends this worker, if anything."""
        if gone := topic_shape.missing(found):
            does_not = topic_shape.subject(gone, "does", "do")
            return ConfigError(
                f'{does_not} not exist any more: stop all workers, and {topic_shape.RUNBOOK}, "A topic was deleted"'
            )
        if wrong := topic_shape.other_partitions(found, self._settings.partitions):
            text = ", ".join(f"{name} has {count}" for name, count in wrong.items())
            return ConfigError(f"{text} partitions, expected {self._settings.partitions}")
        changed = self._changed(found)
        if self.table in changed:
            return ConfigError(
                f"{self.table} was deleted and created again while this worker ran, so the table has lost its rows: "
                f'stop all workers, and {topic_shape.RUNBOOK}, "The table is lost"'
            )
        for name in self._signals:
            if name in changed:
                return LossError(
                    f"{recreated(name, self.ids[name], found[name].topic_id)}: "
                    "to continue at its beginning: worker --accept-loss"
                )
        return None

    def _changed(self, found: Described) -> list[str]:
        return [
            name
            for name, topic in found.items()
            if topic.topic_id and self.ids.get(name) and topic.topic_id != self.ids[name]
        ]

    async def _with_records(self, fault: FatalError, found: Described) -> FatalError:
        """Return the fault; of a wrong number of partitions, with the records that no worker reads."""
        if topic_shape.missing(found):
            return fault
        lines = await topic_shape.partition_faults(found, self._settings)
        return ConfigError("; ".join(lines)) if lines else fault

    def _note(self, found: Described) -> None:
        """Remember the ids; report output topics that were created again, whose records are gone."""
        for name in self._changed(found):
            log.warning("a topic was deleted and created again: what was in it is gone", topic=name)
        self.ids.update(
            {name: topic.topic_id for name, topic in found.items() if topic.topic_id or name not in self.ids}
        )

    def _check_replicas(self, found: Described) -> None:
        """Report when units cannot be written, and when they can again."""
        outputs = {name: number for name, number in self._least.items() if name not in self._signals}
        texts = unwritable(found, outputs)
        text = f"Kafka accepts no output: {'; '.join(texts)}: {START}" if texts else ""
        if text and text != self.unwritable:
            log.warning(text)
        elif self.unwritable and not text:
            log.info("Kafka accepts output again")
        self.unwritable = text

    # --- settings, times ---------------------------------------------------------------------------------------

    async def _check_settings(self) -> None:
        """Report settings that break a promise, once each: they were changed since the worker started."""
        try:
            async with admin_client(self._settings) as admin:
                found = set(await check_topics(admin, self._settings, lambda _: None))
                self._least = await minimums(admin, self._names)
        except PipelineError as error:
            log.warning("could not check the topics' settings", error=str(error))
            return
        for line in sorted(found - self._deviations):
            log.warning(line)
        for line in sorted(self._deviations - found):
            log.info("a topic's setting is as expected again", before=line)
        self._deviations = found
        self._metrics.topic_deviations.set(len(found))

    def _report_times(self, inputs: Iterable[Input], clock: BrokerClock) -> None:
        """Report signals whose time is far ahead of the broker's clock, once per input, and those that have no append
        time (contract §4)."""
        for source in inputs:
            known = self._undated.get(source.name_prefix, 0)
            self._undated[source.name_prefix] = source.undated
            if source.undated > known:
                log.warning(
                    "signals without an append time got the time of the signal before them: check the topic's "
                    "message.timestamp.type",
                    topic=source.topic,
                    partition=source.partition,
                    signals=source.undated - known,
                )
                self._metrics.undated.inc(source.undated - known)
            ahead = seconds_ahead(source, clock)
            if ahead < FAR_AHEAD:
                self._ahead.discard(source.name_prefix)
            elif source.name_prefix not in self._ahead:
                self._ahead.add(source.name_prefix)
                log.warning(
                    "a signal's append time is far ahead of the broker's clock: until then no watchdog of this "
                    "partition fires; see docs/howto/runbook.md, ConferencePipelineTimeAhead",
                    topic=source.topic,
                    partition=source.partition,
                    seconds=round(ahead),
                )


def seconds_ahead(source: Input, clock: BrokerClock) -> float:
    """Return how far the time of an input is ahead of the broker's clock, or of this machine's while that is unknown.

    This machine's clock may be wrong. Nothing but a report depends on it.
    """
    now = clock.now()
    return source.time / 1e6 - (time.time() if now is None else now / 1e6)


def _shape(found: Described) -> list[tuple[object, ...]]:
    """Return what brokers must agree on."""
    return [(name, topic.error, topic.partitions, topic.topic_id) for name, topic in found.items()]
