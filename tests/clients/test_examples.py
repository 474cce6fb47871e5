"""The programs in examples/ on a real broker, registry and worker (`make examples`). They need Go, Java and Node."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from pipeline.model import framing
from pipeline.model.wire import DECODERS
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers
from tests.clients.scene import FULL, NEW, Scene, Seen, scene

pytestmark = pytest.mark.broker
EXAMPLES = ROOT / "examples"
GO = Path("/usr/local/go/bin")  # where Go's own installer puts it, often without a PATH
PATH = f"{os.environ['PATH']}:{GO}"
HINTS = {"go": "Go >= 1.26", "mvn": "Debian: apt install maven", "java": "a JDK >= 17", "npm": "Node >= 20 with npm"}
LINE = re.compile(r"^(?P<room>.+) #(?P<sequence>\d+) (?P<name>\S+) (?P<time>\S+)")
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-cp", "target/classes:target/lib/*")


@dataclass(frozen=True)
class Example:
    """The commands of an example, run in its folder; {group}, {max} and {room} are filled in."""

    folder: str
    consume: tuple[str, ...]
    publish: tuple[str, ...]
    build: tuple[tuple[str, ...], ...] = ()
    digits: int = 6
    """Decimals of a second that its language's time has."""

    def run(self, command: tuple[str, ...], env: dict[str, str], **values: object) -> str:
        """Run a command and return its output."""
        folder = EXAMPLES / self.folder
        for tool in {command[0], *(step[0] for step in self.build)}:
            if shutil.which(tool, path=PATH) is None and not (folder / tool).exists():
                pytest.fail(f"{tool} is missing: install it ({HINTS.get(tool, 'PATH')})", pytrace=False)
        made_env = {**env, "PATH": PATH, "PYTHONPATH": str(ROOT / "clients" / "python")}
        made = [part.format(**values) for part in command]
        done = subprocess.run(made, cwd=folder, env=made_env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"{made}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


PYTHON = sys.executable
EXAMPLE = {
    "go": Example(
        "go",
        ("build/example", "consume", "{group}", "{max}"),
        ("build/example", "publish", "{room}"),
        (("go", "build", "-mod=readonly", "-o", "build/example", "."),),
    ),
    "java": Example(
        "java",
        (*JAVA, "Consume", "{group}", "{max}"),
        (*JAVA, "Publish", "{room}"),
        (("mvn", "-q", "-B", "compile"),),
    ),
    "typescript": Example(
        "typescript",
        ("node", "dist/consume.js", "{group}", "{max}"),
        ("node", "dist/publish.js", "{room}"),
        (("npm", "ci", "--no-progress"), ("npm", "run", "build")),
        digits=3,
    ),
    "python": Example("python", (PYTHON, "consume.py", "{group}", "{max}"), (PYTHON, "publish.py", "{room}")),
    "python-confluent": Example(
        ".", (PYTHON, "consume.py", "--group", "{group}", "--max", "{max}"), (PYTHON, "publish.py", "{room}")
    ),
}
every = pytest.mark.parametrize("name", EXAMPLE)


@cache
def built(name: str) -> Example:
    """Build an example, once."""
    example = EXAMPLE[name]
    for step in example.build:
        example.run(step, dict(os.environ))
    return example


@pytest.fixture(scope="module")
def pipe(servers: Servers) -> Iterator[Pipe]:
    made = Pipe(servers)
    asyncio.run(made.set_up())
    with made.worker(PIPELINE_WATCHDOG_SECONDS="2"):
        yield made
    if servers.lasting:
        asyncio.run(made.remove_topics())


@pytest.fixture(scope="module")
def filled(pipe: Pipe) -> Scene:
    return asyncio.run(scene(pipe))


@dataclass
class Printed:
    """What a consumer printed."""

    events: list[Seen] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        for line in text.splitlines():
            if found := LINE.match(line):
                self.events.append(Seen(found["room"], int(found["sequence"]), found["name"], found["time"]))
            else:
                self.other.append(line)


def expected(filled: Scene, digits: int) -> Counter[Seen]:
    """Return the events with times of `digits` decimals, as many as an example's language has."""
    return Counter(_cut(seen, digits) for seen in filled.events)


def _cut(seen: Seen, digits: int) -> Seen:
    return Seen(seen.room, seen.sequence, seen.name, seen.time[: len("2026-01-01T00:00:00.") + digits])


@every
def test_a_consumer_sees_each_event_once_in_order(name: str, filled: Scene) -> None:
    example, printed = built(name), Printed()
    env, most = filled.pipe.env, len(filled.events)
    printed.add(example.run(example.consume, env, group=f"{filled.pipe.prefix}-{name}", max=most))
    assert Counter(_cut(seen, example.digits) for seen in printed.events) == expected(filled, example.digits)
    for room in {seen.room for seen in filled.events}:
        sequences = [seen.sequence for seen in printed.events if seen.room == room]
        assert sequences == [seen.sequence for seen in filled.events if seen.room == room]
    assert printed.other == ["ignored conference.renamed"] * (name != "python") + [f"in {FULL}: alice, bob"]


@every
def test_a_consumer_goes_on_where_its_work_ended(name: str, filled: Scene) -> None:
    example, printed = built(name), Printed()
    for most in (10, len(filled.events) - 10):
        printed.add(example.run(example.consume, filled.pipe.env, group=f"{filled.pipe.prefix}-{name}-2", max=most))
    assert Counter(_cut(seen, example.digits) for seen in printed.events) == expected(filled, example.digits)


def test_kafka_streams_shows_the_rooms_of_now(filled: Scene) -> None:
    rooms = built("java").run((*JAVA, "Rooms"), filled.pipe.env).splitlines()
    assert f"room {FULL}: alice, bob" in rooms
    assert not [line for line in rooms if NEW in line], "it has no rows"


def test_cloudevents_sdk_of_java_reads_the_headers(filled: Scene) -> None:
    command = (*JAVA, "ReadCloudEvents", "{group}", "{max}")
    values = {"group": f"{filled.pipe.prefix}-ce", "max": len(filled.headers)}
    found = Counter(built("java").run(command, filled.pipe.env, **values).splitlines())
    assert found == Counter(
        " ".join((
            h["ce_specversion"], h["ce_id"], h["ce_type"], h["ce_source"], h["ce_subject"],
            h["ce_time"], h["content-type"], h.get("ce_signal", "null"),
        ))
        for h in filled.headers
    )  # fmt: skip


def test_cloudevents_sdk_of_python_reads_the_headers(filled: Scene) -> None:
    for record, headers in zip(asyncio.run(filled.pipe.records()), filled.headers, strict=True):
        message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
        event = from_binary_event(message)
        assert event.get_id() == headers["ce_id"]
        assert event.get_type() == headers["ce_type"]
        assert event.get_subject() == headers["ce_subject"]
        data = event.get_data()  # this SDK makes a text of bytes that happen to be UTF-8
        assert (data.encode() if isinstance(data, str) else data) == record.value
        assert event.get_extension("signal") == headers.get("ce_signal")


@every
async def test_signals_arrive_on_the_right_partition(name: str, filled: Scene) -> None:
    """Last in this file: it adds rooms to the topics."""
    example, pipe, room = built(name), filled.pipe, f"räum-of-{name}"
    out = await asyncio.to_thread(example.run, example.publish, pipe.env, room=room)
    number = pipe.partition(room)
    lines = [line.split() for line in out.splitlines()]
    assert [line[:2] for line in lines] == [["ConferenceCreate", str(number)], ["ConferencePause", str(number)]]
    for _ in range(100):
        rejected = [r for r in await pipe.records("signals.rejected") if r.key == room.encode()]
        created = [r for r in await pipe.records() if r.key == room.encode()]
        if rejected:
            break
        await asyncio.sleep(0.1)
    [record] = rejected
    assert DECODERS["conference.Rejected"](record.value, framing.HEAD).reason == "playback_inactive"
    assert [dict(r.headers)["ce_type"] for r in created] == [b"conference.created"]
    assert await pipe.records("signals.dead") == []


def test_a_missing_tool_is_named() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^no-such-tool is missing: install it"):
        Example("go", (), ()).run(("no-such-tool",), {})


def test_lock_files_name_no_registry() -> None:
    lock = json.loads((EXAMPLES / "typescript" / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert len(packages) > 20
    assert all("integrity" in package and "resolved" not in package for package in packages)
