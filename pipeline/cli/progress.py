"""A progress bar on standard error, for commands that take longer than a second."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from pipeline.kafka.ranges import Found, RangeReader

AFTER: Final = 1.0  # seconds after which a bar is shown
EVERY: Final = 0.1  # seconds between two updates

Value = TypeVar("Value")
Show = Callable[[int, str], None]
"""Reports progress: (amount done since the last call, text beside the bar)."""


@contextlib.contextmanager
def progress(title: str, size: int | None) -> Iterator[Show]:
    """Yield what moves a bar. `size`: the total, 0 when unknown, None without a terminal."""
    if size is None:
        yield lambda done, text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=size or None)
    began, shown, total = time.monotonic(), 0.0, 0

    def show(done: int, text: str) -> None:
        nonlocal shown, total
        total += done
        now = time.monotonic()
        if now - began < AFTER or now - shown < EVERY:
            return
        if not shown:
            bar.start()
        shown = now
        bar.update(task, completed=total, description=text)

    try:
        yield show
    finally:
        bar.stop()


async def scan(reader: RangeReader, *, visible: bool) -> AsyncIterator[Found]:
    """Yield the records of a range, with a progress bar if it is to be `visible` and standard error is a terminal."""
    with progress("reading", reader.total if visible and sys.stderr.isatty() else None) as show:
        before = 0
        async for found in reader:
            show(reader.read - before, f"{reader.read:,} of {reader.total:,} records")
            before = reader.read
            yield found


async def with_progress(job: Awaitable[Value], text: str, fraction: Callable[[], float]) -> Value:
    """Await `job`; after a second show on a terminal how much is done."""
    task = asyncio.ensure_future(job)
    try:
        await asyncio.wait([task], timeout=AFTER)
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
            await asyncio.wait([task], timeout=EVERY)
