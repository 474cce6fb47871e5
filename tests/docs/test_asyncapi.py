"""docs/reference/asyncapi.yaml and the stand-alone schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import avro.schema
import pytest
import yaml

from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from pipeline.topics import TOPICS
from testkit.pipe import ROOT

FOLDER = ROOT / "docs" / "reference" / "schemas"
INNER = {"conference.Meta", "conference.TopicPosition"}
"""Records that occur only inside others."""


def asyncapi(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "tools" / "asyncapi.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_document_is_current() -> None:
    assert asyncapi("--check") == (0, "")
    assert asyncapi("--wrong")[0] == 2


def test_the_document_has_every_topic_and_record() -> None:
    document = yaml.safe_load((ROOT / "docs" / "reference" / "asyncapi.yaml").read_text())
    channels = {channel["address"]: channel for channel in document["channels"].values()}
    assert set(channels) == {topic.full_name("conference") for topic in TOPICS}
    for topic in TOPICS:
        channel = channels[topic.full_name("conference")]
        assert set(channel["messages"]) == (set(topic.records) or {"letter"})
        config = channel["bindings"]["kafka"]["topicConfiguration"]
        assert config["cleanup.policy"] == [topic.config["cleanup.policy"]]
        assert str(config.get("max.message.bytes")) == topic.config.get("max.message.bytes", "None")
    messages = document["components"]["messages"]
    for event in EVENTS:
        assert messages[event.RECORD]["headers"]["properties"]["ce_type"] == {"const": event.EVENT}
    for record in (*EVENTS, *SIGNALS):
        assert messages[record.RECORD]["payload"]["schema"] == json.loads(SCHEMAS[record.RECORD])
    actions = {name: one["action"] for name, one in document["operations"].items()}
    assert {name for name, action in actions.items() if action == "receive"} == {
        "receiveApiSignals",
        "receiveMediaSignals",
    }


@pytest.mark.parametrize("record", sorted(SCHEMAS.keys() - INNER))
def test_each_schema_file_stands_alone(record: str) -> None:
    text = (FOLDER / f"{record}.avsc").read_text()
    assert json.loads(text) == json.loads(SCHEMAS[record])
    assert avro.schema.parse(text).fullname == record


def test_there_are_no_other_schema_files() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == SCHEMAS.keys() - INNER


def test_the_wheel_has_the_schemas(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    assert {f"pipeline/schemas/{record}.avsc" for record in SCHEMAS.keys() - INNER} <= names
