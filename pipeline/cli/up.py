"""`up`, `down`, `status`: the local broker and registry as commands (contract §7)."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Annotated, Any

import msgspec
import typer

from pipeline.devstack import Stack, StackStatus, terminal_progress
from pipeline.devstack.urls import BROKER, REGISTRY
from pipeline.errors import ConfigError

NOT_RUNNING = 3  # exit code of `status`

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Which local stack; several can run.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Port = Annotated[int | None, typer.Option(metavar="PORT", help="Default: a free one.", min=1, max=65535)]


def up(
    name: Name = "default",
    kafka_port: Port = None,
    registry_port: Port = None,
    as_json: Json = False,
) -> None:
    """Start a real Kafka broker and a real schema registry on this machine, in the background.

    The first call downloads 200 MB; later ones take some 4 seconds. Run it again at any time: it starts what died and
    changes nothing else. A server named in KAFKA_BOOTSTRAP_SERVERS or SCHEMA_REGISTRY_URL is used, not started.

    Standard output is fit for a shell:

        eval "$(conference-pipeline up)"

        conference-pipeline up --kafka-port 9092 --registry-port 8081

        conference-pipeline up --name other --json
    """
    before = Stack(name).status()
    broker = _foreign(BROKER, before.bootstrap_servers)
    registry = _foreign(REGISTRY, before.schema_registry_url)
    status = before
    if not (broker and registry):
        with terminal_progress() as progress:
            status = Stack(
                name,
                kafka_port=kafka_port,
                registry_port=registry_port,
                nodes=0 if broker else 1,
                registry=not registry,
            ).up(progress)
    broker, registry = broker or status.bootstrap_servers, registry or status.schema_registry_url
    if as_json:
        shown = {"bootstrap_servers": broker, "schema_registry_url": _without_login(registry or "") or None}
        _print_json({**_plain(status), **shown})
    else:
        secret = registry is not None and "@" in registry  # never said, and in the environment already
        print(f"export {BROKER}={broker}")
        print(f'export {REGISTRY}="${REGISTRY}"' if secret else f"export {REGISTRY}={registry}")


def down(name: Name = "default", as_json: Json = False) -> None:
    """Stop the local broker and registry and remove their data and logs. The downloads stay for the next `up`.

    Exit code 0 also when nothing ran.

        conference-pipeline down

        conference-pipeline down --name other
    """
    stack = Stack(name)
    before = stack.status()
    stack.down()
    if as_json:
        _print_json(_plain(stack.status()))
    elif before.processes:
        print(
            f"local stack {name!r}: stopped {', '.join(one.name for one in before.processes)}, data removed"
        )
    else:
        print(f"local stack {name!r}: nothing to stop")


def status(name: Name = "default", as_json: Json = False) -> None:
    """Show what of the local stack runs: process ids, addresses, memory, logs.

    Exit code 0 when all runs, 3 when the stack is stopped or one of its processes died.

        conference-pipeline status

        conference-pipeline status --json | jq -r .bootstrap_servers
    """
    found = Stack(name).status()
    if as_json:
        _print_json(_plain(found))
    else:
        print(f"local stack {name!r}: {found.state}")
        for one in found.processes:
            memory = f", {one.rss / 2**20:.0f} MiB" if one.rss else ""
            print(f"  {one.name:<9} {one.state:<8} pid {one.pid}{memory}  {one.url}  {one.log}")
            if one.last_log:
                print(f"            its last lines: {one.last_log}")
        if found.state != "running":
            print("start it with: conference-pipeline up")
    if found.state != "running":
        raise typer.Exit(NOT_RUNNING)


def _foreign(variable: str, own: str | None) -> str | None:
    """The server that the environment names, unless it is this stack's own (from an earlier `eval "$(… up)"`).

    Raises:
        ConfigError: nothing listens there.
    """
    named = os.environ.get(variable, "").strip()
    if not named or named == own:
        return None
    addresses = [one.rpartition("://")[2].partition("/")[0].rpartition("@")[2] for one in named.split(",")]
    if not any(_listens(address, 443 if named.startswith("https") else 80) for address in addresses):
        raise ConfigError(
            f"{variable}={_without_login(named)} is set, but nothing answers there: start that server, "
            f"or `unset {variable}` to have one started here"
        )
    print(f"{variable}={_without_login(named)} is set: using that one, not starting another", file=sys.stderr)
    return named


def _without_login(url: str) -> str:
    """A URL without what may be a password in it."""
    return re.sub(r"(?<=//).*@", "", url)


def _listens(address: str, default_port: int) -> bool:
    host, _, port = address.strip().rpartition(":") if ":" in address else (address, "", str(default_port))
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _plain(found: StackStatus) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found, enc_hook=str)
    return plain


def _print_json(value: dict[str, Any]) -> None:
    print(msgspec.json.encode(value).decode())
