"""clients/python: its wheel is installed into a fresh virtual environment, where its own tests run."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from pipeline.model.events import EVENTS
from pipeline.model.wire import SCHEMAS
from testkit.pipe import ROOT, Pipe, event_line
from testkit.servers import Servers
from tests.test_interop import NAMES, history

PACKAGE = ROOT / "clients" / "python"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = ROOT / "docs" / "howto" / "consume" / "python.md"


@dataclass
class Environment:
    """A virtual environment with the package and without the pipeline."""

    folder: Path
    wheel: Path

    def run(self, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE_", "PYTHON"))}
        command = [str(self.folder / "bin" / "python"), *arguments]
        return subprocess.run(command, cwd=cwd, env={**kept, **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("clients")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PACKAGE, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    made = Environment(venv, wheel)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = ROOT / "requirements" / "clients.txt"
    for arguments in (["--require-hashes", "-r", str(lock)], ["--no-deps", str(wheel)]):
        done = made.run(*pip, *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def pipe(servers: Servers) -> Iterator[Pipe]:
    """Topics with every event of one room, and a worker."""
    made = Pipe(servers)
    asyncio.run(made.set_up())
    for step in history("acW68-room-abc123"):
        asyncio.run(made.send(step))
    with made.worker(PIPELINE_WATCHDOG_SECONDS="2"):
        asyncio.run(made.until_events(len(NAMES)))
        yield made
    if servers.lasting:
        asyncio.run(made.remove_topics())


def test_the_wheel_has_the_types_and_every_schema(environment: Environment) -> None:
    with ZipFile(environment.wheel) as wheel:
        names = set(wheel.namelist())
        for record in SCHEMAS.keys() - {"conference.Meta", "conference.TopicPosition"}:
            assert f"conference_events/schemas/{record}.avsc" in names
    assert "conference_events/py.typed" in names
    assert not [name for name in names if "test" in name]


@pytest.mark.broker
def test_its_own_tests_pass_without_the_pipeline(environment: Environment, pipe: Pipe, tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    lines.write_bytes(b"".join(map(event_line, asyncio.run(pipe.records()))))
    (tmp_path / "tests").symlink_to(PACKAGE / "tests")
    (tmp_path / "pyproject.toml").symlink_to(PACKAGE / "pyproject.toml")
    assert environment.run("-c", "import pipeline", cwd=tmp_path).returncode == 1
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    done = environment.run(*arguments, cwd=tmp_path, **pipe.env, EVENT_LINES=str(lines))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


@pytest.mark.broker
async def test_the_tutorial_prints_what_it_shows(environment: Environment, servers: Servers, tmp_path: Path) -> None:
    """In topics of its own: the rooms of other tests would show."""
    made = Pipe(servers)
    await made.set_up()
    with made.worker(PIPELINE_WATCHDOG_SECONDS="60"):
        ran = await asyncio.to_thread(follow, environment, made.env, tmp_path)
    assert ran == 4
    await made.remove_topics()


def follow(environment: Environment, env: dict[str, str], folder: Path) -> int:
    """Create the files of the page, run its commands and compare their output; return the number of commands."""
    path = f"{environment.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    text, end, ran, printed = PAGE.read_text(), 0, 0, ""
    for block in FENCE.finditer(text):
        before = text[end : block.start()]
        end = block.end()
        match block[1]:
            case "python":
                [name] = re.findall(r"Create `(\w+\.py)`:\n\n$", before)
                (folder / name).write_text(block[2])
            case "sh":
                command = ["bash", "-o", "pipefail", "-ec", block[2]]
                done = subprocess.run(
                    command, cwd=folder, env={**env, "PATH": path}, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
                printed, ran = done.stdout, ran + 1
            case "text":
                assert [line.split() for line in printed.splitlines()] == [
                    line.split() for line in block[2].splitlines()
                ]
    return ran


def test_its_classes_have_the_events_of_the_pipeline() -> None:
    text = (PACKAGE / "conference_events" / "events.py").read_text()
    for event in EVENTS:
        assert f'EVENT: ClassVar[str] = "{event.EVENT}"' in text
