"""The command `import freeswitch`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import PROGRAM
from tests.support.freeswitch import CAPTURES, FAULTS, event, member

CAPTURE = CAPTURES / "freeswitch-mod_conference.jsonl"
EXPECTED = CAPTURES / "freeswitch.signals.expected.jsonl"
CDN = "--media-map=/var/media=https://cdn.example.com"


def run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*PROGRAM, "import", "freeswitch", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)


def jsons(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def summary(signals: list[Any]) -> list[str]:
    fields = ("session_uuid", "reason", "operation_id", "url")
    return [" ".join([one["type"], *(one[name] for name in fields if one.get(name))]) for one in signals]


# --- the inputs that failed once ---

JOINED = ["member.joined fs1-m1"]
FAULT_CASES = {
    "fs-latin1-lifecycle": [*JOINED, "member.muted fs1-m1", "member.left fs1-m1 hangup"],
    "fs-crash": [*JOINED, "member.left fs1-m1 orphan", "member.joined fs1-m2"],
    "fs-out-of-order": [*JOINED, "member.muted fs1-m1", "member.left fs1-m1 hangup"],
    "fs-bom": JOINED,
    "fs-kcatJ": JOINED,
    "fs-go-canonical-headers": JOINED,
    "fs-file-braces-op": [
        *JOINED,
        "play.progress op1 https://cdn.example.com/a.wav",
        "play.finished op1 https://cdn.example.com/a.wav",
    ],
    "fs-file-braces-path": [
        *JOINED,
        "play.progress https://cdn.example.com/a.wav",
        "play.finished https://cdn.example.com/a.wav",
    ],
}


@pytest.mark.parametrize("name", FAULT_CASES)
@pytest.mark.parametrize("is_file", [True, False])
def test_input_that_failed_once_is_right(name: str, is_file: bool) -> None:
    path = FAULTS / f"{name}.jsonl"
    done = run(str(path), CDN) if is_file else run("-", CDN, data=path.read_bytes())
    assert done.returncode == 0
    assert summary(jsons(done.stdout)) == FAULT_CASES[name]
    assert b"0 bad" in done.stderr


def test_every_fault_of_freeswitch_is_tested() -> None:
    assert {path.stem for path in FAULTS.glob("fs-*")} == set(FAULT_CASES)


@pytest.mark.parametrize("name", ["fs-file-braces-op", "fs-file-braces-path"])
def test_playback_with_parameters_finishes(name: str) -> None:
    media = run(str(FAULTS / f"{name}.jsonl"), CDN).stdout.splitlines()
    start = {"room_id": "r1", "app_id": "app", "name": "n", "operation_id": "op1"}
    api = [
        {"type": kind, "signal_id": f"a{n}", "occurred_at": f"2025-11-29T07:06:4{n}Z", **start, **more}
        for n, (kind, more) in enumerate(
            (("conference.create", {}), ("conference.play", {"urls": ["https://cdn.example.com/a.wav"]}))
        )
    ]
    lines = sorted(
        [*media, *(json.dumps(one).encode() for one in api)], key=lambda line: json.loads(line)["occurred_at"]
    )
    command = [*PROGRAM, "replay", "-", "--until", "2025-11-29T08:00:00Z"]
    done = subprocess.run(command, input=b"\n".join(lines), capture_output=True, check=True, timeout=60)
    plays = [one for one in jsons(done.stdout) if one["event"].startswith("conference.play.")]
    assert [(one["event"], one["operation_id"]) for one in plays if "operation_id" in one] == [
        ("conference.play.started", "op1"),
        ("conference.play.finished", "op1"),
    ]
    assert plays[-1]["meta"]["ends_playback"] is True


# --- output ---


def test_import_writes_signals_and_a_summary(tmp_path: Path) -> None:
    output = tmp_path / "signals.jsonl"
    done = run(str(CAPTURE), "--media-map=/var/lib/media=https://cdn.example.com/audio", "--output", str(output))
    assert (done.returncode, done.stdout) == (0, b"")
    assert jsons(output.read_bytes()) == jsons(EXPECTED.read_bytes())
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "52 lines: 16 signals, 36 ignored, 0 bad"
    assert "play.finished 3" in lines[1]
    assert "HEARTBEAT 4" in lines[2]


def test_import_reports_bad_lines_and_continues() -> None:
    good = json.dumps(member("mute-member")).encode()
    bad = [b"[1]", b"{}", b"\xff", b'{"a":' * 5000, b"1" * 5000, json.dumps(event("add-member")).encode(), b"{"]
    done = run("-", data=b"\n".join([*bad, good]))
    assert done.returncode == 0
    assert [one["type"] for one in jsons(done.stdout)] == ["member.muted"]
    errors = done.stderr.decode().splitlines()
    assert sorted(line.split(":")[0] for line in errors[:7]) == [f"line {number}" for number in range(1, 8)]
    assert any("header Unique-ID is missing" in line for line in errors)
    assert "8 lines: 1 signals, 0 ignored, 7 bad" in errors


def test_import_reports_what_an_operator_must_know() -> None:
    lines = (FAULTS / "fs-crash.jsonl").read_bytes()
    assert b"warning: switch fs1: it was restarted (process c1, now c2); 1 members left" in run("-", data=lines).stderr
    lines = (FAULTS / "fs-out-of-order.jsonl").read_bytes()
    done = run("-", "--reorder", "0", data=lines)
    assert summary(jsons(done.stdout)) == ["member.left fs1-m1 hangup", "member.muted fs1-m1"]
    assert b"warning: switch fs1, room r1: Event-Sequence 11 after 12" in done.stderr


def test_live_pipe_gets_signals_while_the_input_is_open() -> None:
    """Also the end of a member whose reason is open: no later event decides it."""
    command = [*PROGRAM, "import", "freeswitch", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = [json.dumps(member(action, Event_Sequence=n)) for n, action in enumerate(("add-member", "del-member"))]
        process.stdin.write(
            "".join(line.replace(": 0,", ': "0",').replace(": 1,", ': "1",') + "\n" for line in lines).encode()
        )
        process.stdin.flush()
        began = time.monotonic()
        found = [json.loads(process.stdout.readline()) for _ in lines]
        assert time.monotonic() - began < 30
        assert summary(found) == ["member.joined acW68-a", "member.left acW68-a removed"]
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["/nowhere/capture.jsonl"], "can't open /nowhere/capture.jsonl"),
        (["-", "--media-map", "nonsense"], "expected PREFIX=URL"),
        (["-", "--media-map", "=https://cdn"], "expected PREFIX=URL"),
        (["-", "--output", "/nowhere/out.jsonl"], "can't open /nowhere/out.jsonl"),
        (["-", "--reorder", "-1"], "--reorder"),
    ],
)
def test_import_reports_invalid_arguments(arguments: list[str], text: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.decode().replace("│", " ").split())
    assert b"Traceback" not in done.stderr


# --- an endless line ---

WRITE = "import os,sys\nfor _ in range(int(sys.argv[1])): os.write(1, b'a' * (1 << 20))"
RUN = (
    "import resource,subprocess,sys\n"
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode, done.stderr[-300:])"
)


@pytest.mark.parametrize("command", ["replay - --summary", "import freeswitch -"])
def test_endless_line_costs_bounded_memory(command: str) -> None:
    """300 MB without a line end; the peak is that of the program itself, some 60 MB."""
    writer = subprocess.Popen([sys.executable, "-c", WRITE, "300"], stdout=subprocess.PIPE)
    measure = [sys.executable, "-c", RUN, *PROGRAM, *command.split()]
    done = subprocess.run(measure, stdin=writer.stdout, capture_output=True, check=True, timeout=120, env=os.environ)
    writer.wait()
    peak, code, text = done.stdout.decode().split(" ", 2)
    assert int(peak) < 160 * 1024
    assert code == "0"
    assert "dead=1" in text or "1 bad" in text
