"""`engine`: connect a media engine, or end a node that is gone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import ConfigError
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.settings import Settings

HELP: Final = """Connect a media engine to the pipeline.

What happens there becomes signals, and what was decided is performed.

[dim]$ conference-pipeline engine freeswitch --node n1 --url tcp://10.0.0.5:8021
$ conference-pipeline engine retire n1[/dim]
"""
PORT: Final = 8021
"""The event socket's, by default."""

engine = typer.Typer(help=HELP, no_args_is_help=True)

NodeName = Annotated[str, typer.Option("--node", metavar="NODE", help="The engine's name; begins all its ids.")]
Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where the engine listens, as tcp://host:port.")]
MediaMap = Annotated[
    list[str] | None,
    typer.Option("--media-map", metavar="URL=FOLDER", help="Play urls that begin with URL from FOLDER; repeatable."),
]
Away = Annotated[
    float,
    typer.Option("--away-seconds", metavar="S", min=1, help="After S seconds without the engine, everyone leaves."),
]
Silent = Annotated[
    float,
    typer.Option("--silent-seconds", metavar="S", min=1, help="Three of FreeSWITCH's heartbeats."),
]


@engine.command()
def freeswitch(
    node: NodeName, url: Url, media_map: MediaMap = None, away_seconds: Away = 30.0, silent_seconds: Silent = 60.0
) -> None:
    """Connect FreeSWITCH by its event socket until SIGTERM.

    Run one bridge per engine. A second one for the same node takes over, and
    the first ends. The password of the event socket comes from
    ENGINE_PASSWORD, or from the file that ENGINE_PASSWORD_FILE names.
    Set PIPELINE_WATCHDOG_MODE=progress for the workers, or files longer than
    10 s are cut. PIPELINE_HTTP_PORT has /livez, /readyz and /metrics.

    Exit codes: 0 stopped, 1 an error that a restart can fix, 2 invalid
    configuration or environment, 3 another bridge has taken the node.

    [dim]$ ENGINE_PASSWORD_FILE=/run/secrets/esl conference-pipeline engine
        freeswitch --node n1 --url tcp://10.0.0.5:8021
        --media-map https://cdn.example.com/=/var/media/[/dim]
    """
    import structlog

    from pipeline.engines.freeswitch.engine import FreeSwitch
    from pipeline.engines.process import main
    from pipeline.engines.rules.ids import Node
    from pipeline.logs import configure

    named, address = Node(node), _address(url)
    pairs = [_pair(text) for text in media_map or ()]
    password = _password()
    settings, warnings = _settings()
    configure(settings)
    for warning in warnings:
        structlog.get_logger("settings").warning(warning)
    main(settings, named, FreeSwitch(named, address, password, pairs, silent_seconds=silent_seconds), away_seconds)


@engine.command()
def retire(node: Annotated[str, typer.Argument(metavar="NODE", help="The node whose engine is gone.")]) -> None:
    """End a node whose engine and bridge are gone.

    Everyone in its rooms leaves as orphan, and the node is no longer
    announced. It waits 13 s to see that no bridge of the node runs.

    Exit codes: 0 done, also when nobody was left, 2 the bridge runs, or Kafka
    or the registry failed, 130 Ctrl-C.

    [dim]$ conference-pipeline engine retire n1[/dim]
    """
    from pipeline.engines.retire import retire as run
    from pipeline.engines.rules.ids import Node

    named = Node(node)
    settings = server_settings()
    with kafka_errors(settings):
        count = asyncio.run(run(settings, named, warn))
    show(f"{count} members of node {node} left as orphan")


def _settings() -> tuple[Settings, list[str]]:
    warnings: list[str] = []
    return server_settings(warnings.append), warnings


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "tcp" or not parts.hostname or parts.path not in ("", "/") or "@" in parts.netloc:
        raise ConfigError("--url: expected tcp://host:port of the event socket, without a password")
    return parts.hostname, port


def _pair(text: str) -> tuple[str, str]:
    url, found, folder = text.rpartition("=")
    if not found or not url.lower().startswith(("http://", "https://")) or not folder.startswith("/"):
        raise ConfigError(
            f"--media-map: expected URL=FOLDER, as https://cdn.example.com/=/var/media/, got {text[:80]!a}"
        )
    return url, folder


def _password() -> str:
    """Return the password of the event socket. Raises ConfigError."""
    path, password = os.environ.get("ENGINE_PASSWORD_FILE", ""), os.environ.get("ENGINE_PASSWORD", "")
    if path and password:
        raise ConfigError("ENGINE_PASSWORD and ENGINE_PASSWORD_FILE: set only one of them")
    if path:
        try:
            password = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"ENGINE_PASSWORD_FILE: {path[:200]!a} can't be read: {error}") from None
    if not password:
        raise ConfigError("no password of the event socket: set ENGINE_PASSWORD or ENGINE_PASSWORD_FILE")
    return password
