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
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.pipe import Pipe
from tests.servers import NoServersError, Servers
from tests.servers import servers as find_servers

_USED: list[str] = []


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"servers: {used}")
