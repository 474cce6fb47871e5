"""`doctor`: check the environment of the workers and name the remedy of each fault."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.shared import server_settings, silence_kafka_client
from pipeline.terminal import printable, show

if TYPE_CHECKING:
    from pipeline.admin.doctor import Line

STYLES: Final = {"ok": "green", "warning": "yellow", "wrong": "bold red"}

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object a line.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Longest time for one check, in seconds.")]


def doctor(as_json: Json = False, timeout: Timeout = 15.0) -> None:
    """Check servers, topics, schemas, permissions, group and clocks.

    Run it with the settings and the user of the workers. It only reads. It
    prints one line for each finding: ok, warning or wrong, and the remedy.

    Exit codes: 0 nothing is wrong (there may be warnings), 1 something is
    wrong, 2 the settings are invalid or name no servers.

    [dim]$ conference-pipeline doctor
    $ conference-pipeline doctor --json |
        jq -r 'select(.state == "wrong") | .remedy'
    $ kubectl exec NAME-0 -- conference-pipeline doctor[/dim]
    """
    from pipeline.admin.doctor import examine

    settings = server_settings()
    silence_kafka_client()
    lines = asyncio.run(examine(settings, timeout))
    if as_json:
        for line in lines:
            show(json.dumps(line._asdict(), ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(lines)
    else:
        for line in lines:
            remedy = f"; {line.remedy}" if line.remedy else ""
            show(f"{line.state:<8} {line.check:<13} {line.found}{remedy}")
    if any(line.state == "wrong" for line in lines):
        raise typer.Exit(1)


def _table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", "remedy", show_lines=True)
    for check, state, found, remedy in lines:
        table.add_row(check, Text(state, STYLES[state]), Text(printable(found)), Text(printable(remedy)))
    console = Console()
    console.print(table)
    counts = Counter(line.state for line in lines)
    console.print(f"{counts['wrong']} wrong, {counts['warning']} warnings, {counts['ok']} ok")
