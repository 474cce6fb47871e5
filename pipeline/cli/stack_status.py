"""`stack status`: show the local broker and registry (contract §7)."""

from __future__ import annotations

import msgspec
import typer

from pipeline.cli.shared import Json, StackName
from pipeline.devstack import Stack, StackStatus
from pipeline.terminal import show


def stack_status(name: StackName = "default", as_json: Json = False) -> None:
    """Show the local broker and registry: state, URLs, memory, logs.

    Exit codes: 0 all processes run, 3 the stack is stopped or a process died.

    [dim]$ conference-pipeline stack status
    $ conference-pipeline stack status --json | jq -r .bootstrap_servers[/dim]
    """
    found = Stack(name).status()
    if as_json:
        print_json(found)
    else:
        show(f"local stack {name!r}: {found.state}")
        for process in found.processes:
            memory = f", {process.rss / 2**20:.0f} MiB" if process.rss else ""
            show(f"  {process.name:<9} {process.state:<8} pid {process.pid}{memory}  {process.url}  {process.log}")
            if process.last_log:
                show(f"            last lines of its log: {process.last_log}")
        if found.state != "running":
            option = "" if name == "default" else f" --name {name}"
            show(f"start it with: conference-pipeline up{option}")
    if found.state != "running":
        raise typer.Exit(3)


def print_json(found: StackStatus, **changes: str | None) -> None:
    """Print a stack's status as one JSON object, with the fields in `changes` replaced."""
    fields = msgspec.to_builtins(found, enc_hook=str)
    show(msgspec.json.encode({**fields, **changes}).decode())
