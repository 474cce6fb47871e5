"""Fixtures for tests with a real Kafka and schema registry. Mark such tests with `@pytest.mark.broker`.

    servers    per session: `.bootstrap_servers`, `.registry_url`, `.origin`, `.stack` (None unless local).
               From the environment, else Docker, else the local stack. Fails with the reasons if there are none.
               The end of the test run prints which were used.
    pipe       per test: topics under a fresh prefix (4 partitions each), registered schemas, a fresh group id.

    async def test_x(pipe: Pipe) -> None:
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="2") as worker:    # a ready process, stopped at the end
            await pipe.send(ConferenceCreate("s-1", "room", 0, "app", "name"), ...)   # JSON, murmur2, in order
            events = await pipe.until_events(3)        # committed events as dicts, as the command line prints them
            rejected = await pipe.records("signals.rejected")                         # ConsumerRecords
            worker.pid, worker.port, worker.lines, worker.log, worker.until_log("text"), worker.get("/livez")
            worker.metric("name"), worker.signal(SIGSTOP), worker.kill(), worker.stop() -> exit code, worker.wait()
    pipe.settings, pipe.env, pipe.prefix, pipe.topic("events"), pipe.partition("room")

`Pipe(servers, partitions=1)` and `await pipe.set_up()` create another pipe.

`make test` runs `-n auto --dist loadfile`: several processes run one file after another. They share one local stack:
the first process that needs it starts it, the one that distributes the tests stops it. So a test must not disturb the
servers, nor expect to be alone on them; such tests start their own.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pipeline.devstack import Stack, fetch, terminal_progress
from pipeline.errors import ConfigError
from pipeline.settings import Settings, load
from testkit.pipe import Pipe
from testkit.servers import BROKER, SHARED, NoServersError, Servers, own_stack, sweep
from testkit.servers import servers as find_servers

PROCESSES = 5
"""Tests with a broker mostly wait: three more than the cores of the smallest supported machine."""
FIRST = (
    "topic_watch", "hanging_transactions", "commands", "security", "demo", "doctor", "operations", "image", "rooms",
    "takeover", "kafka_away", "python", "view_faults", "rooms_view", "worker", "kafka_watch", "doctor_secured",
    "takeover_checks", "watchdog", "setup", "fuzz", "terminal", "oauth", "transaction_owners", "wire", "stack",
    "import", "process", "bugs", "broken_batches", "exits", "topic_policy", "recovery", "add_an_event", "doctor_topics",
    "doctor_letters", "fetch",
)  # fmt: skip
"""Test files (test_NAME.py) to start first, the longest first; then all others."""
_USED: list[str] = []


@pytest.fixture
def settings() -> Settings:
    """Settings with unreachable servers."""
    return load(bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", group_id="g")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real broker and schema registry, see the module."""
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
    """Topics, schemas and a group for one test, see the module."""
    made = Pipe(servers)
    await made.set_up()
    yield made
    await made.remove_topics()  # clients read the metadata of all topics when they connect


# --- several processes (pytest-xdist) ------------------------------------------------------------------------


# tryfirst: xdist registers after this plugin, and would be called before it.


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of `-n auto`: none with servers from the environment, since some tests list all topics."""
    return 0 if os.environ.get(BROKER, "").strip() else PROCESSES


def _controls(config: pytest.Config) -> bool:
    """Return whether this process distributes the tests to others."""
    return bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Restore SIGINT: a background run ignores it, and so would the commands that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Download the servers once, with progress, before the processes start.

    If that fails, each process tries again, and the tests that need servers fail with the reason.
    """
    if not _controls(session.config):
        return
    os.environ[SHARED] = own_stack()  # the processes inherit it
    with terminal_progress() as progress:
        try:
            fetch.kafka_jars(progress, threading.Event())
            fetch.registry_app(progress, threading.Event())
        except ConfigError as error:
            progress.say(str(error))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest files first, so that the processes end at about the same time."""
    if hasattr(config, "workerinput"):
        order = {f"test_{name}.py": number for number, name in enumerate(FIRST)}
        items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = _USED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    used = getattr(node, "workeroutput", {}).get("servers", ())
    _USED.extend(line for line in used if line not in _USED)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the shared servers, and those that a process left behind: after Ctrl-C, processes have only ten seconds."""
    if _controls(config):
        Stack(own_stack()).down()
        sweep()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"servers: {used}")
