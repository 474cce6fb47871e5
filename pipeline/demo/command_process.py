"""Commands of the pipeline, run as child processes of the demo."""

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
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from pipeline.errors import PipelineError
from pipeline.settings import Settings

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 8.0  # between SIGTERM and SIGKILL
LOG_LINES: Final = 8


class DemoError(PipelineError):
    """The demo failed: a process ended, or the events differ from those expected."""


class CommandProcess:
    """A running command with probes, such as a worker. Its log on standard error also has its HTTP port."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self._process, self._name = process, name
        self._last: deque[str] = deque(maxlen=LOG_LINES)
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
        """Return when the process is ready. Raises DemoError when it ended, or after `READY_SECONDS`."""
        limit = time.monotonic() + READY_SECONDS
        while not self._port or not await asyncio.to_thread(self._get, "/readyz"):
            self.check()
            if time.monotonic() > limit:
                raise DemoError(f"{self._name} is not ready after {READY_SECONDS:g} s\n{self.log_tail()}")
            await asyncio.sleep(0.05)

    def check(self) -> None:
        """Raise DemoError if the process has ended."""
        if self._process.poll() is not None:
            self._reader.join(1)
            raise DemoError(f"{self._name} ended with exit code {self._process.returncode}\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines of the log, under a heading."""
        return "\n".join((f"last lines of {self._name}'s log:", *self._last))

    def counter(self, metric: str) -> dict[str, int]:
        """Return the values of a counter with one label by that label, without zeros."""
        families = text_string_to_metric_families(self._get("/metrics"))
        samples = [sample for family in families for sample in family.samples if sample.name == metric and sample.value]
        return {label: int(sample.value) for sample in samples for label in sample.labels.values()}

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through HTTP_PROXY
        try:
            with opener.open(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def stop(self) -> None:
        """Stop it with SIGTERM, after `STOP_SECONDS` with SIGKILL."""
        stop_command(self._process)
        self._reader.join(1)


def stop_command(process: subprocess.Popen[str]) -> None:
    """Stop a process with SIGTERM, after `STOP_SECONDS` with SIGKILL."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(settings: Settings, name: str, *command: str, **more: str) -> Iterator[CommandProcess]:
    """Start a command with probes as `start_command` does; stop it at the end. `name` is for messages."""
    ports = {"PIPELINE_HTTP_PORT": "0", "PIPELINE_HTTP_HOST": "127.0.0.1"}
    process = CommandProcess(start_command(settings, command, **ports, **more), name)
    try:
        yield process
    finally:
        process.stop()


def start_command(settings: Settings, command: Sequence[str], **more: str) -> subprocess.Popen[str]:
    """Start a command for the servers, prefix and group of `settings`, with these variables more.

    Ctrl-C at the terminal does not reach it: the demo stops it.
    """
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": settings.registry_url,
        "PIPELINE_TOPIC_PREFIX": settings.topic_prefix,
        "PIPELINE_GROUP_ID": settings.group_id,
        "PIPELINE_PARTITIONS": str(settings.partitions),
        "PIPELINE_LOG_FORMAT": "json",
        "PIPELINE_LOG_LEVEL": "info",
    }
    own = ("PIPELINE_", "CONSOLE_", "ENGINE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command],
        env={**inherited, **variables, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
