"""Lists for people and programs: `--output table|json|jsonl`, table on a terminal and jsonl in a pipe."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import typer

from pipeline.cli.progress import scan
from pipeline.terminal import printable, warn

if TYPE_CHECKING:
    from pipeline.kafka.ranges import Found, RangeReader

Form = Literal["table", "json", "jsonl"]
Output = Annotated[
    Form | None,
    typer.Option("--output", "-o", metavar="FORM", help="table (on a terminal), json, or jsonl (in a pipe)."),
]
Row = dict[str, Any]
MOST: Final = 1000
"""Rows of a table; the last ones are shown."""


class Column(NamedTuple):
    """A column of the table: its title, and what it shows of a row. A fixed column is never broken."""

    title: str
    text: Callable[[Row], str]
    fixed: bool = False
    style: str = ""


class Listing:
    """Prints rows. JSON comes at once; a table at the end, with the last MOST rows."""

    def __init__(self, output: Form | None, columns: tuple[Column, ...], nothing: str) -> None:
        """`nothing` is what a person reads when there is no row."""
        self._form = output or ("table" if sys.stdout.isatty() else "jsonl")
        self._columns, self._nothing = columns, nothing
        self._rows = deque[Row](maxlen=MOST)
        self._count = 0

    def add(self, row: Row) -> None:
        """Add a row."""
        self._count += 1
        if self._form == "table":
            self._rows.append(row)
            return
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        if self._form == "json":
            line = ("[\n" if self._count == 1 else ",\n") + line
        else:
            line += "\n"
        self._write(line)

    def scan(self, reader: RangeReader) -> AsyncIterator[Found]:
        """Yield the records of a range, with a progress bar unless rows are printed to the terminal meanwhile."""
        return scan(reader, visible=self._form == "table" or not sys.stdout.isatty())

    def end(self) -> None:
        """Print what is left."""
        if self._form == "json":
            self._write("\n]\n" if self._count else "[]\n")
        elif self._form == "table" and not self._rows:
            warn(self._nothing)
        elif self._form == "table":
            print_table(self._columns, self._rows)
            if self._count > len(self._rows):
                warn(f"the last {len(self._rows)} of {self._count}: use --since, or --output jsonl for all")

    def _write(self, text: str) -> None:
        if sys.stdout.isatty():
            text = printable(text, lines=True)
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.flush()


def print_table(columns: tuple[Column, ...], rows: Any) -> None:
    """Print a table that fits the terminal: long texts are folded, nothing is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.title, no_wrap=column.fixed, overflow="fold", style=column.style or None)
    for row in rows:
        table.add_row(*(Text(printable(column.text(row))) for column in columns))
    Console().print(table)


def short_time(text: str) -> str:
    """Return month, day and time of a time in RFC 3339, without the year."""
    return text[5:19].replace("T", " ")
