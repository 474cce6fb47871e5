"""Replace parts of a worker, for the seeded bugs."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any


def put(owner: type | ModuleType, name: str, value: Any) -> None:
    """Replace an attribute that must exist, by one that can be called in the same way."""
    assert name in vars(owner), f"{owner.__name__}.{name} has gone"
    if inspect.isfunction(real := vars(owner)[name]):
        takes = inspect.signature(real).parameters.values()
        named = {p.name: None for p in takes if p.kind is p.KEYWORD_ONLY}
        inspect.signature(value).bind(*[None for p in takes if p.kind is p.POSITIONAL_OR_KEYWORD], **named)
    setattr(owner, name, value)
