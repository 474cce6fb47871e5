"""Lists of records, which come one after the other, and their tables."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.cli.output import Form, JsonRows, form_of, json_line
from pipeline.cli.progress import scan
from pipeline.terminal import printable, warn

if TYPE_CHECKING:
    from pipeline.kafka.ranges import Found, RangeReader

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
        self._form = form_of(output)
        self._json = JsonRows(self._form)
        self._columns, self._nothing = columns, nothing
        self._rows = deque[Row](maxlen=MOST)
        self._count = 0

    def add(self, row: Row) -> None:
        """Add a row."""
        self._count += 1
        if self._form is Form.TABLE:
            self._rows.append(row)
            return
        self._json.add(json_line(row))
        sys.stdout.flush()

    def scan(self, reader: RangeReader) -> AsyncIterator[Found]:
        """Yield the records of a range, with a progress bar unless rows are printed to the terminal meanwhile."""
        return scan(reader, visible=self._form is Form.TABLE or not sys.stdout.isatty())

    def end(self) -> None:
        """Print what is left."""
        if self._form is not Form.TABLE:
            self._json.end()
        elif not self._rows:
            warn(self._nothing)
        else:
            print_table(self._columns, self._rows)
            if self._count > len(self._rows):
                warn(f"the last {len(self._rows)} of {self._count}: use --since, or --output jsonl for all")


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
