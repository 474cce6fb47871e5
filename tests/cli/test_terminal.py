"""Hostile text in everything that a command prints: no control character reaches a terminal raw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.terminal import printable
from testkit.pipe import ROOT, Pipe
from tests.support.commands import CREATE, PROGRAM, line, no_servers
from tests.support.freeswitch import event, member

HOSTILE = "\x1b]0;owned\x07\x9b31m\u202eevil\u2066\x08\x7f\x85\u2028\x1b[2J"
"""Sets the title, clears the screen, rings, changes the colour by a C1 control, turns the direction of writing."""
RAW = re.compile(
    "[\x00-\x07\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\x1b[]]|\x1b\\[2J"
)
"""What no command prints itself: of the escape sequences it uses colours, and those of progress bars."""


def on_terminal(*command: str, stdin: bytes = b"", env: dict[str, str] | None = None, columns: int = 250) -> str:
    """Run a program whose two outputs are a terminal; return what it gets."""
    leader, follower = os.openpty()
    parts: list[bytes] = []

    def read() -> None:
        while True:
            try:
                chunk = os.read(leader, 1 << 16)
            except OSError:  # every follower is closed
                return
            parts.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        whole = {**(env or os.environ), "TERM": "xterm", "COLUMNS": str(columns)}
        subprocess.run(
            command, input=stdin, stdout=follower, stderr=follower, env=whole, cwd=ROOT, timeout=60, check=False
        )
    finally:
        os.close(follower)
        reader.join(30)
        os.close(leader)
    return b"".join(parts).decode("utf-8", "replace").replace("\r\n", "\n")


def is_safe(text: str) -> bool:
    """Assert that the hostile text was printed, and return whether it is harmless."""
    assert "owned" in text
    return RAW.search(text.replace("\r", "")) is None


NAMED = line("conference.create", f"s{HOSTILE}", 0, room_id=f"r{HOSTILE}", app_id="a", name=HOSTILE)
RAW_LINE = HOSTILE.encode() + b"\n"
CALL = member("add-member", Caller_Caller_ID_Number=HOSTILE, Conference_Name=f"r{HOSTILE}")
LATE = {**CALL, "Event-Sequence": "1"}
KIND = {**event(""), "Event-Name": HOSTILE}


@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        (["replay", "-"], NAMED),
        (["replay", HOSTILE.replace("\x00", "")], b""),
        (["replay", "-", "--until", HOSTILE], b""),
        (["replay", "-", f"--{HOSTILE}"], b""),
        ([HOSTILE], b""),
        (["import", "freeswitch", "-"], RAW_LINE),
        (["import", "freeswitch", "-"], json.dumps(CALL).encode()),
        (["import", "freeswitch", "-"], json.dumps(CALL, ensure_ascii=False).encode()),
        (["import", "freeswitch", "-"], json.dumps(KIND).encode()),
        (["import", "freeswitch", "-", "--reorder", "0"], json.dumps([CALL, LATE]).encode()),
        (["import", "freeswitch", HOSTILE], b""),
        (["import", "freeswitch", "-", "--media-map", HOSTILE], b""),
        (["events", "--type", HOSTILE], b""),
        (["signal", HOSTILE.replace("\x00", ""), "--room", "r"], b""),
        (["signal", "play", "--room", "r", "--url", HOSTILE.replace("\x00", "")], b""),
        (["rooms", "list", "--output", HOSTILE.replace("\x00", "")], b""),
        (["stack", "status", "--name", HOSTILE], b""),
        (["down", "--name", HOSTILE], b""),
    ],
)  # fmt: skip
def test_hostile_input_is_harmless_on_a_terminal(tmp_path: Path, command: list[str], stdin: bytes) -> None:
    assert is_safe(on_terminal(*PROGRAM, *command, stdin=stdin, env=no_servers(tmp_path)))


SETTINGS = [("PIPELINE_WATCHDOG_MODE", one) for one in ("setup", "worker", "doctor", "send -", "events", "demo")]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *SETTINGS,
        ("KAFKA_BOOTSTRAP_SERVERS", "up"),
        ("KAFKA_BOOTSTRAP_SERVERS", "send -"),
        ("SCHEMA_REGISTRY_URL", "up"),
    ],
)
def test_hostile_setting_is_harmless_on_a_terminal(tmp_path: Path, name: str, command: str) -> None:
    servers = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
    value = f"http://127.0.0.1:9/{HOSTILE}" if name == "SCHEMA_REGISTRY_URL" else f"127.0.0.1:9,{HOSTILE}"
    shown = on_terminal(*PROGRAM, *command.split(), env=no_servers(tmp_path, **{**servers, name: value}))
    assert RAW.search(shown.replace("\r", "")) is None


LOGS = """
import logging, structlog
from pipeline.logs import configure
from pipeline.settings import load
text = {hostile!r}
configure(load(log_format={form!r}))
log = structlog.get_logger()
log.warning(text, key=text, other=[text], **{{"k" + text: 1}})
logging.getLogger("faust").critical("%s", text)
try:
    raise ValueError(text)
