"""`console`: serve pages for people on call."""

from __future__ import annotations

import typer

from pipeline.cli.shared import server_settings
from pipeline.errors import ConfigError


def console() -> None:
    """Serve pages for people on call until SIGTERM: rooms, one room, the pipeline.

    Needs the extra `web`. It only reads. It listens on
    http://127.0.0.1:8010/, for this machine alone; on another address
    (CONSOLE_HTTP_HOST) it needs CONSOLE_TOKEN or CONSOLE_TOKEN_FILE, and
    CONSOLE_ALLOWED_HOSTS with the names that people enter. /livez and /readyz
    are on the same port.

    Exit codes: 0 stopped, 1 an error that a restart can fix, 2 invalid
    configuration or environment.

    [dim]$ conference-pipeline console
    $ CONSOLE_HTTP_PORT=9000 conference-pipeline --profile staging console[/dim]
    """
    import structlog

    from pipeline.logs import configure

    try:
        from pipeline.console.process import main
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'conference-pipeline[web]'") from None
    from pipeline.console.settings import load_console

    warnings: list[str] = []
    settings, own = server_settings(warnings.append), load_console()
    configure(settings)
    for warning in warnings:
        structlog.get_logger("settings").warning(warning)
    raise typer.Exit(main(settings, own))
