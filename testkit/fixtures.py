"""Fixtures for tests on a real Kafka and a real registry. Mark such tests with `@pytest.mark.broker`.

    servers    session: `.bootstrap_servers`, `.registry_url`, `.origin`, `.stack` (None unless it is a local one).
               Taken from the environment, else Docker, else the local stack; fails, with the reasons, if none can
               be had. What was taken is said at the end of the run.
    pipe       per test: topics under a fresh prefix (4 partitions each), schemas registered, a fresh group id.

    async def test_x(pipe: Pipe) -> None:
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="2") as worker:    # a process that is ready; stopped at the end
            await pipe.send(ConferenceCreate("s-1", "room", 0, "app", "name"), ...)   # JSON, murmur2, in order
            events = await pipe.until_events(3)        # committed events as dicts, as the command line prints them
            rejected = await pipe.records("signals.rejected")                         # ConsumerRecords
            worker.pid, worker.port, worker.lines, worker.log, worker.until_log("text"), worker.get("/livez")
            worker.metric("name"), worker.signal(SIGSTOP), worker.kill(), worker.stop() -> exit code, worker.wait()
    pipe.settings, pipe.env, pipe.prefix, pipe.topic("events"), pipe.partition("room")

`Pipe(servers, partitions=1)` and `await pipe.set_up()` make another one by hand.

`make test` runs `-n auto --dist loadfile`: a few processes, each with servers of its own, take one file after another.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pipeline.devstack import fetch, terminal_progress
from pipeline.errors import ConfigError
from pipeline.settings import Settings, load
from testkit.pipe import Pipe
from testkit.servers import BROKER, NoServersError, Servers, sweep
from testkit.servers import servers as find_servers

PROCESSES = 3
"""Tests with a broker wait most of the time: one more than the cores of the smallest machine."""
FIRST = (
    "chaos", "security", "doctor", "checker", "takeover", "demo", "image", "hanging_transactions", "stack",
    "operations", "watchdog", "setup", "commands", "interop", "worker", "doctor_secured", "schema_registry",
    "writers_schemas", "topic_policy", "fetch", "exits", "loss", "trace_context", "bad_input", "room_rules", "fuzz",
    "hostile",
)  # fmt: skip
"""Files in the order in which they are begun, by how long they take; then come all others. A process gets its next file
while it does the last two tests of one, so what waits behind the two of test_chaos.py has to be short."""
_USED: list[str] = []


@pytest.fixture
def settings() -> Settings:
    """Of servers that are not there."""
    return load(bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", group_id="g")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real broker and a real registry, see the module."""
    finder = find_servers()
    try:
        found = finder.__enter__()
    except NoServersError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        _USED.append(f"{found.origin} (Kafka {found.bootstrap_servers}, registry {found.registry_url})")
        yield found
    finally:
        finder.__exit__(None, None, None)


@pytest.fixture
async def pipe(servers: Servers) -> AsyncIterator[Pipe]:
    """Topics, schemas and group of this test alone, see the module."""
    made = Pipe(servers)
    await made.set_up()
    yield made
    if servers.lasting:
        await made.remove_topics()


# --- several processes (pytest-xdist) ------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` is. On servers that are named, the tests run alone: some look at all that a server has."""
    return 0 if os.environ.get(BROKER, "").strip() else PROCESSES


def _controls(config: pytest.Config) -> bool:
    """Whether this process hands the tests out to others."""
    return bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")


def pytest_configure() -> None:
    """A run in the background of a script ignores Ctrl-C, and so would the commands that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """What the servers are made of is downloaded once, in sight, before the processes begin. Without it they try again
    themselves, and each test that needs it fails with the reason."""
    if not _controls(session.config):
        return
    with terminal_progress() as progress:
        try:
            fetch.kafka_jars(progress, threading.Event())
            fetch.registry_app(progress, threading.Event())
        except ConfigError as error:
            progress.say(str(error))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, so that the processes end at about the same time."""
    if hasattr(config, "workerinput"):
        order = {f"test_{name}.py": number for number, name in enumerate(FIRST)}
        items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = _USED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _USED.extend(getattr(node, "workeroutput", {}).get("servers", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """After Ctrl-C the processes have ten seconds; what they did not take down then, we do."""
    if _controls(config):
        sweep()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"servers: {used}")
