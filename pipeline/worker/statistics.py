"""What a worker reports in its metrics (pipeline/metrics.py)."""

from __future__ import annotations

import time

from pipeline.core.merge import Input
from pipeline.metrics import Metrics
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.task import PartitionTask
from pipeline.worker.unit import Unit


def count_unit(metrics: Metrics, unit: Unit, broker_time: int | None) -> None:
    """Count a committed unit. `broker_time` is in microseconds; None while it is unknown."""
    families = {
        "signals": metrics.signals,
        "events": metrics.events,
        "rejected": metrics.rejected,
        "no_ops": metrics.no_ops,
        "dead": metrics.dead,
    }
    timeouts = unit.counts["timeouts"].total()
    metrics.timeouts.inc(timeouts)
    for family, metric in families.items():
        for label, number in unit.counts[family].items():
            metric.labels(label).inc(number)
    metrics.units.observe(time.monotonic() - unit.began)
    metrics.unit_signals.inc(unit.signals - timeouts)
    if broker_time is not None:
        for appended, times in unit.event_times.items():
            metrics.latency.observe(max(0, broker_time - appended) / 1e6, times)


class Gauges:
    """The gauges that describe tasks. They are set before a scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._behind: dict[bytes, tuple[int, float]] = {}
        """The position of each input whose waiting signals are not fetched, and since when it has not moved."""

    def update(self, tasks: list[PartitionTask], clock: BrokerClock) -> None:
        """Set the gauges to their current values."""
        metrics, partitions = self._metrics, [task.partition for task in tasks]
        metrics.partitions.set(len(tasks))
        metrics.rooms.set(sum(len(partition.rooms) for partition in partitions))
        metrics.members.set(sum(len(m) for partition in partitions for m in partition.members.values()))
        metrics.armed.set(sum(partition.armed for partition in partitions))
        metrics.lag.clear()
        metrics.lag_seconds.clear()
        self._behind, known = {}, self._behind
        invisible = 0
        for source in (source for task in tasks for source in task.merge.inputs):
            end = max(source.end or 0, source.probe[1] if source.probe else 0)
            # From the position, not from the offset: transaction markers need not be applied.
            unfetched = max(0, end - source.position)
            labels = source.topic, str(source.partition)
            metrics.lag.labels(*labels).set(unfetched + source.queued)
            if unfetched and not source.queue:
                position, since = known.get(source.name_prefix, (-1, 0.0))
                unmoved = position == source.position
                self._behind[source.name_prefix] = source.position, since if unmoved else time.monotonic()
            metrics.lag_seconds.labels(*labels).set(self._waited(source, clock))
            if source.probe is not None and source.caught_up and source.position < source.probe[1]:
                invisible += 1
        metrics.foreign_open.set(invisible)

    def _waited(self, source: Input, clock: BrokerClock) -> float:
        """Return the seconds that the oldest signal of an input has waited.

        The append time of one that is not fetched is unknown: then since it was seen that the input does not move.
        """
        if source.queue:
            now = clock.now()
            return max(0.0, (time.time() if now is None else now / 1e6) - source.head_time / 1e6)
        behind = self._behind.get(source.name_prefix)
        return 0.0 if behind is None else time.monotonic() - behind[1]
