"""`engine`: connect a media engine, or end a node that is gone."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn
from urllib.parse import urlsplit

import typer

from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import ConfigError
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.engines.engine import Engine
    from pipeline.engines.rules.ids import Node
    from pipeline.settings import Settings

HELP: Final = """Connect a media engine to the pipeline.

What happens there becomes signals, and what was decided is performed.

[dim]$ conference-pipeline engine freeswitch --node n1 --url tcp://10.0.0.5:8021
$ conference-pipeline engine janus --node n2 --url ws://10.0.0.6:8188
$ conference-pipeline engine retire n1[/dim]
"""
PORT: Final = 8021
"""The event socket's, by default."""
LISTEN: Final = "ws://127.0.0.1:8189"
LOCAL: Final = ("127.0.0.1", "::1", "localhost")

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


ApiUrl = Annotated[
    str, typer.Option("--url", metavar="URL", help="Janus' websocket API, as ws://host:port or wss://host:port.")
]
Listen = Annotated[
    str,
    typer.Option(
        "--events-listen",
        metavar="ADDRESS",
        help="Where Janus' event handler connects to: ws://HOST:PORT or http://HOST:PORT.",
    ),
]
PlainRtp = Annotated[
    bool, typer.Option("--plain-rtp", help="Let members take part in the made rooms by plain RTP, without WebRTC.")
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
    from pipeline.engines.freeswitch.engine import FreeSwitch
    from pipeline.engines.rules.ids import Node

    named, address = Node(node), _address(url)
    pairs = [_pair(text) for text in media_map or ()]
    password = _secret("ENGINE_PASSWORD", "password of the event socket")
    _run(named, FreeSwitch(named, address, password, pairs, silent_seconds=silent_seconds), away_seconds)


@engine.command()
def janus(
    node: NodeName,
    url: ApiUrl,
    events_listen: Listen = LISTEN,
    media_map: MediaMap = None,
    plain_rtp: PlainRtp = False,
    away_seconds: Away = 30.0,
) -> None:
    """Connect the AudioBridge of Janus until SIGTERM.

    Run one bridge per engine. A second one for the same node takes over, and
    the first ends. Commands go to the websocket API at --url. The events come
    from one of Janus' event handlers, which connects to --events-listen: the
    websocket handler to ws://HOST:PORT, which loses no event while the bridge
    is away, or the HTTP handler to http://HOST:PORT. HOST:PORT means ws.

    The admin_key of the AudioBridge comes from ENGINE_PASSWORD, the
    api_secret of Janus from ENGINE_API_SECRET, and the path of the event
    handler's backend, or the HTTP handler's backend_pwd, from
    ENGINE_EVENTS_TOKEN; each also from the file that the same name with _FILE
    names.
    The AudioBridge plays local Opus files, so each url needs a --media-map.
    It can't pause, change the volume, or move members into a room.
    Set PIPELINE_WATCHDOG_MODE=progress for the workers, or files longer than
    10 s are cut. PIPELINE_HTTP_PORT has /livez, /readyz and /metrics.

    Exit codes: 0 stopped, 1 an error that a restart can fix, 2 invalid
    configuration or environment, 3 another bridge has taken the node.

    [dim]$ ENGINE_PASSWORD_FILE=/run/secrets/admin_key conference-pipeline engine
        janus --node n1 --url ws://127.0.0.1:8188
        --media-map https://cdn.example.com/=/var/media/[/dim]
    """
    from pipeline.engines.janus.engine import Access, Janus
    from pipeline.engines.rules.ids import Node

    named, address, (handler, listen) = Node(node), _api_url(url), _listen(events_listen)
    pairs = [_pair(text) for text in media_map or ()]
    admin_key = _secret("ENGINE_PASSWORD", "admin_key of the AudioBridge")
    api_secret, token = _secret("ENGINE_API_SECRET"), _secret("ENGINE_EVENTS_TOKEN")
    if not re.fullmatch("[A-Za-z0-9_-]{0,200}", token):
        raise ConfigError("ENGINE_EVENTS_TOKEN: expected at most 200 letters, digits, - and _")
    if not token and listen[0] not in LOCAL:
        raise ConfigError(
            f"--events-listen {events_listen}: anyone who reaches it can send events: set ENGINE_EVENTS_TOKEN, and end "
            "the backend of Janus' event handler with the same text"
        )
    access = Access(address, listen, admin_key, api_secret, token, handler)
    _run(named, Janus(named, access, pairs, plain_rtp=plain_rtp), away_seconds)


def _run(node: Node, found: Engine, away_seconds: float) -> NoReturn:
    import structlog

    from pipeline.engines.process import main
    from pipeline.logs import configure

    settings, warnings = _settings()
    configure(settings)
    for warning in warnings:
        structlog.get_logger("settings").warning(warning)
    main(settings, node, found, away_seconds)


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


def _api_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not url.isprintable():
        raise ConfigError("--url: expected ws://host:port or wss://host:port of Janus' websocket API, without secrets")
    return url


def _listen(text: str) -> tuple[Literal["ws", "http"], tuple[str, int]]:
    """Return the kind of event handler, and host and port."""
    is_http = text.startswith("http://")
    host, found, port = text.removeprefix("http://" if is_http else "ws://").rpartition(":")
    if not found or not host or "/" in host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--events-listen: expected ws://HOST:PORT or http://HOST:PORT, got {text[:80]!a}")
    return "http" if is_http else "ws", (host.strip("[]"), int(port))


def _secret(name: str, needed: str = "") -> str:
    """Return a secret of the environment or of a file; "" if it is not needed. Raises ConfigError."""
    path, secret = os.environ.get(f"{name}_FILE", ""), os.environ.get(name, "")
    if path and secret:
        raise ConfigError(f"{name} and {name}_FILE: set only one of them")
    if path:
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_FILE: {path[:200]!a} can't be read: {error}") from None
    if needed and not secret:
        raise ConfigError(f"no {needed}: set {name} or {name}_FILE")
    return secret
