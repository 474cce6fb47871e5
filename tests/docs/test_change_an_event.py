"""docs/howto/change-an-event.md is complete: followed in a copy of the repository, old and new consumers read on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.signals import AnySignal, ConferenceCreate, ConferenceDestroy
from testkit.pipe import Pipe, WorkerProcess
from tests.support.pages import ROOT, copied, follow

PAGE = ROOT / "docs" / "howto" / "change-an-event.md"
READER = """
import asyncio, sys
from conference_events import Registry
from conference_events.events import Destroyed
from conference_events.kafka import EventConsumer

async def main(servers, registry, prefix, group, number):
    async with EventConsumer(servers, Registry(registry), group, prefix=prefix) as events:
        async for event in events:
            if isinstance(event, Destroyed):
                print(event.room_id, getattr(event, "name", None), flush=True)
                number -= 1
                if not number:
                    break

asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
"""


class Version:
    """A checkout: its commands, its worker and its package for consumers."""

    def __init__(self, root: Path, pipe: Pipe) -> None:
        self.root = root
        self._pipe = pipe
        self._env = {**pipe.env, "PYTHONSAFEPATH": "", "PYTHONPATH": f"{root}:{root}/clients/python"}

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command of the pipeline. Return its exit code and output."""
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=self.root, env=self._env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def worker(self) -> Iterator[WorkerProcess]:
        """Run a worker of this version, ready for signals."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "worker"],
            cwd=self.root,
            env=self._env,
            stderr=subprocess.PIPE,
            text=True,
        )
        worker = WorkerProcess(process)
        try:
            worker.until_ready(60)
            yield worker
        finally:
            worker.end()

    def destroyed(self, group: str, number: int) -> list[str]:
        """Return room and name of the destroyed events that a consumer of this version reads."""
        settings = self._pipe.settings
        place = [settings.bootstrap_servers, settings.registry_url, settings.topic_prefix]
        done = subprocess.run(
            [sys.executable, "-c", READER, *place, group, str(number)],
            cwd=self.root / "clients" / "python",
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return sorted(done.stdout.splitlines())


def life(room: str) -> tuple[AnySignal, ...]:
    return ConferenceCreate(f"{room}-c", room, 1, "app", "Retro"), ConferenceDestroy(f"{room}-d", room, 2)


def rewrite(path: Path, change: Any) -> None:
    schema = json.loads(path.read_text())
    change(schema["fields"][-1])
    path.write_text(json.dumps(schema))


async def until_records(pipe: Pipe, number: int) -> None:
    """Wait for events, whatever their schema."""
    async with asyncio.timeout(60):
        while len(await pipe.records()) < number:
            await asyncio.sleep(0.1)


@pytest.mark.broker
async def test_old_and_new_consumers_read_on(pipe: Pipe, tmp_path: Path) -> None:
    copy = copied(tmp_path / "copy")
    commands = follow(copy, PAGE)
    assert commands == [["schemas", "check", "avro"], ["setup"]]
    old, new = Version(ROOT, pipe), Version(copy, pipe)
    with old.worker():
        await pipe.send(*life("r1"))
        await until_records(pipe, 2)
    schema = copy / "avro" / "conference.Destroyed.avsc"
    text = schema.read_text()
    rewrite(schema, lambda field: field.pop("default"))
    code, rows, _ = new.command(*commands[0])
    assert code == 1
    assert "`name` is missing and has no default" in rows
    assert "`name` is missing and has no default" in PAGE.read_text()
    schema.write_text(text)
    assert new.command(*commands[0])[0] == 0
    assert new.command(*commands[1])[0] == 0
    with old.worker():  # not upgraded yet
        await pipe.send(*life("r2"))
        await until_records(pipe, 4)
    with new.worker():
        await pipe.send(*life("r3"))
        await until_records(pipe, 6)
    assert old.destroyed("old", 3) == ["r1 None", "r2 None", "r3 None"]
    assert new.destroyed("new", 3) == ["r1 ", "r2 ", "r3 Retro"]
