"""The official AsyncAPI parser accepts docs/reference/asyncapi.yaml (`make examples`). It needs Node."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pipeline.topics import TOPICS
from testkit.pipe import ROOT

FOLDER = ROOT / "tests" / "clients" / "asyncapi"
DOCUMENT = ROOT / "docs" / "reference" / "asyncapi.yaml"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if shutil.which("npm") is None:
        pytest.fail("npm is missing: install Node >= 20 with npm", pytrace=False)
    subprocess.run(["npm", "ci", "--no-progress"], cwd=FOLDER, check=True, capture_output=True)


def parse(text: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["node", "check.mjs"], cwd=FOLDER, input=text, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_the_parser_accepts_the_document() -> None:
    code, lines = parse(DOCUMENT.read_text())
    assert code == 0, lines
    assert [line for line in lines if line.startswith(("error", "warning"))] == []
    channels = {line.removeprefix("channel ") for line in lines if line.startswith("channel ")}
    assert channels == {topic.full_name("conference") for topic in TOPICS}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("action: send", "action: shout"),
        ("type: record", "type: recrod"),
        ("#/components/messages/letter", "#/components/messages/nothing"),
    ],
)
def test_the_parser_refuses_a_broken_document(right: str, wrong: str) -> None:
    text = DOCUMENT.read_text()
    assert right in text
    code, lines = parse(text.replace(right, wrong, 1))
    assert code == 1
    assert [line for line in lines if line.startswith("error")]
