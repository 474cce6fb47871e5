"""`schemas`: what is registered, and whether schemas fit it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.cli.output import Form, Output, form_of, print_json_rows
from pipeline.cli.shared import server_settings
from pipeline.terminal import printable, show

HELP: Final = """Show the registered schemas, and check whether a change fits them.

[dim]$ conference-pipeline schemas check avro[/dim]
"""

schemas = typer.Typer(help=HELP, no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]",
        exists=True,
        file_okay=False,
        show_default=False,
        help="Folder with .avsc files. Default: the schemas of this program.",
    ),
]


@schemas.command("list")  # a status is a SchemaStatus, or "foreign"
def list_(output: Output = None) -> None:
    """List the subjects of the pipeline's topics with versions and status.

    Exit codes: 0 printed the list, 2 the registry failed.

    [dim]$ conference-pipeline schemas list --output json | jq '.[].status'[/dim]
    """
    from pipeline.admin.schema_check import registered

    rows = asyncio.run(registered(server_settings()))
    _print([row._asdict() for row in rows], output)


@schemas.command("check")
def check(folder: Folder = None, output: Output = None) -> None:
    """Check whether schemas fit all versions that are registered.

    Old and new consumers must read all versions. For each misfit it names who
    would fail, and the field. It writes nothing.

    Exit codes: 0 all fit, 1 at least one does not fit, 2 a file or the registry
    failed.

    [dim]$ conference-pipeline schemas check avro[/dim]
    """
    from pipeline.admin import schema_check

    texts = schema_check.read_folder(folder) if folder else schema_check.own_schemas()
    rows = asyncio.run(schema_check.check(server_settings(), texts))
    _print([row._asdict() for row in rows], output)
    if any(row.state == "misfit" for row in rows):
        raise typer.Exit(1)


def _print(rows: list[dict[str, Any]], output: Form | None) -> None:
    form = form_of(output)
    if form is Form.TABLE:
        _table(rows)
    else:
        print_json_rows(rows, form)


def _table(rows: list[dict[str, Any]]) -> None:
    """Print a table; below it the reasons, a line each, because they are long."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    names = [name for name in rows[0] if name != "reasons"] if rows else []
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = (", ".join(map(str, row[n])) if isinstance(row[n], list) else row[n] for n in names)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)
    for row in rows:
        for reason in row.get("reasons", ()):
            show(f"{row['subject']}: {reason}")
