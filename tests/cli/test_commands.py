"""The command line: help, options, exit codes, one-line errors; `send` on real servers."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer.main
from aiokafka.partitioner import DefaultPartitioner, murmur2
from typer.testing import CliRunner

from pipeline import cli
from pipeline.demo.scenario import steps
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS, ConferenceCreate
from pipeline.model.wire import ENCODERS
from testkit.fork_server import run
from testkit.pipe import ROOT, Pipe
from tests.support.commands import CREATE, PROGRAM, START, line, no_servers

PAUSE = ["signal", "pause", "--room", "r"]

# --- help and errors -----------------------------------------------------------------------------------------


def help_lines(command: str) -> list[str]:
    """Return the lines of a command's help text without markup."""
    found: Any = typer.main.get_command(cli.build())
    for name in command.split():
        found = found.commands[name]
    text = inspect.cleandoc(found.help).replace("[dim]", "").replace("[/dim]", "")
    return text.splitlines()


@pytest.mark.parametrize("command", [*cli.COMMANDS, "import freeswitch", "rooms list", "rooms show"])
def test_help_of_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli.build(), [*command.split(), "--help"])
    assert shown.exit_code == 0
    examples = [line for line in help_lines(command) if line.startswith("$ ")]
    assert any(f"conference-pipeline {command}" in line for line in examples)
    assert all(line.strip() in shown.output for line in examples)


@pytest.mark.parametrize("command", [*cli.COMMANDS, "import freeswitch", "rooms list", "rooms show"])
def test_help_fits_80_columns(command: str) -> None:
    """A longer line of a docstring is broken in the middle of a sentence."""
    assert max(map(len, help_lines(command))) <= 78


def test_root_help_lists_commands_and_the_demo() -> None:
    shown = CliRunner().invoke(cli.build(), ["--help"])
    assert shown.exit_code == 0
    assert all(f" {name} " in shown.output for name in cli.COMMANDS)
    assert "conference-pipeline demo" in shown.output


def test_version_is_that_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    for found, shown in (
        (lambda name: f"{name} 1.2", "conference-pipeline 1.2\n"),
        (not_installed, "unknown\n"),
    ):
        monkeypatch.setattr(metadata, "version", found)
        done = CliRunner().invoke(cli.build("replay"), ["--version"])
        assert (done.exit_code, done.output) == (0, shown)


