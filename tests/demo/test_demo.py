"""`demo`: the whole thing, on real servers; and that nothing of it is left."""

from __future__ import annotations

import json
import os
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

from pipeline.cli import demo_run
from pipeline.cli.demo_run import _difference, plan
from pipeline.cli.events import Follower
from pipeline.demo.scenario import steps
from pipeline.devstack.cache import cache_dir
from pipeline.kafka.schema_registry import Registry
from pipeline.model.events import EVENTS, Event
from pipeline.settings import Settings
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers
from tests.support.slowness import slowness

DEMO = [sys.executable, "-m", "pipeline", "demo"]
QUICK = ["--speed", "20"]  # 12 s: the watchdog keeps its 10
EXPECTED = Path(__file__).parent.parent / "captures" / "freeswitch.events.expected.jsonl"
KINDS = {event.EVENT for event in EVENTS}


def own_cache(tmp_path: Path) -> dict[str, str]:
    """An environment without servers and stacks, but with the downloads and class archives that there are."""
    shared, own = cache_dir(), tmp_path / "cache"
    own.mkdir(mode=0o700)
    for name in ("downloads", "classes"):
        (shared / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(shared / name)
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_"))
    }
    return {**kept, "CONFERENCE_PIPELINE_CACHE": str(own)}


def named(pipe: Pipe) -> dict[str, str]:
    return {name: value for name, value in pipe.env.items() if not name.startswith("PIPELINE_")}


def children(cache: str) -> list[str]:
    """Command lines of processes, whoever started them, that have to do with a cache folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if cache.encode() in line or f"CONFERENCE_PIPELINE_CACHE={cache}".encode() in environ:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def nothing_left(env: dict[str, str]) -> None:
    cache = env["CONFERENCE_PIPELINE_CACHE"]
    assert children(cache) == []
    assert list(Path(cache, "stacks").glob("*")) == []


class Alone(NamedTuple):
    """A demo that has no servers but its own; `saved` is where it writes its signals."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    saved: Path
    began: float


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """It runs while the demo on servers of the user does: both wait for the watchdog most of the time."""
    folder = tmp_path_factory.mktemp("alone")
    env, saved = own_cache(folder), folder / "signals.jsonl"
    command = [*DEMO, *QUICK, "--json", "--save", str(saved)]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield Alone(process, env, saved, began)
        finally:
            process.terminate()


@pytest.mark.broker
@pytest.mark.usefixtures("alone")
async def test_on_servers_of_the_user_it_leaves_nothing_behind(pipe: Pipe) -> None:
    before = await everything(pipe)
    look_on_servers_of_the_user(pipe)
    assert await everything(pipe) == before


