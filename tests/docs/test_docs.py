"""The pages agree with the code: generated sections, paths, links, sizes, and a state table that leaves nothing out."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline.core.decision import NoOp, Rejection
from pipeline.gc_pause import gc_paused
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))

import states

import docs

ROOT = Path(__file__).parent.parent.parent
OTHERS = {page for glob in ("examples/*.md", "examples/*/*.md", "clients/*/*.md") for page in ROOT.glob(glob)}
PAGES = sorted({*docs.pages(), *OTHERS, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"})
WRITTEN = [page for page in PAGES if "results" not in page.parts and "helm" not in page.parts]
"""Pages that are written by hand, but for their generated sections."""
FOLDERS = "avro|clients|pipeline|tools|tests|testkit|examples|docs|requirements|scripts|benchmarks|helm|\\.ci"
PATH = re.compile(rf"`((?:{FOLDERS})/[^`\s*]*|Makefile|[A-Z]+\.md)`")
TO_BE_ADDED = {"avro/conference.Renamed.avsc", "avro/conference.signal.ConferenceRename.avsc"}
"""Files that docs/howto/add-an-event.md creates."""
SOURCES = [
    path
    for folder in (
        "pipeline",
        "helm",
        "scripts",
        "tools",
        "testkit",
        "tests",
        "benchmarks",
        "examples",
        "clients",
        "avro",
    )
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".yaml", ".tpl", ".sh", ".txt", ".gotmpl", ".avsc"} and path.name != Path(__file__).name
]
COUNTED = re.compile(r"\b(?:1\d|thirteen|seventeen) (?:kinds of )?`?(?:conference\.\*`? )?(?:events|signals)\b")
WIDTH = 120


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Disable the collector. Python 3.11 parses code for tracebacks; a finalizer that runs, and is reported, while a page's
    code is parsed breaks the parser's count of its depth: SystemError."""
    with gc_paused():
        yield


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- generated sections ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_generated_sections_are_current(page: Path) -> None:
    text = page.read_text()
    assert docs.filled(text, named(page)) == text, "run `make docs`"


def test_every_section_is_on_a_page_and_closed() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    opened = re.findall(r"^<!-- generated: (\S+) -->$", text, re.MULTILINE)
    assert set(opened) == set(docs.SECTIONS)
    assert len(docs.MARK.findall(text)) == len(opened)


