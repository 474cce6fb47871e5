"""`down`: stop the local broker and registry and delete their data (contract §7)."""

from __future__ import annotations

from pipeline.cli.shared import Json, StackName
from pipeline.cli.stack_status import print_json
from pipeline.devstack import Stack
from pipeline.terminal import show


def down(name: StackName = "default", as_json: Json = False) -> None:
    """Stop the local broker and registry and delete their data.

    Their logs are deleted, too. The downloads stay for the next `up`.

    Exit code: 0, also when nothing ran.

    [dim]$ conference-pipeline down
    $ conference-pipeline down --name other[/dim]
    """
    stack = Stack(name)
    before = stack.status()
    stack.down()
    if as_json:
        print_json(stack.status())
    elif before.processes:
        names = ", ".join(process.name for process in before.processes)
        show(f"local stack {name!r}: stopped {names}, data deleted")
    else:
        show(f"local stack {name!r}: nothing to stop")
