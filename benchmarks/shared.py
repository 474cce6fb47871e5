"""Shared by the benchmarks: tables on the terminal, results in docs/results/, servers, CPU and memory of processes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipeline.devstack import Stack
from testkit.pipe import Pipe
from testkit.servers import Servers

RESULTS: Final = Path(__file__).resolve().parent.parent / "docs" / "results"
CONSOLE: Final = Console()
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
Row = dict[str, Any]


def parser(text: str, *, saves: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the module's docstring as help and, if it `saves`, the option `--save`.

    It also makes SIGTERM exit like Ctrl-C, so that the benchmark stops its servers and workers.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    if saves:
        made.add_argument("--save", action="store_true", help="write the result to docs/results/, for `make docs`")
    return made


def show(title: str, rows: list[Row]) -> None:
    """Print rows as a table; the first row's keys are the header."""
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(number(value) for value in row.values()))
    CONSOLE.print(table)


def number(value: Any) -> str:
    """Format a value for a table: three significant digits below 1,000."""
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def save(name: str, **results: Any) -> None:
    """Write results to docs/results/NAME.json, with a description of the machine."""
    where = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[1], 1),
    }
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps({"machine": where, **results}, indent=1) + "\n")
    CONSOLE.print(f"wrote {file.relative_to(RESULTS.parent.parent)}")


@contextlib.contextmanager
def servers(**options: Any) -> Iterator[Servers]:
    """Run a separate broker and registry, which are removed at the end."""
    stack = Stack(f"bench-{secrets.token_hex(3)}", **options)
    try:
        status = stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        yield Servers(status.bootstrap_servers, status.schema_registry_url, "bench", stack)
    finally:
        stack.down()


@contextlib.contextmanager
def pipeline(where: Servers, partitions: int) -> Iterator[Pipe]:
    """Create topics and a group, which are removed at the end."""
    made = Pipe(where, partitions)
    asyncio.run(made.set_up())
    try:
        yield made
    finally:
        asyncio.run(made.remove_topics())


def cpu_seconds(pid: int) -> float:
    """Return a process's CPU seconds, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
