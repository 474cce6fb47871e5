"""All metrics of a worker. Labels have a fixed set of values, never ids (contract §4, §5)."""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pipeline.core.decision import NoOp, Rejection
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS

_LATENCY: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def package_version() -> str:
    """Return the version of the installed distribution, `unknown` in a checkout."""
    try:
        return version("conference-pipeline")
    except PackageNotFoundError:
        return "unknown"


class Durations(Collector):
    """A histogram of seconds. It adds many equal observations in one call; the library's takes two locks for each."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._counts = [0] * (len(_LATENCY) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Add `times` observations of `seconds`."""
        self._counts[bisect_left(_LATENCY, seconds)] += times
        self._sum += seconds * times

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Yield the metric without values (called by the registry)."""
        yield HistogramMetricFamily(self._name, self._text)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Yield the metric with its values (called by the registry)."""
        bounds = [*map(floatToGoString, (*_LATENCY, float("inf")))]
        buckets = [*zip(bounds, accumulate(self._counts), strict=True)]
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class Metrics:
    """The metrics of one worker, in their own registry. All names begin with `pipeline_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        counter = partial(Counter, namespace="pipeline", registry=registry)
        gauge = partial(Gauge, namespace="pipeline", registry=registry)
        self.signals = counter("signals_total", "Signals read, by type.", ["type"])
        self.events = counter("events_total", "Events published, by type.", ["type"])
        self.rejected = counter(
            "rejected_total", "Signals that the state of their room does not allow, by reason.", ["reason"]
        )
        self.no_ops = counter("no_ops_total", "Valid signals that caused no event, by reason.", ["reason"])
        self.dead = counter(
            "dead_letters_total", "Records that are not valid signals (dead letters), by topic.", ["topic"]
        )
        self.damaged = counter(
            "damaged_batches_total",
            "Fetched batches of signals with a wrong checksum, by topic; each is fetched again.",
            ["topic"],
        )
        self.timeouts = counter("watchdog_fired_total", "Playbacks ended by the watchdog.")
        self.wrong_partition = counter(
            "wrong_partition_total", "Records on another partition than murmur2 of their room id gives."
        )
        self.armed = gauge("watchdog_armed", "Playbacks with a running watchdog.")
        self.rooms = gauge("rooms", "Rooms in this worker's partitions.")
        self.members = gauge("members", "Members in these rooms.")
        self.partitions = gauge(
            "partitions", "Partition numbers assigned to this worker; each is one partition of both signal topics."
        )
        self.lag = gauge("lag_records", "Backlog in records: appended and not yet applied.", ["topic", "partition"])
        self.lag_seconds = gauge(
            "lag_seconds", "Seconds that the oldest signal has waited that is not applied yet.", ["topic", "partition"]
        )
        self.latency = Durations(
            "pipeline_latency_seconds",
            "Seconds from the append of a signal to the commit of its events, by the broker's clock.",
            registry,
        )
        self.units = Durations(
            "pipeline_unit_seconds",
            "Seconds to decide, write and commit a unit of work; the count is the number of units.",
            registry,
        )
        self.unit_signals = counter("unit_signals_total", "Signals in committed units of work.")
        self.barrier_waits = counter("barrier_waits_total", "Times a signal waited for an earlier deadline.")
        self.barrier_questions = gauge(
            "barrier_questions", "Log end offsets requested for the barrier since the start."
        )
        self.foreign_open = gauge(
            "open_foreign_transactions", "Input partitions whose records are hidden by a producer's open transaction."
        )
        self.fenced_owners = gauge(
            "fenced_owners", "Dead workers whose open transaction this worker aborted, since the start."
        )
        self.renewed = gauge(
            "producers_renewed",
            "Times a transactional request got no answer and the producer's epoch was raised, since the start.",
        )
        self.undated = counter(
            "undated_signals_total", "Signals without an append time; each got the time of the one before it."
        )
        self.time_ahead = gauge(
            "time_ahead_seconds",
            "How far the latest time of a signal is ahead of the broker's clock, at most; 0 if none is.",
        )
        self.topic_deviations = gauge(
            "topic_deviations", "Settings of the topics that break a promise and were changed after the start."
        )
        self.kafka_silent = gauge(
            "kafka_silent_seconds",
            "Seconds since Kafka last answered for this worker's partitions; it is asked every 5 s.",
        )
        self.recovery = gauge("recovery_seconds", "Seconds that the last load of assigned partitions took.")
        self.build = gauge(
            "build_info", "Always 1; the labels have the versions of the package and of Python.", ["version", "python"]
        )
        self.build.labels(package_version(), platform.python_version()).set(1)
        # An alert needs a series before its first increment.
        for metric, values in (
            (self.signals, [signal.TYPE for signal in SIGNALS]),
            (self.events, [event.EVENT for event in EVENTS]),
            (self.rejected, get_args(Rejection)),
            (self.no_ops, get_args(NoOp)),
        ):
            for value in values:
                metric.labels(value)
        # Start time, CPU, memory, open files. Alerts detect restarts by the start time.
        ProcessCollector(namespace="pipeline", registry=registry)
