"""`gateway`: serve the REST endpoints; `gateway key`: make a key for an app."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from pipeline.cli.shared import server_settings
from pipeline.errors import ConfigError
from pipeline.terminal import show

HELP: Final = """Serve the REST endpoints of conferences until SIGTERM.

Needs the extra `web` and GATEWAY_APPS_FILE. The API is on
GATEWAY_HTTP_PORT, with /docs and /openapi.json; /livez, /readyz and
/metrics are on PIPELINE_HTTP_PORT.

Exit codes: 0 stopped, 1 an error that a restart can fix, 2 invalid
configuration or environment.

[dim]$ conference-pipeline gateway key my-app >> apps.toml
$ GATEWAY_APPS_FILE=apps.toml conference-pipeline gateway[/dim]
"""

gateway = typer.Typer(help=HELP, invoke_without_command=True)

AppId = Annotated[str, typer.Argument(metavar="APP", help="The app: 1-64 letters, digits, _ or -.")]


@gateway.callback()
def serve(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    import structlog

    from pipeline.logs import configure

    try:
        from pipeline.gateway.process import main
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'conference-pipeline[web]'") from None
    from pipeline.gateway.settings import load_gateway, warnings_gateway

    warnings: list[str] = []
    settings, own = server_settings(warnings.append), load_gateway()
    warnings += warnings_gateway()
    configure(settings)
    for warning in warnings:
        structlog.get_logger("settings").warning(warning)
    raise typer.Exit(main(settings, own))


@gateway.command()
def key(app: AppId) -> None:
    """Make a key for an app and print its lines for the apps file.

    The key is in a comment: give it to the app, and delete the comment. The
    gateways need only the digest. For a second key, put its digest into the
    same list.

    Exit codes: 0 printed, 2 APP is no app id.

    [dim]$ conference-pipeline gateway key my-app >> apps.toml[/dim]
    """
    from pipeline.gateway.apps import APP_ID, key_digest, new_key

    if not APP_ID.fullmatch(app):
        raise typer.BadParameter(f"APP {app!r} must be 1-64 letters, digits, _ or -")
    made = new_key()
    show(f'# X-API-Key: {made}\n[apps.{app}]\nkeys = ["{key_digest(made)}"]')
