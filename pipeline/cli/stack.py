"""`stack`: the local broker and registry."""

from __future__ import annotations

from typing import Final

import typer

from pipeline.cli.down import down
from pipeline.cli.stack_status import stack_status
from pipeline.cli.up import up

HELP: Final = """Start, stop and show the local broker and registry.

`up` and `down` are short forms of `stack up` and `stack down`.

[dim]$ conference-pipeline stack up
$ conference-pipeline stack status[/dim]
"""
stack = typer.Typer(help=HELP, no_args_is_help=True)
stack.command("up")(up)
stack.command("down")(down)
stack.command("status")(stack_status)
