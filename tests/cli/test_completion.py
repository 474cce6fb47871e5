"""What the shell offers to complete."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.model import signals as s
from testkit.pipe import ROOT, Pipe
from tests.support.commands import PROGRAM, no_servers

COMMAND = "conference-pipeline"
RUN = "import sys; sys.argv = ['conference-pipeline']; from pipeline.cli import main; main()"


def offered(words: str, env: dict[str, str] | None = None) -> list[str]:
    """Return what bash is offered behind these words."""
    wanted = f"{COMMAND} {words}"
    more = {
        "_CONFERENCE_PIPELINE_COMPLETE": "complete_bash",
        "COMP_WORDS": wanted,
        "COMP_CWORD": str(len(wanted.split(" ")) - 1),
    }
    command = [PROGRAM[0], "-c", RUN]
    environment = {**(env or os.environ), **more}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("signal pa", ["pause"]),
        ("signal conference.pa", ["conference.pause"]),
        ("events --type member.l", ["member.left"]),
        ("rejected list --type conference.st", ["conference.stop"]),
        ("rejected list --reason playback_a", ["playback_active"]),
        ("rejected list --output js", ["json", "jsonl"]),
    ],
)
def test_fixed_values_are_offered(words: str, values: list[str]) -> None:
    assert offered(words) == values


def test_names_of_profiles_are_offered(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text('[staging]\n[production]\n["a b"]\n')
    env = no_servers(tmp_path, CONFERENCE_PIPELINE_PROFILES=str(file))
    assert offered("--profile ", env) == ["production", "staging"]
    file.write_text("[")
    assert offered("--profile ", env) == []


def test_without_servers_no_room_is_offered(tmp_path: Path) -> None:
    assert offered("rooms show r", no_servers(tmp_path)) == []


@pytest.mark.broker
async def test_live_rooms_with_plain_ids_are_offered(pipe: Pipe, tmp_path: Path) -> None:
    names = ("room-b", "room-a", "other", "room $(reboot)", "room-\x1b]0;x\x07")
    with pipe.worker():
        await pipe.send(*(s.ConferenceCreate(f"c{n}", name, 1, "app", "n") for n, name in enumerate(names)))
        await pipe.until_events(len(names))
    for words in ("rooms show room", "timeline room", "signal pause --room room", "events --room room"):
        assert offered(words, pipe.env) == ["room-a", "room-b"]
    place = {"KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "PIPELINE_TOPIC_PREFIX"}
    env = {name: value for name, value in pipe.env.items() if name not in place}
    settings = pipe.settings
    options = f"--brokers {settings.bootstrap_servers} --registry {settings.registry_url} --prefix {pipe.prefix}"
    assert offered(f"{options} rooms show room-a", env) == ["room-a"]
