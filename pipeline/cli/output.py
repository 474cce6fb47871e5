"""How commands print lists: as a table, as JSON lines or as one JSON array; and progress after a second."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import typer

from pipeline.terminal import data_writer, printable, show

PROGRESS_AFTER: Final = 1.0
"""Seconds after which progress is shown on a terminal."""
_GAP: Final = "  "
Value = TypeVar("Value")


class Form(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


Output = Annotated[
    Form | None,
    typer.Option(
        "--output",
        metavar="FORM",
        help="table, json (one array) or jsonl (one object per line). Default: table on a terminal, else jsonl.",
    ),
]


def form_of(output: Form | None) -> Form:
    """Return the form that was asked for, or the one that fits standard output."""
    return output or (Form.TABLE if sys.stdout.isatty() else Form.JSONL)


def print_json_rows(rows: Iterable[Mapping[str, Any]], form: Form) -> None:
    """Print objects as JSON lines, or as one array with an object per line."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    write = data_writer(sys.stdout.buffer)
    if form is Form.JSONL:
        for row in rows:
            write(encode(row) + b"\n")
    else:
        between = b"[\n"
        for row in rows:
            write(between + encode(row))
            between = b",\n"
        write(b"[]\n" if between == b"[\n" else b"\n]\n")
    sys.stdout.buffer.flush()


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


async def with_progress(job: Awaitable[Value], text: str, fraction: Callable[[], float]) -> Value:
    """Await `job`; after a second show on a terminal how much is done."""
    task = asyncio.ensure_future(job)
    try:
        await asyncio.wait([task], timeout=PROGRESS_AFTER)
        if not task.done() and sys.stderr.isatty():
            await _show_progress(task, text, fraction)
        return await task
    finally:
        task.cancel()


async def _show_progress(task: asyncio.Future[Any], text: str, fraction: Callable[[], float]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn(text), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task("", total=1.0)
        while not task.done():
            bar.update(number, completed=fraction())
            await asyncio.wait([task], timeout=0.1)


def ago(micros: int | None, now: int) -> str:
    """Return the time since `micros` as people say it, such as `12s`, `5m`, `3h` or `2d`; "" for None."""
    if micros is None:
        return ""
    seconds = max(0, now - micros) // 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def time_text(micros: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC, None for None."""
    from pipeline.model.times import format_time

    return None if micros is None else format_time(micros)
