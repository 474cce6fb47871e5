"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object instead of text.")]
Force = Annotated[
    bool,
    typer.Option("--force", metavar="", help="Only warn about topic settings that break a guarantee."),
]
StackName = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name of the local stack; several can run side by side.")
]
