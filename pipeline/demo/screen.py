"""The demo's output: events on standard output, progress of the run on standard error."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from pipeline.terminal import event_colour

if TYPE_CHECKING:
    from pipeline.model.events import Event


class Screen:
    """Prints events and comments for people; with `as_json`, events as JSON lines and no comments."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def progress(self, text: str) -> None:
        """Print a line about the run itself on standard error."""
        typer.secho(text, err=True, dim=True)

    def comment(self, text: str) -> None:
        """Print a line about the conference."""
        if not self.as_json:
            typer.secho(f"# {text}", dim=True)
            sys.stdout.flush()

    def event(self, event: Event) -> None:
        """Print one event: time, sequence number, name, fields."""
        from pipeline.model.codec import event_json

        if self.as_json:
            sys.stdout.write(event_json(event).decode())
        else:
            meta = event.meta
            at = datetime.fromtimestamp(meta.occurred_at / 1e6).strftime("%H:%M:%S.%f")[:-3]
            name = typer.style(f"{event.EVENT:<30}", fg=event_colour(event.EVENT), bold=True)
            inferred = typer.style("  (inferred, not reported)", dim=True) if meta.synthetic else ""
            typer.echo(f"{at}  {meta.sequence:>3}  {name} {_fields(event)}{inferred}")
        sys.stdout.flush()

    def summary(self, counts: dict[str, int], heading: str, rejected: dict[str, int], no_ops: dict[str, int]) -> None:
        """Print `heading`, the number of events by name, and the numbers of rejected signals and no-ops by reason."""
        typer.echo(f"\n{heading}\n")
        for name, number in sorted(counts.items()):
            typer.echo(f"  {number:>2}  {typer.style(name, fg=event_colour(name))}")
        for title, reasons in (("rejected", rejected), ("no-ops", no_ops)):
            typer.echo(f"  {title}: " + ", ".join(f"{reason} {number}" for reason, number in reasons.items()))


def _fields(event: Event) -> str:
    import msgspec

    fields = msgspec.structs.asdict(event)
    shown = {key: value for key, value in fields.items() if key not in ("room_id", "meta", "session_uuid")}
    return "  ".join(f"{key}={' '.join(value) if isinstance(value, tuple) else value}" for key, value in shown.items())
