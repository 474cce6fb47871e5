"""The schemas in avro/ match the page and the contract, and the generated modules match the schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
import pytest

from pipeline.model.events import EVENTS, Meta
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import DECODERS, ENCODERS, SCHEMAS
from tests.support.samples import ADDED, FIELDS, SAMPLES

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "avro").glob("*.avsc"))
TYPES = {"string": "string", "string[]": {"type": "array", "items": "string"}, "integer": "int"}
NULLABLE = ["null", "string"]
META = {
    "event_id": "string",
    "sequence": "long",
    "occurred_at": {"type": "long", "logicalType": "timestamp-micros"},
    "app_id": "string",
    "cause": "string",
    "playback_id": NULLABLE,
    "ends_playback": "boolean",
    "synthetic": "boolean",
}
SIGNAL_FIELDS = {
    "conference.create": ["app_id", "name"],
    "conference.destroy": [],
    "conference.play": ["urls", "operation_id"],
    "conference.pause": ["operation_id"],
    "conference.stop": ["operation_id"],
    "conference.volume": ["volume", "operation_id"],
    "conference.join": ["session_uuid"],
    "conference.leave": ["session_uuid"],
    "conference.mute": ["session_uuid"],
    "conference.unmute": ["session_uuid"],
    "member.joined": ["session_uuid", "caller_id", "muted"],
    "member.left": ["session_uuid", "reason"],
    "member.muted": ["session_uuid"],
    "member.unmuted": ["session_uuid"],
    "play.progress": ["operation_id", "url"],
    "play.finished": ["operation_id", "url"],
    "play.failed": ["operation_id", "urls"],
}
DEFAULTS: dict[tuple[str, str], Any] = {
    ("member.joined", "muted"): False,
    ("member.left", "reason"): None,
    ("play.progress", "operation_id"): None,
    ("play.progress", "url"): None,
    ("play.finished", "operation_id"): None,
    ("play.failed", "operation_id"): None,
    ("play.failed", "urls"): [],
}


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in schema["fields"]}


def generate(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the generator of the repository at `folder`; return its exit code and output."""
    command = [sys.executable, "tools/generate.py", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def test_generated_modules_match_the_schemas() -> None:
    assert generate(ROOT, "--check") == (0, "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that the generator and its modules need, so that no installed package is used."""
    for folder in ("avro", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    modules = ("avro", "avro_reader", "error_text", "framing", "signal_ids", "times")
    for name in ("__init__", "errors", "model/__init__", *(f"model/{module}" for module in modules)):
        target = tmp_path / "pipeline" / f"{name}.py"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "pipeline" / f"{name}.py", target)
    return tmp_path


def test_a_new_event_needs_only_a_new_file(copy: Path) -> None:
    schema = json.loads((copy / "avro/conference.MemberMuted.avsc").read_text(encoding="utf-8"))
    schema["name"] = "MemberKicked"
    schema["fields"][0]["const"] = "conference.member.kicked"
    (copy / "avro/conference.MemberKicked.avsc").write_text(json.dumps(schema), encoding="utf-8")
    assert generate(copy)[0] == 0
    script = """if True:
        from pipeline.model import events, wire
        event = events.MemberKicked("s", "r", "c", events.Meta("e", 1, 2, "a", "x", None, False, False))
        assert event.EVENT == "conference.member.kicked" and events.MemberKicked in events.EVENTS
        assert wire.DECODERS[event.RECORD](wire.ENCODERS[type(event)](event, b""), 0) == event
    """
    subprocess.run([sys.executable, "-c", script], cwd=copy, check=True)


def test_check_lists_the_files_that_differ(copy: Path) -> None:
    assert generate(copy)[0] == 0
    assert generate(copy, "--check") == (0, "")
    (copy / "pipeline/model/events.py").write_text("", encoding="utf-8")
    message = "pipeline/model/events.py does not match avro/: run `make events` and commit the result\n"
    assert generate(copy, "--check") == (1, message)


def test_every_record_of_the_contract_has_a_file() -> None:
    camel = {re.sub(r"[._](.)|^(.)", lambda m: (m[1] or m[2]).upper(), t): t for t in SIGNAL_FIELDS}
    expected = {f"conference.signal.{name}" for name in camel}
    for event in FIELDS:
        name = re.sub(r"[._](.)", lambda m: m[1].upper(), event.removeprefix("conference"))
        expected.add(f"conference.{name}")
    expected |= {
        f"conference.{name}" for name in ("Meta", "Room", "Member", "Gone", "Position", "Rejected", "NoOp", "Engine")
    }
    assert {file.stem for file in FILES} == expected
    assert set(SCHEMAS) == set(DECODERS) == {c.RECORD for c in ENCODERS} == expected | {"conference.TopicPosition"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_file_name_is_the_record_name(file: Path) -> None:
    schema = json.loads(file.read_text(encoding="utf-8"))
    assert schema["type"] == "record"
    assert f"{schema['namespace']}.{schema['name']}" == file.stem


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_registered_text_is_self_contained(name: str) -> None:
    text = SCHEMAS[name]
    assert fastavro.parse_schema(json.loads(text))["name"] == name
    assert avro.schema.parse(text).fullname == name


def docs(schema: Any, path: str) -> dict[str, str]:
    """Return path → doc ("" if missing) of every record and field in `schema`."""
    if isinstance(schema, list):
        return {k: v for branch in schema for k, v in docs(branch, path).items()}
    if isinstance(schema, str) or schema["type"] not in {"record", "array"}:
        return {}
    if schema["type"] == "array":
        return docs(schema["items"], path)
    found = {path: schema.get("doc", "")}
    for field in schema["fields"]:
        found[f"{path}.{field['name']}"] = field.get("doc", "")
        found |= docs(field["type"], f"{path}.{field['name']}")
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_record_and_field_has_a_doc(name: str) -> None:
    found = docs(json.loads(SCHEMAS[name]), name)
    assert [path for path, doc in found.items() if len(doc) < 8 or not doc.endswith(".")] == []


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.EVENT)
def test_an_event_has_the_pages_fields_then_added_ones(event: Any) -> None:
    schema = json.loads(SCHEMAS[event.RECORD])
    page = {name: TYPES[kind] for name, kind in FIELDS[event.EVENT]}
    added = ADDED.get(event.EVENT, {})
    assert list(fields(schema)) == [*page, "meta", *added]
    assert {name: fields(schema)[name] for name in page} == page
    assert schema["fields"][0]["const"] == event.EVENT
    assert fields(fields(schema)["meta"]) == META
    assert [field["name"] for field in schema["fields"] if "default" in field] == list(added)
    assert event.__struct_fields__ == (*list(page)[1:], "meta", *added)
    assert event.__struct_config__.tag == event.EVENT
    assert list(json.loads(SAMPLES[event.EVENT])) == list(page)


def test_the_events_are_those_of_the_page() -> None:
    assert {event.EVENT for event in EVENTS} == set(SAMPLES) == set(FIELDS)
    assert Meta.__struct_fields__ == tuple(META)


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: s.TYPE)
def test_a_signal_has_the_fields_of_the_contract(signal: Any) -> None:
    schema = json.loads(SCHEMAS[signal.RECORD])
    assert list(fields(schema)) == ["signal_id", "room_id", "occurred_at", *SIGNAL_FIELDS[signal.TYPE]]
    assert set(signal.__struct_fields__) == set(fields(schema))
    defaults = {(signal.TYPE, f["name"]): f["default"] for f in schema["fields"] if "default" in f}
    assert defaults == {key: value for key, value in DEFAULTS.items() if key[0] == signal.TYPE}
    assert ("media" if signal.TYPE.startswith(("member.", "play.")) else "api") == signal.TOPIC


def test_the_signals_are_those_of_the_contract() -> None:
    assert sorted(signal.TYPE for signal in SIGNALS) == sorted(SIGNAL_FIELDS)