except ValueError:
    log.exception("failed")
    logging.getLogger("faust").critical("failed", exc_info=True)
"""


@pytest.mark.parametrize(("form", "count"), [("text", 7), ("auto", 7), ("json", 5)])
def test_hostile_log_is_harmless_on_a_terminal(tmp_path: Path, form: str, count: int) -> None:
    shown = on_terminal(sys.executable, "-c", LOGS.format(hostile=HOSTILE, form=form), env=no_servers(tmp_path))
    assert is_safe(shown)
    assert shown.count("owned") >= count
    assert form == "json" or "Traceback" in shown


CRASH = """
import logging, sys
from pipeline import cli
def build(only):
    logging.getLogger("library").warning("%s", {hostile!r})
    raise RuntimeError({hostile!r})
cli.build = build
cli.main()
"""


def test_unexpected_error_is_harmless_on_a_terminal() -> None:
    shown = on_terminal(sys.executable, "-c", CRASH.format(hostile=HOSTILE))
    assert is_safe(shown)
    assert "Traceback (most recent call last):\n" in shown


@pytest.mark.broker
async def test_hostile_signals_are_harmless_with_servers(pipe: Pipe) -> None:
    sent = on_terminal(*PROGRAM, "send", "-", stdin=NAMED + line(HOSTILE, "s", 1) + CREATE, env=pipe.env)
    assert is_safe(sent)
    assert "sent 2" in sent
    for command in ("setup", "doctor"):
        shown = on_terminal(*PROGRAM, command, env=pipe.env)
        assert RAW.search(shown.replace("\r", "")) is None


def test_pipe_gets_the_json_unchanged() -> None:
    done = subprocess.run([*PROGRAM, "replay", "-"], input=NAMED, capture_output=True, check=False, timeout=60)
    assert "\u202eevil" in done.stdout.decode()


@given(st.text() | st.text(alphabet="\x1b\x9b\u202e\u2066\ud800a\n\t"))
def test_printable_text_is_safe_and_the_same_json(text: str) -> None:
    safe = printable(text)
    assert RAW.search(safe) is None
    assert not {"\n", "\t", "\x1b", "\r"} & set(safe)
    safe.encode()
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(printable(quoted)) == text
    assert printable(text, lines=True).count("\n") == text.count("\n")


PRINTS = re.compile(r"(?<![\w.])print\(|typer\.echo\(|sys\.std(?:out|err)\.write\(|\.secho\(|console\.print\(")


def test_commands_print_through_one_function() -> None:
    """Exceptions are texts without outside parts, or parts that are made safe in the same call."""
    allowed: dict[str, Any] = {
        "pipeline/terminal.py": 2, "pipeline/cli/__init__.py": 2, "pipeline/cli/doctor.py": 2, "pipeline/demo/run.py": 3,
        "pipeline/cli/event_lines.py": 2, "pipeline/cli/rooms.py": 1, "pipeline/cli/timeline.py": 3, "pipeline/cli/verify.py": 1,
        "pipeline/cli/signal.py": 1, "pipeline/demo/janus_run.py": 1, "pipeline/demo/screen.py": 4,
        "pipeline/devstack/progress.py": 3,
    }  # fmt: skip
    found = {
        path.relative_to(ROOT).as_posix(): len(PRINTS.findall(path.read_text()))
        for path in sorted((ROOT / "pipeline").rglob("*.py"))
        if PRINTS.search(path.read_text())
    }
    assert found == allowed
