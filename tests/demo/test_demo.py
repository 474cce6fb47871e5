"""`demo` on real servers: its events, and that it leaves no topic, schema or process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from pipeline.demo import arrivals, command_process
from pipeline.demo import run as demo_run
from pipeline.demo.arrivals import Arrivals
from pipeline.demo.command_process import CommandProcess, DemoError
from pipeline.demo.run import _difference, plan
from pipeline.demo.scenario import steps
from pipeline.demo.screen import Screen
from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.schema_registry import Registry
from pipeline.model.events import EVENTS, Event
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers
from tests.support.demo import DEMO, named, nothing_left, own_cache
from tests.support.slowness import slowness

QUICK = ["--speed", "20"]  # 12 s: the watchdog keeps its 10
EXPECTED = Path(__file__).parent.parent / "captures" / "freeswitch.events.expected.jsonl"
KINDS = {event.EVENT for event in EVENTS}


class Alone(NamedTuple):
    """A demo on its own servers; `saved` is the file of its signals."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    saved: Path
    began: float


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """Run it while the demo on the user's servers runs: both wait for the watchdog most of the time."""
    folder = tmp_path_factory.mktemp("alone")
    env, saved = own_cache(folder), folder / "signals.jsonl"
    command = [*DEMO, *QUICK, "--json", "--save", str(saved)]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield Alone(process, env, saved, began)
        finally:
            process.terminate()


@pytest.mark.broker
@pytest.mark.usefixtures("alone")
async def test_demo_on_user_servers_leaves_nothing_behind(pipe: Pipe) -> None:
    before = await everything(pipe)
    run_on_user_servers(pipe)
    assert await everything(pipe) == before


