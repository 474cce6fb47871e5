"""docs/howto/add-an-event.md is complete: its steps are applied to a copy of the repository, whose tests then pass."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "add-an-event.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(
    r"(?:Create `(?P<new>[^`]+)`"
    r"|In `(?P<file>[^`]+)`, (?P<how>before|after|replace) "
    r"(?:`(?P<anchor>[^`]+)`|the last (?P<last>line|three lines))(?:, add| with)):$"
)
"""The sentence before a block: where the block goes. An anchor is a line without its indentation."""
COPIED = (
    "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "avro", "benchmarks", "clients", "docs", "examples",
    "helm", "pipeline", "testkit", "tests", "tools",
)  # fmt: skip
LAST = {"line": 1, "three lines": 3}


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """Return (paragraph before the block, language, content) of each block of the page."""
    end = 0
    for block in FENCE.finditer(text):
        paragraph = text[end : block.start()].strip().split("\n\n")[-1]
        yield " ".join(paragraph.split()), block[1], block[2]
        end = block.end()


def edit(root: Path, sentence: str, block: str) -> None:
    """Apply a block of the page. Fails if the sentence does not name one place."""
    step = STEP.search(sentence)
    assert step, f"no step: {sentence!r}"
    if step["new"]:
        assert not (root / step["new"]).exists()
        (root / step["new"]).write_text(block)
        return
    file = root / step["file"]
    lines = file.read_text().splitlines(keepends=True)
    if step["last"]:
        at = len(lines) - LAST[step["last"]]
    else:
        found = [number for number, line in enumerate(lines) if line.strip() == step["anchor"]]
        assert len(found) == 1, f"{step['file']}: {step['anchor']!r} is on {len(found)} lines"
        at = found[0] + (step["how"] == "after")
    if step["how"] == "replace":
        del lines[at]
    file.write_text("".join([*lines[:at], block, *lines[at:]]))


def copied(made: Path) -> Path:
    """Copy the repository, to apply the edits of a page to it."""
    made.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "results", "node_modules", "target")
            shutil.copytree(source, made / name, ignore=ignored)
        else:
            shutil.copy(source, made)
    (made / "docs" / "results").symlink_to(ROOT / "docs" / "results")
    return made


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to which the edits of the page were applied; its commands are still to be run."""
    return copied(tmp_path_factory.mktemp("event") / "copy")


def run(copy: Path, *command: str) -> None:
    # The coverage of the copy is not measured, which would double the time.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"


def test_following_the_page_gives_a_repository_whose_tests_pass(copy: Path) -> None:
    tested: list[str] = []
    for sentence, language, block in steps(PAGE.read_text()):
        if language != "sh":
            edit(copy, sentence, block)
            continue
        for line in block.splitlines():
            match shlex.split(line):
                case ["make", "events"]:
                    run(copy, sys.executable, "tools/generate.py")
                case ["make", "docs"]:
                    run(copy, sys.executable, "tools/docs.py")
                    run(copy, sys.executable, "tools/asyncapi.py")
                case ["sed", *arguments]:
                    run(copy, "sed", *arguments)
                case [".venv/bin/pytest", *arguments]:
                    tested += arguments
                case ["make", "check", "test"]:  # the broker's tests take minutes
                    run(copy, sys.executable, "-m", "ruff", "check", "--quiet", "pipeline", "tools", "tests")
                    run(
                        copy,
                        sys.executable,
                        "-m",
                        "ruff",
                        "format",
                        "--check",
                        "--quiet",
                        "pipeline",
                        "tools",
                    )
                    run(copy, sys.executable, "tools/generate.py", "--check")
                    run(copy, sys.executable, "tools/docs.py", "--check")
                    run(copy, sys.executable, "tools/asyncapi.py", "--check")
                case _:
                    pytest.fail(f"no test runs {line!r}")
    assert tested
    marks = ["-m", "not broker", "-p", "no:cacheprovider", "-x"]
    run(copy, sys.executable, "-m", "pytest", *marks, *tested)
    for page in ("reference/events.md", "reference/signals.md"):
        assert "conference.rename" in (copy / "docs" / page).read_text()


def test_an_anchor_must_be_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = 1\n    a = 1\nb = 2\n")
    with pytest.raises(AssertionError, match="is on 2 lines"):
        edit(tmp_path, "In `x.py`, after `a = 1`, add:", "c = 3\n")
    with pytest.raises(AssertionError, match="no step"):
        edit(tmp_path, "Somewhere in `x.py`:", "c = 3\n")
    edit(tmp_path, "In `x.py`, replace `b = 2` with:", "b = 3\n")
    edit(tmp_path, "In `x.py`, before the last line, add:", "d = 4\n")
    assert (tmp_path / "x.py").read_text() == "a = 1\n    a = 1\nd = 4\nb = 3\n"
