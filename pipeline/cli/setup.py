"""`setup`: create the topics and register the schemas."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated

import typer

from pipeline.cli.shared import Force, Json, kafka_errors, server_settings
from pipeline.errors import UnavailableError
from pipeline.terminal import show, warn


def setup(
    as_json: Json = False,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")] = False,
) -> None:
    """Create the topics and register the schemas; safe to repeat.

    Everything is checked first: when something must be changed by hand,
    nothing is changed. Existing topics are never altered. Recommendations
    are warnings on standard error.

    Exit codes: 0 topics and schemas are complete, 1 Kafka or the registry does
    not answer, 2 something must be changed by hand, 3 --dry-run found something
    to do.

    [dim]$ conference-pipeline setup --dry-run
    $ conference-pipeline setup
    $ PIPELINE_PARTITIONS=48 conference-pipeline setup --json[/dim]
    """
    from pipeline.admin.setup import apply, plan

    settings = server_settings()
    done: list[str] = []

    def report(text: str) -> None:
        done.append(text)
        if not as_json:
            show(text)

    with _retried_later(), kafka_errors(settings):
        planned = asyncio.run(plan(settings, force=force))
        differences, warnings = planned.faults, planned.warnings
        if not planned.faults and not dry_run:
            warnings = []
            differences = asyncio.run(apply(planned, settings, report, warnings.append, force=force))
    steps = planned.steps if dry_run else []
    if as_json:
        plans = {"plan": steps} if dry_run else {}
        show(json.dumps({**plans, "done": done, "differences": differences, "warnings": warnings}))
    else:
        for line in [f"warning: {one}" for one in warnings] + [f"differs: {one}" for one in differences]:
            warn(line)
        for step in steps:
            show(f"would {step}")
        if planned.faults:
            warn("nothing was changed: change what differs first")
        elif not done and not steps and not differences:
            show("nothing to do: topics and schemas are as they must be")
    if differences:
        raise typer.Exit(2)
    if steps:
        raise typer.Exit(3)


@contextlib.contextmanager
def _retried_later() -> Iterator[None]:
    """End with 1 when a server does not answer: the chart's job tries again then, and only then."""
    from pipeline.kafka.schema_registry import RegistryDownError

    try:
        yield
    except (UnavailableError, RegistryDownError) as error:
        warn(f"error: {error}")
        raise typer.Exit(1) from None
