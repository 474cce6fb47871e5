"""`up`: start the local broker and registry (contract §7)."""

from __future__ import annotations

import os
import re
import socket
from typing import Annotated

import typer

from pipeline.cli.shared import Json, StackName
from pipeline.cli.stack_status import print_json
from pipeline.devstack import Stack, terminal_progress
from pipeline.devstack.stack import BROKER, REGISTRY
from pipeline.errors import ConfigError
from pipeline.terminal import show, warn

Port = Annotated[int | None, typer.Option(metavar="PORT", help="Default: a free port.", min=1, max=65535)]


def up(name: StackName = "default", kafka_port: Port = None, registry_port: Port = None, as_json: Json = False) -> None:
    """Start a Kafka broker and a schema registry on this machine.

    They run in the background until `down`. The first call downloads 200 MB;
    later calls take about 4 seconds. Calling it again restarts a server that
    died and changes nothing else.

    A server named in KAFKA_BOOTSTRAP_SERVERS or SCHEMA_REGISTRY_URL is used
    instead of starting one; an option that would then have no effect is an
    error. Standard output has the two variables for a shell.

    [dim]$ eval "$(conference-pipeline up)"
    $ conference-pipeline up --kafka-port 9092 --registry-port 8081
    $ conference-pipeline up --name other --json[/dim]
    """
    status = Stack(name).status()
    broker = _external(BROKER, status.bootstrap_servers)
    registry = _external(REGISTRY, status.schema_registry_url)
    _refuse_ignored(
        name, (BROKER, broker, "--kafka-port", kafka_port), (REGISTRY, registry, "--registry-port", registry_port)
    )
    if not (broker and registry):
        stack = Stack(
            name, kafka_port=kafka_port, registry_port=registry_port, nodes=0 if broker else 1, registry=not registry
        )
        with terminal_progress() as progress:
            status = stack.up(progress)
    broker, registry = broker or status.bootstrap_servers, registry or status.schema_registry_url
    if as_json:
        print_json(status, bootstrap_servers=broker, schema_registry_url=_without_login(registry or "") or None)
    else:
        show(f"export {BROKER}={broker}")
        # A URL with a login is never printed; the shell has it in its environment already.
        secret = registry is not None and registry != _without_login(registry)
        show(f'export {REGISTRY}="${REGISTRY}"' if secret else f"export {REGISTRY}={registry}")


def _refuse_ignored(name: str, *servers: tuple[str, str | None, str, int | None]) -> None:
    """Raise ConfigError when an option has no effect: `servers` are variable, external server, option and its value."""
    for variable, external, option, port in servers:
        if external and port is not None:
            raise ConfigError(
                f"{option} {port} has no effect, because {variable} names another server: `unset {variable}` to start "
                "a local one"
            )
    if name != "default" and all(external for _, external, _, _ in servers):
        variables = " ".join(variable for variable, *_ in servers)
        raise ConfigError(
            f"--name {name} has no effect, because {' and '.join(variables.split())} name other servers: "
            f"`unset {variables}` to start that local stack"
        )


def _external(variable: str, own: str | None) -> str | None:
    """Return the server named in the environment variable; None if none is, or it is this stack's `own`.

    After `eval "$(conference-pipeline up)"` the variables name the stack itself. Raises ConfigError when nothing
    listens at the address.
    """
    named = os.environ.get(variable, "").strip()
    if not named or named == own:
        return None
    addresses = [one.rpartition("://")[2].partition("/")[0].rpartition("@")[2] for one in named.split(",")]
    if not any(_listens(address, 443 if named.startswith("https") else 80) for address in addresses):
        raise ConfigError(
            f"{variable}={_without_login(named)} is set, but nothing answers there: start that server, "
            f"or `unset {variable}` to start a local one"
        )
    warn(f"{variable}={_without_login(named)} is set: using it instead of starting one")
    return named


def _without_login(url: str) -> str:
    """Return the URL without what may be a secret: a login, also without a scheme before it, and a query."""
    scheme, _, rest = url.rpartition("://")
    rest = re.split(r"[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme.rpartition('@')[2]}://{rest}" if scheme else rest


def _listens(address: str, default_port: int) -> bool:
    host, _, port = address.strip().rpartition(":") if ":" in address else (address, "", str(default_port))
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False
