"""The `curl` line of each event in docs/reference/http.md, run against a real worker and gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.model.signals import MemberJoined, MemberLeft
from testkit.pipe import ROOT, Pipe
from tests.support.gateway import NO_COOLDOWNS, PATIENT, apps_file

pytestmark = pytest.mark.broker
PAGE = ROOT / "docs" / "reference" / "http.md"
TRIGGERS = ROOT / "docs" / "reference" / "conference-events.txt"
SESSION = "acW68-f47ac10b"
AUTOMATIC = {"conference.play.finished", "conference.play.failed"}
"""Events that no request triggers."""
REQUESTED = {"conference.member.joined": "join", "conference.member.left": "leave"}
"""Events that the media engine causes, after a request that is a no-op with this reason."""


def commands() -> dict[str, str]:
    """Return the command of each event."""
    block = re.search(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    return {text.split("\n", 1)[0]: text.split("\n", 1)[1] for text in block[1].split("# ")[1:]}


def test_every_event_that_a_request_triggers_has_a_command() -> None:
    listed = TRIGGERS.read_text().rpartition("Triggered by")[2]
    assert commands().keys() == set(re.findall(r"conference\.[a-z_.]+(?=—)", listed)) - AUTOMATIC


async def test_the_commands_trigger_their_events(pipe: Pipe, tmp_path: Path) -> None:
    env = {**os.environ, "APP": "a", "KEY": "a-key", "SESSION": SESSION, "ROOM": ""}
    with pipe.worker(**PATIENT), pipe.gateway(apps_file(tmp_path), **NO_COOLDOWNS) as gateway:
        env["URL"] = gateway.api
        for event, command in commands().items():
            run = ["bash", "-c", command]
            done = await asyncio.to_thread(subprocess.run, run, env=env, capture_output=True, timeout=120, check=True)
            answer = json.loads(done.stdout)
            assert answer["success"] is True, (event, answer)
            if event == "conference.created":
                env["ROOM"] = answer["room_id"]
            if reason := REQUESTED.get(event):
                assert (answer["event"], answer["reason"]) == (None, reason)
                await pipe.send(_engine(event, env["ROOM"]))
                await _until(pipe, event)
            else:
                assert answer["event"]["event"] == event
    published = {event["event"] for event in await pipe.events()}
    assert published == commands().keys()


def _engine(event: str, room: str) -> MemberJoined | MemberLeft:
    """Return what the engine reports when it has done what was asked."""
    now = time.time_ns() // 1000
    if event == "conference.member.joined":
        return MemberJoined("m1", room, now, SESSION, "+15551234567")
    return MemberLeft("m2", room, now, SESSION, "hangup")


async def _until(pipe: Pipe, event: str) -> None:
    limit = time.monotonic() + 60
    while event not in [one["event"] for one in await pipe.events()]:
        assert time.monotonic() < limit
        await asyncio.sleep(0.2)
