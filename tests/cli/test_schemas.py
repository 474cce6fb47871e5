"""`schemas list` and `schemas check`."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from pipeline.admin.schema_check import own_schemas, read_folder
from pipeline.errors import ConfigError
from pipeline.topics import TOPICS
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers
from tests.support.commands import PROGRAM


@pytest.fixture(scope="module")
def pipe(servers: Servers) -> Iterator[Pipe]:
    """The pipeline's subjects, and one that is foreign."""
    made = Pipe(servers)
    asyncio.run(made.set_up())
    client = SchemaRegistryClient({"url": made.settings.registry_url})
    foreign = '{"type":"record","name":"Renamed","namespace":"conference","fields":[]}'
    client.register_schema(f"{made.topic('events')}-conference.Renamed", Schema(foreign, "AVRO"))
    yield made
    asyncio.run(made.remove_topics())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "avro", tmp_path / "avro"))


def run(pipe: Pipe, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run `schemas`; return its code, the lines of its output, and standard error."""
    command = [*PROGRAM, "schemas", *arguments]
    done = subprocess.run(command, env=pipe.env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def edit(folder: Path, record: str, **field: Any) -> None:
    """Add a field to a record."""
    path = folder / f"conference.{record}.avsc"
    schema = json.loads(path.read_text())
    schema["fields"].append(field)
    path.write_text(json.dumps(schema))


@pytest.mark.broker
def test_list_shows_every_subject_and_foreign_ones(pipe: Pipe) -> None:
    code, rows, _ = run(pipe, "list")
    assert code == 0
    own = {subject: record for topic in TOPICS for subject, record in topic.subjects(pipe.prefix).items()}
    assert {row["subject"]: row["record"] for row in rows[:-1]} == own
    assert {(row["status"], len(row["versions"])) for row in rows[:-1]} == {("other level", 1)}
    assert rows[-1]["subject"] == f"{pipe.topic('events')}-conference.Renamed"
    assert (rows[-1]["record"], rows[-1]["status"]) == ("conference.Renamed", "foreign")


@pytest.mark.broker
def test_check_of_what_is_registered_ends_with_0(pipe: Pipe) -> None:
    for arguments in (["check"], ["check", str(ROOT / "avro")]):
        code, rows, _ = run(pipe, *arguments)
        assert code == 0
        assert {row["state"] for row in rows} == {"registered"}
        assert len(rows) == sum(len(topic.records) for topic in TOPICS)


@pytest.mark.broker
def test_check_explains_misfits_and_writes_nothing(pipe: Pipe, folder: Path) -> None:
    edit(folder, "MemberLeft", name="region", type="string", doc="")
    edit(folder, "MemberJoined", name="region", type="string", default="", doc="")
    new = json.loads((folder / "conference.Created.avsc").read_text())
    new["name"] = "Kicked"
    (folder / "conference.Kicked.avsc").write_text(json.dumps(new))
    before = run(pipe, "list")
    code, rows, _ = run(pipe, "check", str(folder))
    assert code == 1
    found = {row["record"]: (row["state"], row["reasons"]) for row in rows if row["state"] != "registered"}
    assert found == {
        "conference.MemberLeft": (
            "misfit",
            ["consumers with the new schema fail at records of version 1: `region` is missing and has no default"],
        ),
        "conference.MemberJoined": ("fits", []),
        "conference.Kicked": ("new", []),
    }
    assert run(pipe, "list") == before


@pytest.mark.broker
def test_a_field_inside_meta_is_checked_in_every_event(pipe: Pipe, folder: Path) -> None:
    edit(folder, "Meta", name="shard", type="int", doc="")
    code, rows, _ = run(pipe, "check", str(folder))
    assert code == 1
    misfits = [row for row in rows if row["state"] == "misfit"]
    assert len(misfits) == len([row for row in rows if row["subject"].startswith(f"{pipe.topic('events')}-")])
    assert all("`meta.shard` is missing and has no default" in row["reasons"][0] for row in misfits)


@pytest.mark.broker
def test_a_table_shows_the_reasons_below_it(pipe: Pipe, folder: Path) -> None:
    edit(folder, "MemberLeft", name="region", type="string", doc="")
    command = [*PROGRAM, "schemas", "check", str(folder), "--output", "table"]
    done = subprocess.run(command, env=pipe.env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split() == ["subject", "record", "versions", "state"]
    assert done.stdout.splitlines()[-1].endswith("version 1: `region` is missing and has no default")


def test_the_schemas_of_the_folder_are_those_of_the_program() -> None:
    found = read_folder(ROOT / "avro")
    parsed = {name: json.loads(text) for name, text in own_schemas().items() if name in found}
    assert {name: json.loads(text) for name, text in found.items()} == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x.avsc is no Avro record: "),
        ('{"name":"X"}', "x.avsc is no Avro record: no 'namespace'"),
        ("[]", "x.avsc is no Avro record: "),
        (None, "has no .avsc files: name the folder"),
    ],
)
def test_bad_folders_are_errors_with_a_remedy(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "x.avsc").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_folder(tmp_path)


def test_a_record_in_two_files_is_an_error(folder: Path) -> None:
    shutil.copy(folder / "conference.Meta.avsc", folder / "x.avsc")
    with pytest.raises(ConfigError, match=r"record conference\.Meta is in another file, too"):
        read_folder(folder)
