"""The commands of `conference-pipeline` as Markdown, read from the command line's own objects."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import typer
from markdown import paragraph, table

from pipeline import cli

PROGRAM: Final = "conference-pipeline"
MARKUP: Final = re.compile(r"\[/?(?:dim|bold|italic)\]")
EXIT_CODES: Final = re.compile(r"(?:The exit code is|Exit codes?:?) (.*?)\.(?=\s|$)")
"""The sentence on exit codes in a command's help."""
CODE: Final = re.compile(r"(?:(?<=^)|(?<=, ))(\d+) ")


GROUPS: Final = {
    "read": {"events", "timeline", "rooms", "rejected", "dead", "verify"},
    "write": {"send", "signal", "signals", "replay", "import", "schemas"},
    "services": {"gateway", "console", "engine"},
}
"""Pages of commands by the first word; all others are on the page of those that operate the pipeline."""


class Help(NamedTuple):
    """A command's help text in parts. `exits` lists the exit codes, empty if the text has no such sentence."""

    paragraphs: list[str]
    examples: list[str]
    exits: str


def read_help(text: str) -> Help:
    """Split a help text. Paragraphs that are indented or marked `[dim]` are examples, one command a line."""
    paragraphs, examples, exits = [], [], ""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if part.startswith(("[dim]", "    ")):
            lines = MARKUP.sub("", part).splitlines()
            examples += [line.strip().removeprefix("$ ") for line in lines if line.strip()]
            continue
        plain = MARKUP.sub("", " ".join(part.split()))
        found = EXIT_CODES.search(plain)
        if found:
            exits = CODE.sub(r"`\1` ", found[1])
            plain = " ".join((plain[: found.start()] + plain[found.end() :]).split())
        if plain:
            paragraphs.append(plain)
    return Help(paragraphs, examples, exits)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that is not a group, with its full name such as `import freeswitch`."""
    yield from _leaves("", typer.main.get_command(cli.build()))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    for word, found in (below or {}).items():
        yield from _leaves(f"{name} {word}".strip(), found)


def sections(group: str) -> str:
    """Return a section per command of a group: description, usage, arguments and options, examples."""
    chosen = [(name, command) for name, command in commands() if group_of(name) == group]
    return "\n\n".join(_section(name, command) for name, command in chosen)


def group_of(name: str) -> str:
    """Return the page of a command's section: "operate" or one of GROUPS."""
    first = name.partition(" ")[0]
    return next((group for group, words in GROUPS.items() if first in words), "operate")


def _section(name: str, command: Any) -> str:
    text = read_help(command.help or "")
    given = [one.metavar or one.name.upper() for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([PROGRAM, name, "[OPTIONS]", *given])
    rows = [_row(one) for one in command.params if one.name != "help"]
    parts = [f"### `{name}`", f"```text\n{usage}\n```", *map(paragraph, text.paragraphs)]
    if text.examples:
        lines = "\n".join(f"$ {line}" for line in text.examples)
        parts.append(f"```console\n{lines}\n```")
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), *rows))
    return "\n\n".join(parts)


def _row(one: Any) -> tuple[str, str, str]:
    value = one.metavar or ("" if getattr(one, "is_flag", False) else one.name.upper())
    if one.param_type_name == "argument":
        shown = f"`{value}`"
    else:
        shown = ", ".join(f"`{option}`" for option in one.opts) + (f" `{value}`" if value else "")
    default = "" if one.default in (None, False) else f"`{one.default}`"
    return shown + _range(one), "required" if one.required else default, one.help or ""


def _range(one: Any) -> str:
    limits = (("≥", getattr(one, "min", None)), ("≤", getattr(one, "max", None)))
    shown = [f"{sign} {limit:g}" for sign, limit in limits if limit is not None]
    return f" ({', '.join(shown)})" if shown else ""


def exits() -> str:
    """Return the exit codes per command, from the commands' help."""
    rows = [(f"`{name}`", read_help(command.help or "").exits) for name, command in commands()]
    return table(("command", "exit codes"), *(row for row in rows if row[1]))
