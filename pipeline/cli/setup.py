"""`setup`: create the topics and register the schemas."""

from __future__ import annotations

import asyncio
import json

import typer

from pipeline.cli.shared import Force, Json, kafka_errors, server_settings
from pipeline.terminal import show, warn


def setup(as_json: Json = False, force: Force = False) -> None:
    """Create the topics and register the schemas; safe to repeat.

    Existing topics are never altered. Recommendations are warnings on
    standard error.

    Exit codes: 0 topics and schemas are complete, 1 an existing topic has
    settings that break a guarantee, 2 invalid configuration or Kafka or the
    registry failed.

    [dim]$ conference-pipeline setup
    $ PIPELINE_PARTITIONS=48 conference-pipeline setup --json[/dim]
    """
    from pipeline.admin.setup import setup as run

    settings = server_settings()
    done: list[str] = []
    warnings: list[str] = []

    def report(text: str) -> None:
        done.append(text)
        if not as_json:
            show(text)

    with kafka_errors(settings):
        differences = asyncio.run(run(settings, report, warnings.append, force=force))
    if as_json:
        show(json.dumps({"done": done, "differences": differences, "warnings": warnings}))
    else:
        for warning in warnings:
            warn(f"warning: {warning}")
        for difference in differences:
            warn(f"differs: {difference}")
        if not done and not differences:
            show("nothing to do: topics and schemas are as they must be")
    if differences:
        raise typer.Exit(1)
