"""All metrics of a gateway. Labels have a fixed set of values, never ids."""

from __future__ import annotations

import platform
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from pipeline.metrics import Durations, package_version


class GatewayMetrics:
    """The metrics of one gateway, in their own registry. All names begin with `gateway_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="gateway", registry=registry)
        gauge = partial(Gauge, namespace="gateway", registry=registry)
        self.requests = counter("requests_total", "Requests answered, by endpoint and status.", ["endpoint", "status"])
        self.seconds = Durations(
            "gateway_request_seconds", "Seconds from a request to its answer, without event streams.", registry
        )
        self.signals = counter("signals_total", "Signals handed to Kafka's client, by type.", ["type"])
        self.pending = gauge("pending_operations", "Requests whose outcome is not known yet.")
        self.streams = gauge("streams", "Event streams that are open.")
        self.delivered = counter("stream_events_total", "Events written to event streams.")
        self.slow = counter("slow_streams_total", "Event streams ended because their client read too slowly.")
        self.stale = gauge("view_stale", "1 while the rooms view is not current, so that requests get 503.")
        self.rooms = gauge("rooms", "Rooms in the view.")
        self.nodes = gauge("nodes", "Engine nodes that their bridges have announced within the last 30 s.")
        self.lost_nodes = gauge("lost_nodes", "Engine nodes that were announced and are not any more.")
        self.apps_broken = gauge("apps_file_broken", "1 while the apps file is broken and the last good one is used.")
        self.build = gauge(
            "build_info", "Always 1; the labels have the versions of the package and of Python.", ["version", "python"]
        )
        self.build.labels(package_version(), platform.python_version()).set(1)
        ProcessCollector(namespace="gateway", registry=registry)
