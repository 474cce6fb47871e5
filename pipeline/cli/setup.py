"""`setup` and `worker`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from pipeline.cli.servers import kafka_errors, settings


def setup(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Only warn of settings of topics that break a promise.")
    ] = False,
) -> None:
    """Create the topics and register the schemas; does nothing the second time.

    Exit code 0 when all is as it must be, 1 when the settings of a topic that exists break a promise (it is not
    altered), 2 when a server refuses. What is a matter of taste is a warning.

    [dim]$ conference-pipeline setup
    $ PIPELINE_PARTITIONS=48 PIPELINE_TOPIC_PREFIX=staging conference-pipeline setup[/dim]
    """
    from pipeline.admin.setup import setup as run

    found = settings()
    done: list[str] = []
    warnings: list[str] = []

    def say(text: str) -> None:
        done.append(text)
        if not as_json:
            typer.echo(text)

    with kafka_errors(found):
        differences = asyncio.run(run(found, say, warnings.append, force=force))
    if as_json:
        typer.echo(json.dumps({"done": done, "differences": differences, "warnings": warnings}))
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        for difference in differences:
            typer.echo(f"differs: {difference}", err=True)
        if not done and not differences:
            typer.echo("nothing to do: topics and schemas are as they must be")
    if differences:
        raise typer.Exit(1)


def worker(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Go on although signals were deleted before they were read; they are counted in the log.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Only warn of settings of topics that break a promise.")
    ] = False,
) -> None:
    """Run one worker until SIGTERM. Start as many as there are cores, never more than partitions.

    Exit codes: 0 stopped, 1 an error whose remedy is a restart, 2 the surroundings don't fit, 3 fenced, 4 signals lost.

    [dim]$ conference-pipeline worker
    $ KAFKA_BOOTSTRAP_SERVERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 conference-pipeline worker[/dim]
    """
    from pipeline.logs import configure
    from pipeline.worker.process import main

    found = settings()
    configure(found)
    main(found, accept_loss=accept_loss, force=force)
