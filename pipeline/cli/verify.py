"""`verify`: compare the published events with a replay of the signals."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.errors import UnavailableError
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.admin.verify import Report, Wrong
    from pipeline.kafka.ranges import Span
    from pipeline.settings import Settings

CONTEXT: Final = 20
"""Lines of the timeline that are shown before a difference."""
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object instead of text.")]


def verify(since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Replay the signals of a time range, and compare with what was published.

    Events are compared byte for byte, rejections and no-ops by reason.
    Signals are replayed in the order in which they took effect: offsets
    within a topic; between the topics append time, unless the records show
    another order. A room is right if one order explains all its records.
    Rooms that were born before the range are counted and skipped; signals
    that workers have not processed yet are counted, too. Run it with the
    PIPELINE_WATCHDOG settings of the workers. A partition's records are held
    in memory: one to two kilobytes a signal.

    Exit codes: 0 no difference, 1 a difference, 2 Kafka or the registry
    failed.

    [dim]$ conference-pipeline verify --since 1h
    $ conference-pipeline verify --since 2h --until 1h --json[/dim]
    """
    span = span_of(since, until)
    settings = server_settings()
    with kafka_errors(settings):
        report = asyncio.run(_run(settings, span))
        if as_json:
            show(json.dumps(_fields(report), ensure_ascii=False))
        else:
            _print(report)
            if report.wrong:
                asyncio.run(_print_first(settings, span, report.wrong[0]))
    if report.wrong or report.counts["undecided"]:
        raise typer.Exit(1)


async def _run(settings: Settings, span: Span) -> Report:
    from pipeline.admin.doctor.context import NotCheckedError
    from pipeline.admin.verify import Verifier
    from pipeline.cli.progress import scan

    verifier = Verifier(settings, span, warn, partial(scan, visible=True))
    try:
        return await verifier.run()
    except NotCheckedError as error:
        raise UnavailableError(f"{error}: run `conference-pipeline setup`, or set PIPELINE_TOPIC_PREFIX") from None


def _fields(report: Report) -> dict[str, object]:
    wrong = [{"room_id": one.room_id, **one.difference._asdict()} for one in report.wrong]
    return {**report.counts, "wrong": wrong}


def _print(report: Report) -> None:
    counts = report.counts
    show(f"{counts['rooms']} rooms, {counts['signals']} signals and {counts['events']} events compared")
    if counts["skipped"]:
        show(f"{counts['skipped']} rooms skipped: they were born before the range")
    if counts["waiting"]:
        show(f"{counts['waiting']} signals are not processed yet")
    if counts["undecided"]:
        show(f"{counts['undecided']} rooms undecided: too many orders of their signals are possible")
    if report.wrong:
        show(f"{len(report.wrong)} rooms differ; the first:", colour="red")
    elif not counts["undecided"]:
        show("no difference", colour="green")


async def _print_first(settings: Settings, span: Span, wrong: Wrong) -> None:
    """Print a difference, and the timeline of its room up to there."""
    from pipeline.cli.timeline import entry_lines
    from pipeline.model.times import format_time
    from pipeline.view.timeline_reader import TimelineReader

    difference = wrong.difference
    show(f"room      {wrong.room_id}")
    show(f"at        {difference.place or 'a deadline'}, {format_time(difference.time)}")
    show(f"expected  {difference.expected}")
    show(f"found     {difference.found}")
    lines: list[str] = []
    async with TimelineReader(settings, wrong.room_id, warn, span) as reader:
        async for entry in reader:
            lines = [*lines, *entry_lines(entry)][-CONTEXT:]
            if entry.place == difference.place and entry.time >= difference.time:
                break
    show("its timeline up to there:")
    for line in lines:
        typer.echo(line)
    sys.stdout.flush()
