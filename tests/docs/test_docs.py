"""The pages agree with the code: generated sections, paths, links, and a state table that leaves nothing out."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline.core.decision import NoOp, Rejection
from pipeline.gc_pause import gc_paused
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))


import states

import docs

ROOT = Path(__file__).parent.parent
PAGES = docs.pages()
OURS = [page for page in PAGES if page.name != "contract.md"]
FOLDERS = "avro|pipeline|tools|tests|examples|docs|requirements|scripts|benchmarks|helm|\\.ci"
PATH = re.compile(rf"`((?:{FOLDERS})/[^`\s*]*|Makefile|[A-Z]+\.md)`")
TO_BE_ADDED = {"avro/conference.MemberSpeaking.avsc", "avro/conference.signal.MemberSpeaking.avsc"}
"""Files that docs/internals/development.md tells to add."""


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Python 3.11 shows where in a line an exception came from by parsing it. What earlier tests left to the collector
    (the event loop of pytest-asyncio) was found while a page's code was parsed, its report parsed, too, and the
    parser's count of its depth did not add up: SystemError."""
    with gc_paused():
        yield


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- what is generated ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_generated_sections_are_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert docs.filled(text, named(page)) == text, "run `make docs`"


def test_every_section_stands_somewhere_and_is_closed() -> None:
    text = "\n".join(page.read_text() for page in PAGES if page.name != "development.md")
    opened = re.findall(r"^<!-- generated: (\S+) -->$", text, re.MULTILINE)
    assert set(opened) == set(docs.SECTIONS)
    assert len(docs.MARK.findall(text)) == len(opened)


def test_check_names_the_page_that_differs_and_writing_mends_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("pipeline", "tools", "docs", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", copy)
    room = copy / "pipeline" / "room.py"
    room.write_text(room.read_text().replace("-50 <= signal.volume <= 7", "-50 <= signal.volume <= 6"))

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, str(copy / "tools" / "docs.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert run("--check") == (1, "README.md: differs from the code, run `make docs`\n", "")
    assert run() == (0, "wrote README.md\n", "")
    assert run("--check") == (0, "", "")
    assert run("--wrong")[0] == 2


def test_a_section_that_nobody_can_fill_is_named() -> None:
    with pytest.raises(docs.DocsError, match=r"^x\.md: no section is called 'nothing'; there are states, "):
        docs.filled("<!-- generated: nothing -->\n<!-- end -->", "x.md")


# --- the state table -----------------------------------------------------------------------------------------


def test_the_table_has_every_signal_event_and_reason() -> None:
    table = states.table()
    assert {row.name for row in states.rows()} >= {signal.TYPE for signal in SIGNALS} | {"the watchdog"}
    for event in EVENTS:
        assert re.search(rf"(\| |<br>){re.escape(event.EVENT.removeprefix('conference.'))}[ <]", table)
    for reason in (*get_args(Rejection), *get_args(NoOp)):
        assert f" `{reason}`" in table


# Written down from contract §5 by hand: what a reader would look up first.
CELLS = [
    ("conference.create", "", "discovered", "created<br>→ stopped"),
    ("conference.create", "", "stopped", "✗ `room_exists`"),
    (
        "conference.destroy",
        "one member",
        "paused",
        "play.stopped ■ ◇<br>member.left `removed` ◇<br>destroyed<br>→ unknown",
    ),
    ("conference.pause", "", "playing", "play.paused<br>→ paused, 5 s kept"),
    ("conference.pause", "", "paused", "play.resumed<br>→ playing, 6 s"),
    ("conference.pause", "", "stopped", "✗ `playback_inactive`"),
    ("conference.stop", "", "paused", "play.stopped ■<br>→ stopped"),
    ("member.joined", "not a member", "unknown", "member.joined<br>→ discovered"),
    ("member.left", "a member, without one", "discovered", "member.left `hangup`<br>→ unknown"),
    ("member.left", "a member, without one, after a leave", "stopped", "member.left `removed`"),
    ("play.finished", "the live playback, its last file", "playing", "play.finished ■<br>→ stopped"),
    ("play.finished", "the live playback, an earlier file", "playing", "play.finished<br>→ playing, 10 s"),
    ("play.finished", "the live playback, an earlier file", "paused", "play.finished<br>→ paused, 10 s kept"),
    ("play.finished", "the playback that a stop ended", "stopped", "○ `after_stop`"),
    ("play.finished", "else", "stopped", "play.finished †"),
    ("play.failed", "else", "playing", "play.failed `playback_error` †"),
    (
        "the watchdog",
        "deadline reached, behind the barrier",
        "playing",
        "play.failed `playback_timeout` ■ ◇<br>→ stopped",
    ),
]


@pytest.mark.parametrize(("name", "when", "state", "cell"), CELLS)
def test_cells(name: str, when: str, state: str, cell: str) -> None:
    (row,) = [row for row in states.rows() if (row.name, row.when) == (name, when)]
    assert states.answer(row, state) == cell


# --- what the pages name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", OURS, ids=named)
def test_every_path_that_is_named_exists(page: Path) -> None:
    missing = [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert set(missing) <= TO_BE_ADDED


def test_the_file_map_names_every_module_and_folder() -> None:
    text = (ROOT / "README.md").read_text()
    files = [path for top in ("pipeline", "tools", "examples") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 40
    assert [name for path in files if f"`{(name := str(path.relative_to(ROOT)))}`" not in text] == []
    for folder in FOLDERS.replace("\\", "").split("|"):
        assert (ROOT / folder).exists() == (f"`{folder}/" in text), folder


@pytest.mark.parametrize("page", OURS, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- the example ---------------------------------------------------------------------------------------------


def test_the_example_uses_nothing_of_ours() -> None:
    tree = ast.parse((ROOT / "examples" / "consume.py").read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [module for module in modules if module.split(".")[0] == "pipeline"]


def test_the_example_notices_gaps_repeats_and_new_lives(capsys: pytest.CaptureFixture[str]) -> None:
    rooms = runpy.run_path(str(ROOT / "examples" / "consume.py"))["Rooms"]()

    def new(sequence: int, life: str = "a", room: str = "r") -> bool:
        meta = {"sequence": sequence, "event_id": f"{room}/{life}/{sequence}"}
        return bool(rooms.new({"room_id": room, "meta": meta}))

    assert [new(1), new(2), new(1), new(2), new(3)] == [True, True, False, False, True]
    assert [new(1, "b"), new(1, "b"), new(2, "b"), new(7, room="met in the middle")] == [
        True,
        False,
        True,
        True,
    ]
    assert rooms.gaps == 0
    assert new(4, "b")
    assert rooms.gaps == 1
    assert capsys.readouterr().err == "room r: 2 is followed by 4\n"
    rooms.forget()
    assert new(9, "b")
    assert rooms.gaps == 1


def test_the_example_names_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "consume.py")],
        env={"SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "KAFKA_BOOTSTRAP_SERVERS not set" in done.stderr
    assert "Traceback" not in done.stderr
