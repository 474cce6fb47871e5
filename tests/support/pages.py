"""Follows a page of docs/howto in a copy of the repository."""

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
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
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


def run(copy: Path, *command: str) -> None:
    """Run a command in the copy. Fails with its output."""
    # The coverage of the copy is not measured, which would double the time.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"


def make(copy: Path, target: str) -> None:
    """Do what a target of the Makefile does, as far as it needs no servers."""
    tools = {
        "events": [["tools/generate.py"]],
        "docs": [["tools/docs.py"], ["tools/asyncapi.py"]],
        "check": [
            ["-m", "ruff", "check", "--quiet", "pipeline", "tools", "tests"],
            ["-m", "ruff", "format", "--check", "--quiet", "pipeline", "tools"],
            *([f"tools/{name}.py", "--check"] for name in ("generate", "docs", "asyncapi")),
        ],
        "test": [],  # the broker's tests take minutes; the page names those that go through all events
    }
    for command in tools[target]:
        run(copy, sys.executable, *command)


def follow(copy: Path, page: Path) -> list[list[str]]:
    """Apply the edits of a page and run its commands, at last its tests. Return the commands of the pipeline."""
    tests: list[str] = []
    later: list[list[str]] = []
    for sentence, language, block in steps(page.read_text()):
        if language != "sh":
            edit(copy, sentence, block)
            continue
        for line in block.splitlines():
            match shlex.split(line):
                case ["make", *targets]:
                    for target in targets:
                        make(copy, target)
                case ["sed", *arguments]:
                    run(copy, "sed", *arguments)
                case [".venv/bin/pytest", *arguments]:
                    tests += arguments
                case ["conference-pipeline", *arguments]:
                    later.append(arguments)
                case _:
                    pytest.fail(f"no test runs {line!r}")
    assert tests
    run(copy, sys.executable, "-m", "pytest", "-m", "not broker", "-p", "no:cacheprovider", "-x", *tests)
    return later