def test_check_names_a_stale_page_and_writing_fixes_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("pipeline", "tools", "docs", "examples", "benchmarks", "testkit", "helm", "clients"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, copy)
    room = copy / "pipeline" / "core" / "room.py"
    changed = room.read_text().replace("-50 <= signal.volume <= 7", "-50 <= signal.volume <= 6")
    assert changed != room.read_text()
    room.write_text(changed)

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, str(copy / "tools" / "docs.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    page = "docs/reference/signals.md"
    assert run("--check") == (1, f"{page}: differs from the code, run `make docs`\n", "")
    assert run() == (0, f"wrote {page}\n", "")
    assert run("--check") == (0, "", "")
    assert run("--wrong")[0] == 2


def test_an_unknown_section_is_named() -> None:
    with pytest.raises(docs.DocsError, match=r"^x\.md: no section is called 'nothing'; there are states, "):
        docs.filled("<!-- generated: nothing -->\n<!-- end -->", "x.md")


# --- the state table ------------------------------------------------------------------------------------------


def test_the_table_has_every_signal_event_and_reason() -> None:
    table = states.table()
    assert {row.name for row in states.rows()} >= {signal.TYPE for signal in SIGNALS} | {"the watchdog"}
    for event in EVENTS:
        assert re.search(rf"(\| |<br>){re.escape(event.EVENT.removeprefix('conference.'))}[ <]", table)
    for reason in (*get_args(Rejection), *get_args(NoOp)):
        assert f" `{reason}`" in table


# From contract §5, by hand: the rows that a reader looks up first.
CELLS = [
    ("conference.create", "", "discovered", "created<br>→ stopped"),
    ("conference.create", "", "stopped", "✗ `room_exists`"),
    (
        "conference.destroy",
        "one member",
        "paused",
        "play.stopped ■ ◇<br>member.left `removed` ◇<br>destroyed<br>→ gone",
    ),
    ("conference.pause", "", "playing", "play.paused<br>→ paused, 5 s kept"),
    ("conference.pause", "", "paused", "play.resumed<br>→ playing, 6 s"),
    ("conference.pause", "", "stopped", "✗ `playback_inactive`"),
    ("conference.stop", "", "paused", "play.stopped ■<br>→ stopped"),
    ("member.joined", "not a member", "unknown", "member.joined<br>→ discovered"),
    ("member.left", "a member, without a reason", "discovered", "member.left `hangup`<br>→ gone"),
    ("member.left", "a member, without a reason, after a leave", "stopped", "member.left `removed`"),
    ("play.finished", "the live playback, its last file", "playing", "play.finished ■<br>→ stopped"),
    ("play.finished", "the live playback, an earlier file", "playing", "play.finished<br>→ playing, 10 s"),
    ("play.finished", "the live playback, an earlier file", "paused", "play.finished<br>→ paused, 10 s kept"),
    ("play.finished", "otherwise", "gone", "○ `room_gone`"),
    ("conference.stop", "", "gone", "✗ `room_unknown`"),
    ("any API signal", "signal_id among the room's last 16", "gone", "○ `repeated`"),
    ("conference.create", "", "gone", "created<br>→ stopped"),
    ("a late play.finished", "the same, 2.5 s after the stop", "stopped", "○ `after_stop`"),
    ("a late play.finished", "the same, 2.5 s after the stop", "playing", "play.finished ■<br>→ stopped"),
    ("a late play.finished", "the operation_id of a stopped playback", "playing", "○ `after_stop`"),
    ("play.finished", "otherwise", "stopped", "play.finished †"),
    ("play.failed", "otherwise", "playing", "play.failed `playback_error` †"),
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
    assert states.result(row, state) == cell


# --- paths and links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_named_paths_exist(page: Path) -> None:
    missing = [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert set(missing) <= TO_BE_ADDED


def test_architecture_names_every_package() -> None:
    text = (ROOT / "docs" / "internals" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")]
    assert len(packages) > 8
    assert [name for name in packages if f"`pipeline/{name}/`" not in text] == []


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_links_and_anchors_resolve(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", prose):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in WRITTEN if page.parent != ROOT], ids=named)
def test_every_page_is_linked_from_another(page: Path) -> None:
    sources = [other for other in (*WRITTEN, ROOT / "helm/conference-pipeline/README.md") if other != page]
    for other in sources:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", other.read_text()):
            found = (other.parent / target).resolve()
            if found == page or (found.is_dir() and page.parent == found):
                return
    pytest.fail(f"no page links to {named(page)}")


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page; a repeated one gets a number."""
    found: Counter[str] = Counter()
    result = set()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for title in re.findall(r"^#+ (.*)$", prose, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        result.add(f"{anchor}-{found[anchor]}" if found[anchor] else anchor)
        found[anchor] += 1
    return result


def test_code_names_existing_pages_and_sections() -> None:
    missing = []
    for path in SOURCES:
        for name, anchor in re.findall(
            r"(?<![\w/])(docs/[\w/-]+\.\w+)(?:#([\w-]+))?", path.read_text(errors="replace")
        ):
            page = ROOT / name
            if name.startswith("docs/results/") or name.endswith("/x.md"):
                continue
            if not page.exists() or (anchor and anchor not in anchors(page.read_text())):
                missing.append(f"{named(path)}: {name}{anchor and '#' + anchor}")
    assert missing == []


# --- form -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_lines_are_short(page: Path) -> None:
    """Tables, data in JSON, and lines that end in a long URL or a link may be longer."""
    language = ""
    for line in page.read_text().splitlines():
        if fence := re.match(r"\s*```(\w*)", line):
            language = fence[1] if not language else ""
        if line.startswith("|") or line.lstrip().startswith(('{"', "kafka-acls.sh ", "    not authorised")):
            continue
        words = [len(word) for word in line.split()]
        assert len(line) <= WIDTH or max(words) > WIDTH - 20 or language in ("json", "python"), line


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_prose_does_not_count_events_or_signals(page: Path) -> None:
    if page.name in ("CHANGELOG.md", "0009-packages-by-layer.md"):
        return
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert COUNTED.findall(prose) == []


def test_readme_is_an_entrance() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 200
    assert len(text.encode()) <= 12 * 1024


def test_readme_shows_what_the_demo_prints() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.partition("$ make demo\n")[2].partition("```")[0]
    expected = (ROOT / "tests" / "captures" / "freeswitch.events.expected.jsonl").read_text().splitlines()
    names = {line["meta"]["sequence"]: line["event"] for line in map(json.loads, expected)}
    shown = re.findall(r"^[\d:.]+ +(\d+) +(conference\.\S+)", block, re.MULTILINE)
    assert len(shown) >= 4
    assert [(int(number), name) for number, name in shown] == [(n, names[n]) for n in map(int, dict(shown))]
    scenario = (ROOT / "pipeline" / "demo" / "scenario.jsonl").read_text().splitlines()
    titles = {json.loads(line)["title"] for line in scenario}
    for title in re.findall(r"^# (?!mod_conference| )(.*)$", block, re.MULTILINE):
        assert title in titles
    assert f"{len(expected)} events of {len(EVENTS)} kinds" in block


# --- the example ----------------------------------------------------------------------------------------------


def test_the_example_imports_nothing_from_the_package() -> None:
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


def test_the_example_names_missing_settings() -> None:
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