def test_one_command_does_not_import_the_others() -> None:
    script = (
        "import sys; from pipeline.cli import build; build('replay');"
        "print(*(name for name in ('aiokafka', 'faust', 'pydantic_settings', 'pipeline.devstack', 'rich.progress')"
        " if name in sys.modules),"
        "*(name for name in sys.modules if name.startswith('pipeline.cli.') and name not in"
        " {'pipeline.cli.replay', 'pipeline.cli.completion'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.strip() == b""


def test_readers_of_kafka_import_no_library_of_services() -> None:
    script = (
        "import sys, pipeline.kafka.ranges, pipeline.kafka.schema_registry, pipeline.view;"
        "print(*({'structlog', 'rich', 'faust', 'prometheus_client', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.strip() == b""


@pytest.mark.parametrize(
    "command", [["setup"], ["worker"], ["doctor"], ["send", "-"], ["events"], ["rooms", "list"], PAUSE]
)
def test_missing_servers_give_a_one_line_remedy(tmp_path: Path, command: list[str]) -> None:
    done = run(*command, env=no_servers(tmp_path))
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"run `conference-pipeline up` or set KAFKA_BOOTSTRAP_SERVERS" in done.stderr


@pytest.mark.parametrize("command", [["setup"], ["worker"], ["doctor"], ["send", "-"], ["events"], ["demo"]])
def test_invalid_setting_gives_a_one_line_error(tmp_path: Path, command: list[str]) -> None:
    done = run(
        *command, env=no_servers(tmp_path, PIPELINE_WATCHDOG_SECONDS="soon", PIPELINE_SESSION_TIMEOUT_SECONDS="0")
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"error: invalid settings: ")
    assert b"PIPELINE_SESSION_TIMEOUT_SECONDS" in done.stderr


@pytest.mark.parametrize(
    "command", [["setup"], ["worker"], ["doctor"], ["send", "-"], ["events"], ["rooms", "list"], PAUSE]
)
@pytest.mark.parametrize("only", ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"])
def test_one_server_of_two_is_an_error(tmp_path: Path, command: list[str], only: str) -> None:
    """Else it would be combined with the other one of `up`."""
    done = run(
        *command, env=no_servers(tmp_path, **{only: "127.0.0.1:9" if only.startswith("K") else "http://127.0.0.1:9"})
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert f"{only} is set, but ".encode() in done.stderr


@pytest.mark.parametrize("command", [["setup"], ["doctor"]])
def test_a_misspelt_variable_is_warned_of(tmp_path: Path, command: list[str]) -> None:
    done = run(*command, env=no_servers(tmp_path, PIPELINE_WATCHDOG_SECOND="30", KAFKA_SASL_MECHANISMS="PLAIN"))
    assert [line.partition(b" is no setting")[0] for line in done.stderr.splitlines()[:2]] == [
        b"warning: KAFKA_SASL_MECHANISMS",
        b"warning: PIPELINE_WATCHDOG_SECOND",
    ]
    assert done.stdout == b""


def test_a_worker_logs_a_misspelt_variable(tmp_path: Path) -> None:
    env = no_servers(
        tmp_path,
        PIPELINE_WATCHDOG_SECOND="30",
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
        SCHEMA_REGISTRY_URL="http://127.0.0.1:9",
        PIPELINE_HTTP_HOST="256.0.0.1",  # ends it
    )
    done = run("worker", env=env)
    assert done.returncode == 2
    first = json.loads(done.stderr.splitlines()[0])
    assert (first["level"], first["msg"].partition(" is no setting")[0]) == ("warning", "PIPELINE_WATCHDOG_SECOND")


@pytest.mark.parametrize(("command", "code"), [(["setup"], 1), (["send", "-"], 2), (["events"], 2)])
def test_unreachable_broker_is_named_in_the_last_line(tmp_path: Path, command: list[str], code: int) -> None:
    dead = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
    done = run(*command, env=no_servers(tmp_path, **dead))
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"127.0.0.1:9" in done.stderr.splitlines()[-1]
    assert b"check KAFKA_BOOTSTRAP_SERVERS" in done.stderr.splitlines()[-1]


def test_conflicting_options_and_unknown_events_are_errors(tmp_path: Path) -> None:
    done = run("send", "-", "--rate", "1", "--keep-pace", env=no_servers(tmp_path))
    assert done.returncode == 2
    assert b"exclude each other" in done.stderr
    done = run("events", "--type", "member.jumped", env=no_servers(tmp_path))
    assert done.returncode == 2
    assert b"member.joined" in done.stderr


# --- send --------------------------------------------------------------------------------------------------


def test_default_partitioner_is_murmur2_like_the_java_client() -> None:
    """Values of Kafka's UtilsTest.testMurmur2, and the partitions that follow from them."""
    cases = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, value in cases.items():
        assert murmur2(key) == value & 0xFFFFFFFF
        assert DefaultPartitioner()(key, list(range(12)), []) == (value & 0x7FFFFFFF) % 12


@pytest.mark.broker
async def test_send_keeps_bytes_and_picks_topic_and_partition(pipe: Pipe, tmp_path: Path) -> None:
    timeline = [step.line for step in steps()]
    others = [line("member.joined", f"j-{n}", 1, f"room {n} é", session_uuid="s", caller_id="c") for n in range(20)]
    file = tmp_path / "signals.jsonl"
    file.write_bytes(b"".join(timeline) + b"  " + b"".join(others).rstrip(b"\n"))
    done = run("send", str(file), env=pipe.env)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == "sent 55 (api 19, media 36), skipped 0\n"
    for topic in ("api", "media"):
        records = await pipe.records(f"{topic}.signals")
        sent = [one.strip() for one in timeline + others if (b'"conference.' in one) == (topic == "api")]
        got = defaultdict(list)
        for record in records:
            assert record.partition == pipe.partition(record.key.decode())
            assert json.loads(record.value)["room_id"] == record.key.decode()
            got[record.key.decode()].append(record.value)
        wanted = defaultdict(list)
        for value in sent:
            wanted[json.loads(value)["room_id"]].append(value)
        assert got == wanted


@pytest.mark.broker
async def test_send_avro_causes_the_same_events(pipe: Pipe) -> None:
    lines = [CREATE, line("member.joined", "j", 1, session_uuid="s", caller_id="c", muted=True)]
    done = run("send", "-", "--avro", "--json", env=pipe.env, stdin=b"".join(lines))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sent": 2, "api": 1, "media": 1, "skipped": 0, "refused": 0}
    [record] = await pipe.records("api.signals")
    assert record.value[0] == 0
    assert record.value[5:] == ENCODERS[ConferenceCreate](ConferenceCreate("s-1", "r", 1795352400000000, "a", "n"), b"")
    with pipe.worker():
        found = await pipe.until_events(3)
    assert [one["event"] for one in found] == [
        "conference.created",
        "conference.member.joined",
        "conference.member.muted",
    ]


@pytest.mark.broker
async def test_send_reports_lines_that_are_not_signals(pipe: Pipe) -> None:
    lines = CREATE + b"\n" + line("conference.volume", "v", 1, volume="2", operation_id="o") + START
    done = run("send", "-", env=pipe.env, stdin=lines)
    assert done.returncode == 1
    errors = done.stderr.decode().splitlines()
    assert errors[0] == "line 2: the line is blank; not sent"
    assert errors[1].startswith("line 3: volume: ")
    assert errors[2] == "sent 2 (api 2, media 0), skipped 2"
    assert len(await pipe.records("api.signals")) == 2
    strict = run("send", "-", "--strict", env=pipe.env, stdin=lines)
    assert strict.returncode == 1
    assert strict.stderr.decode().splitlines()[-1] == "sent 1 (api 1, media 0), skipped 1"


@pytest.mark.broker
async def test_send_keeps_the_rate_or_the_pace(pipe: Pipe) -> None:
    lines = b"".join(line("conference.destroy", f"d-{n}", n) for n in range(5))
    for options, shortest in ((["--rate", "5"], 0.6), (["--keep-pace", "--speed", "4"], 0.8), ([], 0.0)):
        before = len(await pipe.records("api.signals"))
        assert run("send", "-", *options, env=pipe.env, stdin=lines).returncode == 0
        times = [record.timestamp for record in (await pipe.records("api.signals"))[before:]]
        took = (times[-1] - times[0]) / 1000
        assert shortest <= took < shortest + 1.0, options


@pytest.mark.broker
async def test_send_keeps_a_rooms_order_across_both_topics(pipe: Pipe) -> None:
    """API mutes and engine unmutes alternate; out of order, some would be no-ops."""
    lines = [CREATE, line("member.joined", "j", 1, session_uuid="s", caller_id="c")]
    for number in range(40):
        kinds = ("conference.mute", "member.unmuted")
        lines += [line(kind, f"{kind}-{number}", 2, session_uuid="s") for kind in kinds]
    assert run("send", "-", env=pipe.env, stdin=b"".join(lines)).returncode == 0
    with pipe.worker():
        found = await pipe.until_events(len(lines))
    assert [one["event"].rpartition(".")[2] for one in found[2:]] == ["muted", "unmuted"] * 40
    bulk = run("send", "-", "--bulk", env=pipe.env, stdin=b"".join(lines))
    assert bulk.returncode == 0
    assert bulk.stderr.decode().splitlines()[-1].startswith("sent 82 (api 41, media 41)")


@pytest.mark.broker
async def test_send_forwards_live_input_at_once_until_ctrl_c(pipe: Pipe) -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [*PROGRAM, "send", "-"], cwd=ROOT, env=pipe.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sending:
        assert sending.stdin
        assert sending.stderr
        sending.stdin.write(CREATE)
        sending.stdin.flush()
        limit = time.monotonic() + 20
        while not await pipe.records("api.signals"):
            assert time.monotonic() < limit
        began = time.monotonic()
        sending.send_signal(signal.SIGINT)
        errors = sending.stderr.read().decode()
        assert sending.wait(10) == 130
        assert time.monotonic() - began < 5
        assert errors == "sent 1 (api 1, media 0), skipped 0\n"


@pytest.mark.broker
async def test_missing_topics_give_a_one_line_remedy(pipe: Pipe) -> None:
    env = {**pipe.env, "PIPELINE_TOPIC_PREFIX": "nothing"}
    for command in (["send", "-"], ["events"]):
        done = run(*command, env=env)
        assert done.returncode == 2
        assert done.stderr.startswith((b"error: no topic", b"sent 0 (api 0, media 0), skipped 0\nerror: no topic"))
        assert b"run `conference-pipeline setup`" in done.stderr


@pytest.mark.broker
async def test_setup_reports_work_once_and_then_differences(pipe: Pipe) -> None:
    assert run("setup", env=pipe.env).stdout.count(b"set the compatibility level of ") == len(EVENTS) + len(SIGNALS) + 7
    again = run("setup", env=pipe.env)
    assert again.returncode == 0
    assert all(line.startswith(b"warning: ") for line in again.stderr.splitlines())
    assert again.stdout == b"nothing to do: topics and schemas are as they must be\n"
    fresh = {**pipe.env, "PIPELINE_TOPIC_PREFIX": f"{pipe.prefix}-2", "PIPELINE_PARTITIONS": "1"}
    first = run("setup", "--json", env=fresh)
    done = json.loads(first.stdout)
    assert done["differences"] == []
    assert sum(one.startswith("created topic") for one in done["done"]) == 8
    assert sum(one.startswith("registered") for one in done["done"]) == len(EVENTS) + len(SIGNALS) + 7
    differs = run("setup", env={**fresh, "PIPELINE_PARTITIONS": "2"})
    assert differs.returncode == 2
    assert b"1 partitions, expected 2" in differs.stderr
    worker = run("worker", env={**fresh, "PIPELINE_PARTITIONS": "2"})
    assert worker.returncode == 2
    assert b"1 partitions, expected 2: " in worker.stderr
