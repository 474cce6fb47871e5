"""What the demo prints."""

from __future__ import annotations

import sys
from datetime import datetime

import msgspec
import typer

from pipeline.model.codec import event_json
from pipeline.model.events import Event
from pipeline.terminal import event_colour, printable


class Screen:
    """Prints events and comments for people; with `as_json`, events as JSON lines and no comments."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def progress(self, text: str) -> None:
        """Print a line about the run itself on standard error."""
        typer.secho(printable(text), err=True, dim=True)

    def comment(self, text: str) -> None:
        """Print a line about the conference."""
        if not self.as_json:
            typer.secho(f"# {printable(text)}", dim=True)
            sys.stdout.flush()

    def event(self, event: Event) -> None:
        """Print one event: time, sequence number, name, fields."""
        if self.as_json:
            text = event_json(event).decode()
            sys.stdout.write(printable(text, lines=True) if sys.stdout.isatty() else text)
        else:
            meta = event.meta
            at = datetime.fromtimestamp(meta.occurred_at / 1e6).strftime("%H:%M:%S.%f")[:-3]
            name = typer.style(f"{event.EVENT:<30}", fg=event_colour(event.EVENT), bold=True)
            inferred = typer.style("  (inferred, not reported)", dim=True) if meta.synthetic else ""
            typer.echo(f"{at}  {meta.sequence:>3}  {name} {printable(_fields(event))}{inferred}")
        sys.stdout.flush()


def _fields(event: Event) -> str:
    fields = msgspec.structs.asdict(event)
    shown = {key: value for key, value in fields.items() if key not in ("room_id", "meta", "session_uuid")}
    return "  ".join(f"{key}={' '.join(value) if isinstance(value, tuple) else value}" for key, value in shown.items())
