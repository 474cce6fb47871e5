"""`doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.servers import settings

if TYPE_CHECKING:
    from pipeline.admin.doctor import Line

WRONG: Final = 1
"""Exit code when something is wrong."""
STYLES: Final = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long one check may take.")
    ] = 15.0,
) -> None:
    """Check brokers, registry, topics, schemas, permissions, the group, what waits, open transactions and clocks.

    Run it as the workers run: with their settings and their users. It only reads. A line for each check, or for each
    thing that it found: ok, warning or wrong, and what to do.

    Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 the settings are wrong or name no servers.

    [dim]$ conference-pipeline doctor
    $ conference-pipeline doctor --json | jq -r 'select(.state == "wrong") | .remedy'
    $ kubectl exec NAME-0 -- conference-pipeline doctor[/dim]
    """
    from pipeline.admin.doctor import examine

    found = settings()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would say the same, first, in other words
    lines = asyncio.run(examine(found, timeout))
    if as_json:
        for line in lines:
            print(json.dumps(line._asdict(), ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(lines)
    else:
        for line in lines:
            print(
                f"{line.state:<8} {line.check:<13} {line.found}" + (f"; {line.remedy}" if line.remedy else "")
            )
    if any(line.state == "wrong" for line in lines):
        raise typer.Exit(WRONG)


def _table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", "what to do", show_lines=True)
    for check, state, found, remedy in lines:
        table.add_row(check, Text(state, STYLES[state]), Text(found), Text(remedy))
    console = Console()
    console.print(table)
    counts = Counter(line.state for line in lines)
    console.print(f"{counts['wrong']} wrong, {counts['warning']} warnings, {counts['ok']} ok")
