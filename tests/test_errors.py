"""The docstring of pipeline/errors.py lists every error of the package."""

from __future__ import annotations

import ast
from pathlib import Path

from pipeline import errors

PACKAGE = Path(errors.__file__).parent


def error_classes() -> dict[str, str]:
    """Return the subclasses of PipelineError by name, each with its module."""
    classes = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)}, path)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    found = {"PipelineError": "pipeline.errors"}
    while more := {
        name: ".".join(("pipeline", *path.relative_to(PACKAGE).with_suffix("").parts))
        for name, bases, path in classes
        if name not in found and bases & found.keys()
    }:
        found |= more
    return found


def test_tree_lists_every_error_and_where_it_is_defined() -> None:
    assert errors.__doc__
    listed = {line.split()[0]: line for line in _entries(errors.__doc__)}
    found = error_classes()
    assert listed.keys() == found.keys()
    for name, module in found.items():
        assert module == "pipeline.errors" or f"({module})" in listed[name]


def _entries(text: str) -> list[str]:
    """Return the lines of the tree, without its branches."""
    lines = (line.lstrip("│├└─ ") for line in text.splitlines()[1:])
    return [line for line in lines if line]
