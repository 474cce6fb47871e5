"""The command `replay`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import replay
from pipeline.core.watchdog import Rules
from pipeline.settings import Settings
from testkit.fork_server import run
from testkit.pipe import ROOT
from tests.support.commands import CREATE, PREFIXES, PROGRAM, START, line, no_servers
from tests.support.slowness import slowness


def test_replay_writes_events_rejected_and_dead_and_exits_0(tmp_path: Path) -> None:
    signals, rejected, dead = (tmp_path / name for name in ("signals", "rejected", "dead"))
    pause = line("conference.pause", "s-9", 2, "elsewhere", operation_id="p")
    signals.write_bytes(CREATE + b"junk\n\n" + START + pause)
    done = run("replay", str(signals), "--rejected", str(rejected), "--dead", str(dead), "--summary")
    assert done.returncode == 0
    assert [json.loads(one)["event"] for one in done.stdout.splitlines()] == [
        "conference.created",
        "conference.play.started",
    ]
    fields = {
        "signal_id": "s-9",
        "room_id": "elsewhere",
        "type": "conference.pause",
        "reason": "room_unknown",
    }
    assert json.loads(rejected.read_bytes()) == fields
    assert [json.loads(one)["line"] for one in dead.read_bytes().splitlines()] == ["junk", ""]
    assert b"dead=2" in done.stderr
    assert b"lines=5" in done.stderr


def test_replay_writes_no_ops_of_the_api(tmp_path: Path) -> None:
    no_ops = tmp_path / "no-ops"
    progress = line("play.progress", "m-1", 2)
    done = run("replay", "-", "--noops", str(no_ops), "--summary", stdin=CREATE + CREATE + progress)
    assert done.returncode == 0
    [written] = no_ops.read_bytes().splitlines(keepends=True)
    created = json.loads(CREATE)
    fields = {name: created[name] for name in ("signal_id", "room_id", "type")}
    assert written == json.dumps({**fields, "reason": "repeated"}, separators=(",", ":")).encode() + b"\n"
    assert b"no_ops=2" in done.stderr


def test_replay_reads_standard_input_and_fires_deadlines_until(tmp_path: Path) -> None:
    done = run("replay", "-", "--until", "2026-11-22T14:00:11+01:00", stdin=CREATE + START)
    assert [json.loads(one)["event"] for one in done.stdout.splitlines()][2:] == ["conference.play.failed"]
    done = run("replay", "-", "--until", "2026-11-22T13:00:10.999999Z", stdin=CREATE + START)
    assert len(done.stdout.splitlines()) == 2


def test_replay_uses_the_watchdog_settings_of_the_environment(tmp_path: Path) -> None:
    until = ["--until", "2026-11-22T13:00:03Z"]
    short = run("replay", "-", *until, stdin=CREATE + START, env=no_servers(tmp_path, PIPELINE_WATCHDOG_SECONDS="2"))
    assert len(short.stdout.splitlines()) == 3
    wrong = run("replay", "-", *until, env=no_servers(tmp_path, PIPELINE_WATCHDOG_MODE="never"))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(b"error: invalid settings: PIPELINE_WATCHDOG_MODE")


def test_replay_defaults_equal_the_settings_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    assert replay._rules() == Rules() == Settings().rules


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["no-such-file"], b"no-such-file: No such file or directory"),
        (["-", "--until", "tomorrow"], b"RFC 3339"),
        (["-", "--until", "2026-11-22T13:00:00"], b"RFC 3339"),
        (["-", "--dead", "/no/such/folder/dead"], b"/no/such/folder/dead: No such file"),
    ],
)
def test_replay_reports_invalid_options(args: list[str], text: bytes) -> None:
    done = run("replay", *args)
    assert done.returncode == 2
    assert text in b" ".join(done.stderr.split())
    assert b"Traceback" not in done.stderr


def test_replay_ends_quietly_when_the_reader_closes_the_pipe(tmp_path: Path) -> None:
    signals = tmp_path / "signals"
    signals.write_bytes(
        b"".join(line("conference.create", f"s-{n}", 0, f"r{n}", app_id="a", name="n" * 99) for n in range(9999))
    )
    command = f"{' '.join(PROGRAM)} replay {signals} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1


def test_replay_imports_no_heavy_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pipeline", "replay", "-"]
    done = subprocess.run(command, cwd=ROOT, input=b"", capture_output=True, check=True)
    loaded = {line.rpartition(b"|")[2].strip().decode().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"pipeline", "msgspec", "typer"} <= loaded
    heavy = {
        "faust",
        "mode",
        "aiokafka",
        "confluent_kafka",
        "aiohttp",
        "rich",
        "fastavro",
        "prometheus_client",
        "uvloop",
    }
    assert loaded & heavy == set()


def test_replay_starts_fast() -> None:
    """Half a second on an idle machine; the best of five runs counts, because this machine may be busy."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert run("replay", "-").returncode == 0
        took.append(time.perf_counter() - began)
    assert min(took) < 1.0 * slowness()