def run_on_user_servers(pipe: Pipe) -> None:
    command = [*DEMO, *QUICK]
    env = {**named(pipe), "PIPELINE_TRANSACTIONAL_ID": "the-users", "PIPELINE_WATCHDOG_SECONDS": "3"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert all(kind in done.stdout for kind in KINDS)
    assert "wait for the watchdog" in done.stdout
    assert "another POST pause: pause is a toggle" in done.stdout
    counts = f"{len(EXPECTED.read_text().splitlines())} events of {len(EVENTS)} kinds from {len(steps())} signals"
    assert counts in done.stdout
    assert "rejected: volume_out_of_range 1" in done.stdout
    assert "conference-pipeline up" in done.stdout
    assert f"using Kafka at {pipe.settings.bootstrap_servers}" in done.stderr


@pytest.mark.broker
def test_demo_starts_servers_and_gives_the_expected_events(alone: Alone) -> None:
    out, err = alone.process.communicate(timeout=180)
    assert alone.process.returncode == 0, err.decode()
    assert time.monotonic() - alone.began < 90 * slowness()
    found = [json.loads(line) for line in out.splitlines()]
    assert {event["event"] for event in found} == KINDS
    [room] = {event["room_id"] for event in found}
    for event, wanted in zip(found, map(json.loads, EXPECTED.read_bytes().splitlines()), strict=True):
        del event["meta"]["event_id"], event["meta"]["occurred_at"], wanted["meta"]["occurred_at"]
        assert event == {**wanted, "room_id": room}
    again = [sys.executable, "-m", "pipeline", "replay", str(alone.saved)]
    replayed = subprocess.run(again, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    assert len(replayed.splitlines()) == len(found) == 23
    nothing_left(alone.env)


async def everything(pipe: Pipe) -> tuple[list[str], list[str]]:
    """Return all topics, except Kafka's own, and all subjects; without those of other tests, which run meanwhile."""
    admin = AIOKafkaAdminClient(**pipe.settings.kafka())
    await admin.start()
    try:
        topics = [topic for topic in await admin.list_topics() if not topic.startswith("__")]
    finally:
        await admin.close()
    async with Registry(pipe.settings) as registry:
        subjects = json.loads((await registry._request("GET", "/subjects")).body)
    return sorted(filter(_of_no_pipe, topics)), sorted(filter(_of_no_pipe, subjects))


def _of_no_pipe(name: str) -> bool:
    return re.match(r"t[0-9a-f]{10}\b", name) is None


def in_starting(lines: list[str]) -> bool:
    return any("starting kafka" in line for line in lines)


def in_play(lines: list[str]) -> bool:
    return any('"conference.member.joined"' in line for line in lines)


def interrupted(env: dict[str, str], number: signal.Signals, when: Callable[[list[str]], bool]) -> int:
    """Return the exit code of a demo that gets the signal `number` once `when` holds for its output."""
    with subprocess.Popen(
        [*DEMO, *QUICK, "--json"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout
        lines: list[str] = []
        for line in demo.stdout:
            lines.append(line)
            if when(lines):
                break
        demo.send_signal(number)
        rest = demo.communicate(timeout=60)[0]
    assert "Traceback" not in rest
    assert "stopped" in rest, "".join(lines) + rest
    return demo.returncode


@pytest.mark.broker
@pytest.mark.parametrize(
    ("number", "when", "code"), [(signal.SIGINT, in_play, 130), (signal.SIGTERM, in_starting, 143)]
)
def test_interrupted_demo_stops_its_servers(
    tmp_path: Path, number: signal.Signals, when: Callable[[list[str]], bool], code: int
) -> None:
    env = own_cache(tmp_path)
    assert interrupted(env, number, when) == code
    nothing_left(env)


@pytest.mark.broker
async def test_interrupted_demo_on_user_servers_leaves_nothing_behind(pipe: Pipe, tmp_path: Path) -> None:
    env = {**named(pipe), "CONFERENCE_PIPELINE_CACHE": own_cache(tmp_path)["CONFERENCE_PIPELINE_CACHE"]}
    before = await everything(pipe)
    assert interrupted(env, signal.SIGTERM, in_play) == 143
    nothing_left(env)
    assert await everything(pipe) == before


@pytest.mark.broker
def test_dead_worker_is_an_error_with_its_log(servers: Servers, pipe: Pipe) -> None:
    with subprocess.Popen(
        [*DEMO, "--json"],
        cwd=ROOT,
        env=named(pipe),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout
        demo.stdout.readline()
        [worker] = [int(p.name) for p in Path("/proc").glob("[0-9]*") if parent(p) == demo.pid]
        os.kill(worker, signal.SIGKILL)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "error: the worker ended with exit code -9" in errors
    assert "partitions assigned" in errors


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_difference_from_the_plan_is_reported() -> None:
    planned = plan(1.0, "room")
    right = [event for one in planned for event in (*one.timeouts, *one.events)]
    assert len(right) == 23
    assert sum(bool(one.timeouts) for one in planned) == 1
    assert _difference(planned, right) is None
    later = [msgspec.structs.replace(e, meta=msgspec.structs.replace(e.meta, occurred_at=1)) for e in right]
    assert _difference(planned, later) is None
    assert _difference(planned, right[:-1]) == "got 22 events, expected 23"
    assert _difference(planned, [*right, right[-1]]) == "got 24 events, expected 23"
    assert "event 3 differs" in str(_difference(planned, [*right[:2], *right[3:]]))


def test_screen_prints_one_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    for one in plan(1.0, "room"):
        for event in (*one.timeouts, *one.events):
            screen.event(event)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 23
    assert "  2  conference.member.joined       caller_id=+15551234567" in shown[1]
    assert "inferred" in shown[21]
    assert "error=playback_timeout" in shown[21]


class SilentWorker:
    """Takes the place of a worker that runs and logs nothing."""

    def check(self) -> None:
        pass

    def log_tail(self) -> str:
        return "last lines of the worker's log:"


def arrivals_with_silent_worker() -> Arrivals:
    return Arrivals(Screen(as_json=True), [SilentWorker()])


async def test_missing_event_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LATE_SECONDS", 0.1)
    with pytest.raises(DemoError, match=r"no event within 0\.1 s\nlast lines of the worker's log"):
        await arrivals_with_silent_worker().show(1)


async def test_error_of_the_event_reader_ends_the_demo() -> None:
    async def events() -> AsyncIterator[tuple[Event, None]]:
        yield first, None
        raise KafkaConnectionError("gone")

    [first, *_] = (event for one in plan(1.0, "room") for event in one.events)
    running = arrivals_with_silent_worker()
    await running._listen(cast(EventReader, events()))
    with pytest.raises(KafkaConnectionError, match="gone"):
        await running.show(2)
    assert running.seen == [first]


async def test_worker_that_ignores_sigterm_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command_process, "READY_SECONDS", 0.2)
    monkeypatch.setattr(command_process, "STOP_SECONDS", 0.2)
    script = "trap '' TERM; echo 'I wait' >&2; while :; do sleep 0.05; done"
    with subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        worker = CommandProcess(process, "the worker")
        with pytest.raises(DemoError, match=r"not ready after 0\.2 s\nlast lines of the worker's log:\nI wait"):
            await worker.ready()
        worker.stop()
        assert process.returncode == -signal.SIGKILL


def test_unwritable_save_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="Is a directory"):
        demo_run._save(str(tmp_path), [b"{}\n"])
