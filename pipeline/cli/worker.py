"""`worker`: run one worker process."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.shared import Force, server_settings

AcceptLoss = Annotated[
    bool,
    typer.Option(
        "--accept-loss",
        metavar="",
        help="Continue although signals were deleted unread, or the table lost rows; the log reports what.",
    ),
]


def worker(accept_loss: AcceptLoss = False, force: Force = False) -> None:
    """Run one worker until SIGTERM.

    Run one worker per CPU core, and at most one per partition. Several
    workers on one machine need different ports: PIPELINE_HTTP_PORT=0 takes
    a free one.

    Exit codes: 0 stopped, 1 an error that a restart can fix, 2 invalid
    configuration or environment, 3 fenced, 4 signals lost.

    [dim]$ conference-pipeline worker
    $ PIPELINE_HTTP_PORT=0 PIPELINE_LOG_LEVEL=warning conference-pipeline worker[/dim]
    """
    import structlog

    from pipeline.logs import configure
    from pipeline.worker.process import main

    warnings: list[str] = []
    settings = server_settings(warnings.append)
    configure(settings)
    for warning in warnings:
        structlog.get_logger("settings").warning(warning)
    main(settings, accept_loss=accept_loss, force=force)
