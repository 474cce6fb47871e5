"""Tables and paragraphs in Markdown."""

from __future__ import annotations

import textwrap
from typing import Final

WIDTH: Final = 118


def table(*rows: tuple[str, ...]) -> str:
    """Return a table; the first row is its head."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    cells.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def paragraph(text: str) -> str:
    """Return `text` in lines of at most `WIDTH` characters."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
