"""How events look on a terminal: one colour for each kind."""

from __future__ import annotations

from typing import Final

COLOURS: Final = {
    "created": "bright_blue",
    "destroyed": "blue",
    "joined": "green",
    "left": "yellow",
    "muted": "magenta",
    "unmuted": "bright_magenta",
    "started": "cyan",
    "paused": "bright_black",
    "resumed": "bright_cyan",
    "stopped": "bright_yellow",
    "volume_changed": "white",
    "finished": "bright_green",
    "failed": "bright_red",
}
"""The last word of an event's name → its colour, one of the 16 of a terminal."""


def event_colour(name: str) -> str:
    """Return the colour of the event `name`, such as `conference.created`."""
    return COLOURS[name.rpartition(".")[2]]
