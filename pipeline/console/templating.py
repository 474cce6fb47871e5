"""The templates, filled so that no text from outside is markup, and no character of it is invisible or turns others."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.model.times import format_time
from pipeline.terminal import printable

STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files that pages refer to, and their types."""


@cache
def static_file(name: str) -> bytes:
    """Return the bytes of one of `STATIC`."""
    return (files("pipeline.console") / "static" / name).read_bytes()


@cache
def _version(name: str) -> str:
    return blake2b(static_file(name), digest_size=6).hexdigest()


def _static_url(name: str) -> str:
    """Return the path of a file; it changes with the file, so that browsers may keep it."""
    return f"/static/{name}?v={_version(name)}"


def _visible(value: Any) -> Any:
    """Return a text with its control and bidirectional characters made visible."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("pipeline.console"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["static_url"] = _static_url
    made.filters["iso"] = format_time
    made.filters["clock"] = lambda micros: format_time(micros)[11:19]
    made.filters["millis"] = lambda micros: micros // 1000
    made.filters["query"] = lambda text: quote(text, safe="", errors="replace")
    made.filters["number"] = lambda value: f"{value:,}"
    return made


_TEMPLATES: Final = _environment()


def page(name: str, **values: Any) -> str:
    """Return a whole page."""
    return _TEMPLATES.get_template(name).render(values)


@cache
def _macro(template: str, name: str) -> Any:
    return getattr(_TEMPLATES.get_template(template).module, name)


def part(template: str, name: str, *values: Any) -> str:
    """Return what a macro of a template gives, as HTML."""
    return str(_macro(template, name)(*values))


def safe(html: str) -> Markup:
    """Return HTML that was made by a template, for another one."""
    return Markup(html)
