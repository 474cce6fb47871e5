"""Parts of generated Python, for tools/generate.py and tools/emit_client.py."""

from __future__ import annotations

from schemas import Record


def docstring(text: str) -> list[str]:
    """Return the lines of `text` as a docstring, wrapped at 110 columns."""
    raw = "r" if "\\" in text else ""
    words, lines = f'{raw}"""{text}'.split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 104:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    lines[-1] = lines[-1][:-1] + '\\""""' if text.endswith('"') else lines[-1] + '"""'
    return [f"    {line}" for line in lines]


def union(name: str, records: list[Record], doc: str) -> str:
    """Return a type alias for any of the classes."""
    members = "".join(f"\n    {'| ' if i else ''}{r.name}" for i, r in enumerate(records))
    return f'\n{name}: TypeAlias = ({members}\n)\n"""{doc}"""\n'


def roster(name: str, base: str, records: list[Record], doc: str) -> str:
    """Return a tuple of the classes."""
    members = "".join(f"\n    {r.name}," for r in records)
    return f'\n{name}: tuple[type[{base}], ...] = ({members}\n)\n"""{doc}"""\n'