def look_on_servers_of_the_user(pipe: Pipe) -> None:
    command = [*DEMO, *QUICK]
    env = {**named(pipe), "PIPELINE_TRANSACTIONAL_ID": "the-users", "PIPELINE_WATCHDOG_SECONDS": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=120, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert all(kind in done.stdout for kind in KINDS)
    assert "we wait for the watchdog" in done.stdout
    assert "another POST pause: pause is a toggle" in done.stdout
    counts = (
        f"{len(EXPECTED.read_text().splitlines())} events of {len(EVENTS)} kinds from {len(steps())} signals"
    )
    assert counts in done.stdout
    assert "rejected: volume_out_of_range 1" in done.stdout
    assert "conference-pipeline up" in done.stdout
    assert f"using Kafka at {pipe.settings.bootstrap_servers}" in done.stderr


@pytest.mark.broker
def test_it_starts_all_it_needs_and_gives_what_was_written_down_by_hand(alone: Alone) -> None:
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
    """Every topic and every subject of the servers, but Kafka's own."""
    admin = AIOKafkaAdminClient(**pipe.settings.kafka())
    await admin.start()
    try:
        topics = [topic for topic in await admin.list_topics() if not topic.startswith("__")]
    finally:
        await admin.close()
    async with Registry(pipe.settings) as registry:
        _, subjects = await registry._ask("GET", "/subjects")
    return sorted(topics), sorted(subjects)


def in_starting(lines: list[str]) -> bool:
    return any("starting kafka" in line for line in lines)


def in_play(lines: list[str]) -> bool:
    return any('"conference.member.joined"' in line for line in lines)


def interrupted(env: dict[str, str], number: signal.Signals, when: Callable[[list[str]], bool]) -> int:
    """The exit code of a demo that gets a signal as soon as its lines are such."""
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
def test_interrupted_it_takes_everything_down(
    tmp_path: Path, number: signal.Signals, when: Callable[[list[str]], bool], code: int
) -> None:
    env = own_cache(tmp_path)
    assert interrupted(env, number, when) == code
    nothing_left(env)


@pytest.mark.broker
async def test_interrupted_on_servers_of_the_user_it_leaves_nothing_behind(
    pipe: Pipe, tmp_path: Path
) -> None:
    env = {**named(pipe), "CONFERENCE_PIPELINE_CACHE": own_cache(tmp_path)["CONFERENCE_PIPELINE_CACHE"]}
    before = await everything(pipe)
    assert interrupted(env, signal.SIGTERM, in_play) == 143
    nothing_left(env)
    assert await everything(pipe) == before


@pytest.mark.broker
def test_a_worker_that_dies_is_an_error_with_its_last_words(servers: Servers, pipe: Pipe) -> None:
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
        _, said = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "error: the worker ended with exit code -9" in said
    assert "partitions assigned" in said


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_what_is_not_as_planned_is_named() -> None:
    planned = plan(1.0, "room")
    right = [event for one in planned for event in (*one.before, *one.events)]
    assert len(right) == 23
    assert sum(bool(one.before) for one in planned) == 1
    assert _difference(planned, right) is None
    later = [msgspec.structs.replace(e, meta=msgspec.structs.replace(e.meta, occurred_at=1)) for e in right]
    assert _difference(planned, later) is None
    assert _difference(planned, right[:-1]) == "22 events came, 23 were expected"
    assert _difference(planned, [*right, right[-1]]) == "24 events came, 23 were expected"
    assert "event 3 is not what it must be" in str(_difference(planned, [*right[:2], *right[3:]]))


def test_an_event_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    screen = demo_run.Screen(as_json=False)
    for one in plan(1.0, "room"):
        for event in (*one.before, *one.events):
            screen.event(event)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 23
    assert "  2  conference.member.joined       caller_id=+15551234567" in shown[1]
    assert "inferred" in shown[21]
    assert "error=playback_timeout" in shown[21]


class Dumb:
    """In the place of a worker: alive, without words."""

    def check(self) -> None:
        pass

    def words(self) -> str:
        return "its worker's last words:"


def performance() -> demo_run.Performance:
    return demo_run.Performance(Settings(), demo_run.Screen(as_json=True), cast(demo_run.Worker, Dumb()))


async def test_an_event_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_run, "LATE_SECONDS", 0.1)
    with pytest.raises(
        demo_run.DemoError, match=r"an event did not come within 0\.1 s\nits worker's last words"
    ):
        await performance()._show(1)


async def test_what_ends_the_listening_ends_the_demo() -> None:
    async def events() -> AsyncIterator[Event]:
        yield first
        raise KafkaConnectionError("gone")

    [first, *_] = (event for one in plan(1.0, "room") for event in one.events)
    running = performance()
    await running._listen(cast(Follower, events()))
    with pytest.raises(KafkaConnectionError, match="gone"):
        await running._show(2)
    assert running.seen == [first]


async def test_a_worker_that_is_never_ready_and_does_not_stop_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_run, "READY_SECONDS", 0.2)
    monkeypatch.setattr(demo_run, "STOP_SECONDS", 0.2)
    script = "trap '' TERM; echo 'I wait' >&2; while :; do sleep 0.05; done"
    with subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        worker = demo_run.Worker(process)
        with pytest.raises(
            demo_run.DemoError, match=r"not ready after 0\.2 s\nits worker's last words:\nI wait"
        ):
            await worker.ready()
        worker.stop()
        assert process.returncode == -signal.SIGKILL


def test_signals_that_can_not_be_saved_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(demo_run.DemoError, match="Is a directory"):
        demo_run._save(str(tmp_path), [b"{}\n"])
