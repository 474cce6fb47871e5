"""The generated parts of the reference: commands, exit codes, paragraphs and links."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import typer

from pipeline import cli

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))

import commands
import markdown

import docs

ROOT = Path(__file__).parent.parent.parent
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
HELP = """Do one thing.

    More on it, over
    two lines. Exit codes: 0 done, 3 too few in 2.5 s, 130 after Ctrl-C. It ends.

    [dim]$ program one
    $ program two | jq '.[]'[/dim]
    """


def test_help_is_split_into_text_examples_and_exit_codes() -> None:
    found = commands.read_help(HELP)
    assert found.paragraphs == ["Do one thing.", "More on it, over two lines. It ends."]
    assert found.examples == ["program one", "program two | jq '.[]'"]
    assert found.exits == "`0` done, `3` too few in 2.5 s, `130` after Ctrl-C"


def test_indented_paragraphs_are_examples() -> None:
    found = commands.read_help("Do it.\n\n        program one\n\n        program two\n\n    Exit code 0 always.\n    ")
    assert found == (["Do it."], ["program one", "program two"], "`0` always")


def test_every_command_and_option_has_a_line() -> None:
    text = "\n\n".join(map(commands.sections, ("operate", *commands.GROUPS)))
    names = re.findall(r"^### `(.*)`$", text, re.MULTILINE)
    assert {name.split()[0] for name in names} == set(cli.COMMANDS)
    assert "import freeswitch" in names
    for name, command in commands.commands():
        section = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        assert f"{commands.PROGRAM} {name} [OPTIONS]" in section
        for one in command.params:
            for option in one.opts if one.param_type_name == "option" else [one.metavar]:
                assert f"`{option}`" in section, f"{name} {option}"


def test_the_root_command_has_no_option_that_the_page_lacks() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    root = typer.main.get_command(cli.build())
    shown = {"version", "profile", "brokers", "registry", "prefix"}
    assert {one.name for one in root.params} == shown | {"install_completion", "show_completion"}  # typer's own
    assert all(f"`--{name}" in text for name in shown)


def test_exit_codes_of_a_worker_match_its_help() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    section = text.partition("### Exit codes of a worker\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| (\d+) \|", section, re.MULTILINE)
    (row,) = re.findall(r"^\| `worker` \|(.*)\|$", commands.exits(), re.MULTILINE)
    assert listed == re.findall(r"`(\d+)`", row)
    assert listed == ["0", "1", "2", "3", "4"]


def test_links_in_sections_are_relative_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(docs.SECTIONS, "linked", lambda: "[a](docs/results/peers.md#b) [c](https://x/docs/y)")
    section = "<!-- generated: linked -->\n<!-- end -->"
    assert "[a](docs/results/peers.md#b) [c](https://x/docs/y)" in docs.filled(section, "README.md")
    assert "[a](../results/peers.md#b) [c](https://x/docs/y)" in docs.filled(section, "docs/internals/x.md")


def test_pages_include_those_outside_docs() -> None:
    found = {str(page.relative_to(ROOT)) for page in docs.pages()}
    assert found >= {"README.md", "CONTRIBUTING.md", "helm/conference-pipeline/README.md"}
    assert found >= {str(page.relative_to(ROOT)) for page in REFERENCE}


def test_paragraphs_are_short_lines_of_unchanged_words() -> None:
    text = "A word, a `--long-option` and https://example.com/a-very-long-path " * 20
    lines = markdown.paragraph(text).splitlines()
    assert max(map(len, lines)) <= markdown.WIDTH
    assert " ".join(lines) == text.strip()


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: str(page.name))
def test_lines_are_short_and_counts_are_not_written_by_hand(page: Path) -> None:
    code = False
    for line in page.read_text().splitlines():
        code ^= line.startswith("```")
        assert len(line) <= 120 or code or line.startswith("|"), line
        assert not re.search(r"\b(1\d|thirteen|seventeen) (kinds of )?(events|signals)\b", line), line


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: str(page.name))
def test_pages_stay_below_400_lines(page: Path) -> None:
    assert page.read_text().count("\n") < 400
