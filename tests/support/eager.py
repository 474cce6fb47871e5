"""Workers that check Kafka, their topics' settings and the signals' times after half a second."""

from __future__ import annotations

import atexit
import contextlib
import functools
from collections.abc import Iterator

from testkit.fork_server import ForkServer
from testkit.pipe import Pipe, WorkerProcess


def check_often() -> None:
    """Shorten the intervals; the fork server calls this."""
    from pipeline.worker import kafka_watch, topic_watch

    for name in ("CHECK_SECONDS", "MIN_SECONDS", "SETTINGS_SECONDS"):
        setattr(topic_watch, name, 0.5)
    for name, seconds in {"CHECK": 0.5, "LOG": 3, "LOST": 4}.items():
        setattr(kafka_watch, f"{name}_SECONDS", seconds)


@functools.cache
def _server() -> ForkServer:
    server = ForkServer(f"{__name__}:check_often")
    atexit.register(server.stop)
    return server


@contextlib.contextmanager
def eager_worker(pipe: Pipe) -> Iterator[WorkerProcess]:
    """Run such a worker, ready for signals, and stop it at the end."""
    process = WorkerProcess(_server().spawn(pipe.env))
    try:
        process.until_ready()
        yield process
    finally:
        process.end()
