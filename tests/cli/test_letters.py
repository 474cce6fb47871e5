"""`rejected list`, `dead list` and `dead show` on real servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import framing
from pipeline.model.signals import ConferenceCreate, ConferencePause, ConferencePlay
from testkit.fork_server import run
from testkit.pipe import Pipe
from tests.cli.test_terminal import HOSTILE, is_safe, on_terminal
from tests.support.commands import PROGRAM, no_servers

pytestmark = pytest.mark.broker
CONTROL = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
"""Colours, and what a progress bar needs."""


async def append(pipe: Pipe, key: str | None, *values: bytes) -> None:
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for value in values:
            key_bytes = None if key is None else key.encode()
            await producer.send_and_wait(pipe.topic("api.signals"), value, key_bytes, partition=pipe.partition("room"))


async def letters(pipe: Pipe, *values: bytes, key: str | None = "room") -> None:
    """Let a worker bury these values."""
    with pipe.worker():
        await append(pipe, key, *values)
        await pipe.send(ConferenceCreate("last", "room", 1, "a", "n"))
        await pipe.until_events(1)


def rows(done: Any) -> list[Any]:
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(one) for one in done.stdout.splitlines()]


async def test_rejected_signals_are_listed_with_their_reasons(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(
            ConferencePause("p", "none", 1, "o"),
            ConferencePause("q", "other", 2, "o"),
            ConferenceCreate("c", "room", 3, "a", "n"),
            ConferencePause("r", "room", 4, "o"),
        )
        await pipe.until_events(1)
        while len(await pipe.records("signals.rejected")) < 3:
            pass
    found = rows(run("rejected", "list", env=pipe.env))
    assert [one["signal_id"] for one in found] == ["p", "q", "r"]
    names = ["rejected_at", "room_id", "type", "reason", "signal_id", "topic", "partition", "offset", "room_now"]
    assert list(found[2]) == names
    assert found[0]["room_now"] is None
    state = {"name": "n", "app_id": "a", "members": 0, "playback_status": "stopped"}
    assert found[2]["room_now"] == state
    assert (found[2]["reason"], found[2]["topic"]) == ("playback_inactive", pipe.topic("api.signals"))
    [one] = rows(run("rejected", "list", "--room", "room", "--type", "conference.pause", env=pipe.env))
    assert (one["signal_id"], one["room_now"]) == ("r", state)
    whole = run("rejected", "list", "--reason", "room_unknown", "-o", "json", env=pipe.env)
    assert [one["signal_id"] for one in json.loads(whole.stdout)] == ["p", "q"]
    assert json.loads(run("rejected", "list", "--since", "0s", "-o", "json", env=pipe.env).stdout) == []


async def test_dead_letters_are_listed_and_explained(pipe: Pipe) -> None:
    await letters(pipe, b'{"type":"conference.crate"}', framing.head(9_999_999) + b"x" * 300)
    first, second = rows(run("dead", "list", env=pipe.env))
    assert first["letter"] == f"{pipe.partition('room')}/0"
    assert first["room_now"] == {"name": "n", "app_id": "a", "members": 0, "playback_status": "stopped"}
    assert (first["room_id"], first["topic"], first["offset"]) == ("room", pipe.topic("api.signals"), 0)
    assert "do you mean 'conference.create'?" in first["reason"]
    shown = run("dead", "show", second["letter"], env=pipe.env)
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout.decode()
    for part in ("magic byte 0, schema id 9999999", "the registry has none with this id", "0000  00 00 98 96 7f 78"):
        assert part in text
    assert "and 177 bytes more" in text
    found = json.loads(
        run("dead", "show", f"{pipe.topic('signals.dead')}/{first['letter']}", "--json", env=pipe.env).stdout
    )
    assert found["explanation"]["form"] == "JSON"
    assert found["value"] == '{"type":"conference.crate"}'


async def test_a_missing_letter_is_one_line(pipe: Pipe) -> None:
    for place, error in (("0/5", "no letter at 0/5 of"), ("99/0", "has partitions 0 to 3, not 99")):
        done = run("dead", "show", place, env=pipe.env)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.count(b"\n") == 1
        assert error in done.stderr.decode()


def test_a_wrong_place_names_the_form(tmp_path: Path) -> None:
    env = {
        **no_servers(tmp_path),
        "COLUMNS": "200",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9",
    }
    for place in ("5", "a/b", "1/-2", "1/²"):
        done = run("dead", "show", place, env=env)
        assert done.returncode == 2
        assert b"expected PARTITION/OFFSET such as 3/17" in done.stderr


async def test_tables_fold_and_escape_hostile_texts(pipe: Pipe) -> None:
    room = f"r{HOSTILE}"
    with pipe.worker():
        await pipe.send(ConferencePlay("p", room, 1, ("http://x/a",), "o"))
        await append(pipe, HOSTILE, HOSTILE.encode())
        await pipe.send(ConferenceCreate("last", "room", 1, "a", "n"))
        await pipe.until_events(1)
    for command in ("rejected", "dead"):
        for columns in (60, 80):
            shown = on_terminal(*PROGRAM, command, "list", env=pipe.env, columns=columns)
            assert is_safe(shown.replace("\n", "") + "owned")
            assert max(len(line.rstrip()) for line in CONTROL.sub("", shown).splitlines()) <= columns
    [one] = rows(run("dead", "list", env=pipe.env))
    assert is_safe(on_terminal(*PROGRAM, "dead", "show", one["letter"], env=pipe.env))
    assert is_safe(on_terminal(*PROGRAM, "dead", "list", "-o", "jsonl", env=pipe.env))
