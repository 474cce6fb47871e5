"""How commands print lists: as a table, as JSON lines or as one JSON array."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from pipeline.terminal import data_writer, printable, show

_GAP: Final = "  "


class Form(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


Output = Annotated[
    Form | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FORM",
        help="table, json (one array) or jsonl (one object per line). Default: table on a terminal, else jsonl.",
    ),
]


def form_of(output: Form | None) -> Form:
    """Return the form that was asked for, or the one that fits standard output."""
    return output or (Form.TABLE if sys.stdout.isatty() else Form.JSONL)


class JsonRows:
    """Writes encoded objects on standard output: as JSON lines, or as one array with an object a line."""

    def __init__(self, form: Form) -> None:
        """`form` is JSON or JSONL."""
        self._write = data_writer(sys.stdout.buffer)
        self._is_array = form is Form.JSON
        self._count = 0

    def add(self, line: bytes) -> None:
        """Write an object."""
        self._write((b",\n" if self._count else b"[\n") + line if self._is_array else line + b"\n")
        self._count += 1

    def end(self) -> None:
        """Write what ends the array, and what is buffered."""
        if self._is_array:
            self._write(b"\n]\n" if self._count else b"[]\n")
        sys.stdout.flush()


def json_line(row: Mapping[str, Any]) -> bytes:
    """Return an object as compact JSON. Bytes of an argument that are not UTF-8 become question marks."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def print_json_rows(rows: Iterable[Mapping[str, Any]], form: Form) -> None:
    """Print objects as JSON lines, or as one array with an object a line."""
    import msgspec

    encode, written = msgspec.json.Encoder().encode, JsonRows(form)
    for row in rows:
        written.add(encode(row))
    written.end()


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    sentence: Callable[[Sequence[str]], str],
    colour: Callable[[Sequence[str]], str | None] = lambda _: None,
    width: int = 0,
) -> None:
    """Print a table that fits the terminal; nothing is cut.

    Where the columns do not fit, each row becomes its first cell on a line, and `sentence` of the row below it.
    """
    from rich.cells import cell_len

    width = width or shutil.get_terminal_size().columns
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *safe, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        for row, cells in zip(rows, safe, strict=True):
            show(cells[0], colour=colour(row))
            text = sentence(cells)
            room = width - len(_GAP) - (cell_len(text) - len(text))  # textwrap counts a wide character as one
            for line in textwrap.wrap(text, max(20, room), break_on_hyphens=False):
                show(f"{_GAP}{line}")
        return
    for number, cells in enumerate((list(titles), *safe)):
        padded = [cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, widths, strict=True)]
        show(_GAP.join(padded).rstrip(), colour=colour(rows[number - 1]) if number else None)


def time_text(micros: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC, None for None."""
    from pipeline.model.times import format_time

    return None if micros is None else format_time(micros)
