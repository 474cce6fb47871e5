"""`demo --engine janus`: a real Janus plays a file to a real member, and no process or file is left."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from testkit.pipe import ROOT, Pipe
from tests.support.demo import DEMO, named, nothing_left, own_cache

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]
JANUS = [*DEMO, "--engine", "janus"]
SECONDS = 300.0
EVENTS = [
    "conference.created",
    "conference.member.joined",
    "conference.play.started",
    "conference.play.finished",
    "conference.member.left",
    "conference.destroyed",
]


def environment(pipe: Pipe, folder: Path) -> dict[str, str]:
    """Return an environment with the servers of the tests, an empty home, and settings that must not reach the demo."""
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    return {
        **named(pipe),
        "CONFERENCE_PIPELINE_CACHE": own_cache(folder)["CONFERENCE_PIPELINE_CACHE"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "ENGINE_PASSWORD_FILE": "/nowhere",
        "PIPELINE_WATCHDOG_SECONDS": "1",
    }


def no_trace(env: dict[str, str]) -> None:
    nothing_left(env)
    assert list(Path(env["TMPDIR"]).iterdir()) == []


def test_the_events_are_those_of_the_room_in_janus(pipe: Pipe, tmp_path: Path) -> None:
    env = environment(pipe, tmp_path)
    command = [*JANUS, "--json"]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=SECONDS, text=True
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["event"] for one in found] == EVENTS
        assert [one["meta"]["sequence"] for one in found] == [1, 2, 3, 4, 5, 6]
        [room] = {one["room_id"] for one in found}
        assert room.startswith("demo-room-demo-")
        assert (found[1]["session_uuid"], found[1]["caller_id"]) == ("demo-alice", "+15551234567")
        assert found[3]["urls"] == ["https://cdn.example.com/chime.opus"]
        assert not any(one["meta"]["synthetic"] for one in found)
        no_trace(env)


def test_people_see_what_happens_and_what_was_heard(pipe: Pipe, tmp_path: Path) -> None:
    env = environment(pipe, tmp_path)
    done = subprocess.run(JANUS, cwd=ROOT, env=env, capture_output=True, check=False, timeout=SECONDS, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split()[2] for line in done.stdout.splitlines() if " conference." in line and line[:2].isdigit()]
    assert lines == EVENTS
    assert "6 events of a real room in Janus" in done.stdout
    heard = next(line for line in done.stdout.splitlines() if "# alice heard" in line)
    assert 2.0 < float(heard.split()[3]) < 4.0
    assert "\x1b" not in done.stdout
    assert "starting Janus, a worker and the bridge" in done.stderr
    no_trace(env)


@pytest.mark.parametrize(
    ("when", "number", "code"),
    [("waiting for the bridge", signal.SIGTERM, 143), ("conference.play.started", signal.SIGINT, 130)],
)
def test_an_interrupted_demo_leaves_nothing(
    pipe: Pipe, tmp_path: Path, when: str, number: signal.Signals, code: int
) -> None:
    env = environment(pipe, tmp_path)
    options = {"cwd": ROOT, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([*JANUS, "--json"], **options) as demo:  # type: ignore[call-overload]
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if when in line:
                break
        demo.send_signal(number)
        rest = demo.communicate(timeout=SECONDS)[0]
    assert demo.returncode == code, "".join(lines) + rest
    assert "Traceback" not in rest
    no_trace(env)
