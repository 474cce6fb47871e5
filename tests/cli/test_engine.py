"""The command `engine`, as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from testkit.fake_freeswitch import PASSWORD, FakeFreeSwitch
from testkit.pipe import Pipe
from tests.support.commands import PROGRAM

SECONDS = 200.0
VALID = ("engine", "freeswitch", "--node", "n1", "--url", "tcp://127.0.0.1:1")
JANUS = ("engine", "janus", "--node", "n1", "--url", "ws://127.0.0.1:1")


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*PROGRAM, *arguments], env=os.environ | env, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "error"),
    [
        (
            ("engine", "freeswitch", "--node", "a-b", "--url", "tcp://x"),
            {},
            "--node: expected 1 to 32 letters and digits",
        ),
        (("engine", "freeswitch", "--node", "n1", "--url", "http://x"), {}, "--url: expected tcp://host:port"),
        (("engine", "freeswitch", "--node", "n1", "--url", "tcp://x:99999"), {}, "--url: expected tcp://host:port"),
        ((*VALID, "--media-map", "x"), {}, "--media-map: expected URL=FOLDER"),
        (VALID, {}, "no password of the event socket: set ENGINE_PASSWORD or ENGINE_PASSWORD_FILE"),
        (VALID, {"ENGINE_PASSWORD": "a", "ENGINE_PASSWORD_FILE": "b"}, "set only one of them"),
        (VALID, {"ENGINE_PASSWORD_FILE": "/nowhere"}, "ENGINE_PASSWORD_FILE: '/nowhere' can't be read"),
        (("engine", "janus", "--node", "n1", "--url", "http://x"), {}, "--url: expected ws://host:port or wss://"),
        (("engine", "janus", "--node", "n1", "--url", "ws://u:p@x"), {}, "--url: expected ws://host:port or wss://"),
        (("engine", "janus", "--node", "n1", "--url", "ws://x:99999"), {}, "--url: expected ws://host:port or wss://"),
        (
            (*JANUS, "--events-listen", "8189"),
            {},
            "--events-listen: expected ws://HOST:PORT or http://HOST:PORT, got '8189'",
        ),
        (JANUS, {}, "no admin_key of the AudioBridge: set ENGINE_PASSWORD or ENGINE_PASSWORD_FILE"),
        (JANUS, {"ENGINE_PASSWORD": "a", "ENGINE_EVENTS_TOKEN": "a/b"}, "ENGINE_EVENTS_TOKEN: expected at most 200"),
        ((*JANUS, "--events-listen", "0.0.0.0:1"), {"ENGINE_PASSWORD": "a"}, "anyone who reaches it can send events"),
        (("engine", "retire", "a-b"), {}, "--node: expected 1 to 32 letters and digits"),
    ],
)
def test_a_wrong_option_is_one_line(arguments: tuple[str, ...], env: dict[str, str], error: str) -> None:
    code, out, err = run(*arguments, **env)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert error in err
    assert err.count("\n") == 1


class Process:
    """`engine freeswitch` as a process; its log is in a file."""

    def __init__(self, pipe: Pipe, fake: FakeFreeSwitch, folder: Path, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        secret = folder / "secret"
        secret.write_text(f"{PASSWORD}\n")
        env = pipe.env | {"ENGINE_PASSWORD_FILE": str(secret), "PIPELINE_HTTP_PORT": str(self.port)}
        self.log = folder / f"{name}.log"
        host, port = fake.address
        command = [*PROGRAM, "engine", "freeswitch", "--node", "n1", "--url", f"tcp://{host}:{port}"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def shown(self) -> str:
        return self.log.read_text()

    async def until_ready(self) -> None:
        limit = time.monotonic() + SECONDS
        while self._process.poll() is None and not await self.is_ready():
            assert time.monotonic() < limit, self.shown()
            await asyncio.sleep(0.1)
        assert self._process.poll() is None, self.shown()

    async def is_ready(self) -> bool:
        return '"ready": true' in await asyncio.to_thread(self.get, "/readyz")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def code(self) -> int:
        return await asyncio.to_thread(self._process.wait, SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.broker
@pytest.mark.timeout(900)
async def test_a_bridge_runs_is_replaced_stops_and_is_retired(pipe: Pipe, tmp_path: Path) -> None:
    async with FakeFreeSwitch() as fake:
        first = Process(pipe, fake, tmp_path, "first")
        second = None
        try:
            with pipe.worker():
                await first.until_ready()
                fake.join("n1-room-1", "u-1")
                await pipe.until_events(1, SECONDS)
                assert json.loads(await asyncio.to_thread(first.get, "/livez"))["alive"]
                metrics = await asyncio.to_thread(first.get, "/metrics")
                assert 'bridge_signals_total{type="member.joined"} 1.0' in metrics
                assert 'bridge_commands_total{command="play",result="done"} 0.0' in metrics
                second = Process(pipe, fake, tmp_path, "second")
                assert await first.code() == 3
                assert "another bridge has taken node n1: run one bridge per node" in first.shown()
                await second.until_ready()
                code, _, err = await asyncio.to_thread(run, "engine", "retire", "n1", **pipe.env)
                assert (code, "error: the bridge of node n1 runs: stop it first" in err) == (2, True)
                second.stop()
                assert await second.code() == 0
                done = await asyncio.to_thread(run, "engine", "retire", "n1", **pipe.env)
                assert done[:2] == (0, "1 members of node n1 left as orphan\n")
                found = await pipe.until_events(2, SECONDS)
                assert (found[1]["event"], found[1]["reason"]) == ("conference.member.left", "orphan")
                log = first.shown() + second.shown()
                assert PASSWORD not in log
                assert "Traceback" not in log
        finally:
            first.kill()
            if second is not None:
                second.kill()
