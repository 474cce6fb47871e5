"""`status`: the state of the pipeline."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.shared import Json, kafka_errors, server_settings
from pipeline.cli.tables import Column, print_table
from pipeline.errors import UnavailableError
from pipeline.terminal import show

if TYPE_CHECKING:
    from pipeline.admin.status import Status
    from pipeline.settings import Settings

Quick = Annotated[bool, typer.Option("--quick", metavar="", help="Don't count rooms; then the table is not read.")]

COLUMNS: Final = (
    Column("partition", lambda row: str(row["partition"]), fixed=True),
    Column("lag, signals", lambda row: f"{row['lag_signals']:,}", fixed=True),
    Column("lag, s", lambda row: f"{row['lag_seconds']:.1f}", fixed=True),
    Column("worker's host", lambda row: row["host"] or "none"),
)


def status(quick: Quick = False, as_json: Json = False) -> None:
    """Show the pipeline: workers, partitions, lag, rates, rooms, letters.

    Lag is what workers have not processed: an upper bound in signals, and
    the age of the oldest. Rates are of the last minute, letters and
    rejections of the last 24 hours. `doctor` names remedies; the local
    servers are shown by `stack status`.

    Exit codes: 0 all partitions have a worker, 2 Kafka or the registry
    failed, 3 a partition has no worker.

    [dim]$ conference-pipeline status
    $ conference-pipeline status --quick --json | jq .partitions[/dim]
    """
    settings = server_settings()
    with kafka_errors(settings):
        found = asyncio.run(_read(settings, quick))
    if as_json:
        show(json.dumps(found.fields(), ensure_ascii=False))
    else:
        _print(found)
    if not all(one.host for one in found.flow.partitions):
        raise typer.Exit(3)


async def _read(settings: Settings, quick: bool) -> Status:
    from pipeline.admin.doctor.context import NotCheckedError
    from pipeline.admin.status import read_status

    try:
        return await read_status(settings, count_rooms=not quick)
    except NotCheckedError as error:
        raise UnavailableError(f"{error}: run `conference-pipeline setup`, or set PIPELINE_TOPIC_PREFIX") from None


def _print(found: Status) -> None:
    flow = found.flow
    hosts = ", ".join(f"{host} ({number})" for host, number in flow.workers)
    show(f"workers   {len(flow.workers)} in group {flow.group!r}, {flow.group_state}; partitions by host: {hosts}")
    lag = sum(one.lag_signals for one in flow.partitions)
    oldest = max((one.lag_seconds for one in flow.partitions), default=0.0)
    show(f"lag       {lag:,} signals, the oldest {oldest:.1f} s")
    show(f"rates     {flow.signals_per_second:g} signals/s, {flow.events_per_second:g} events/s")
    if found.rooms is not None:
        show(f"rooms     {found.rooms:,}")
    show(f"in 24 h   {found.dead:,} dead letters, {found.rejected:,} rejected signals")
    print_table(COLUMNS, [one._asdict() for one in flow.partitions])
