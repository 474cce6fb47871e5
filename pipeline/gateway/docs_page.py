"""The page `/docs`: the operations of the OpenAPI document as HTML, without scripts and other resources."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:0.875rem/1.4 ui-monospace,monospace}"
    "pre{overflow-x:auto;padding:.75rem;border:1px solid #8888}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}"
    "section{margin-top:3rem}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def render(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    found = list(_operations(document))
    index = "".join(
        f'<li><a href="#{name}"><code>{title}</code></a> {summary}</li>' for name, title, summary, _ in found
    )
    sections = "".join(
        f'<section id="{name}"><h2><code>{title}</code></h2>{body}</section>' for name, title, _, body in found
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{_text(info.get('summary', ''))}</p><p>{_text(info.get('description', ''))}</p>"
        "<p>Every request needs the headers <code>X-App-ID</code> and <code>X-API-Key</code>. "
        'The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<nav><ul>{index}</ul></nav>{sections}</main></body></html>"
    )


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the id, the title, the summary and the body of each operation."""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            description = _text(one.get("description", ""))
            body = f"<p>{description}</p>{_parameters(document, one)}{_request(document, one)}{_answers(one)}"
            yield escape(one["operationId"]), escape(f"{method.upper()} {path}"), description, body


def _parameters(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    rows = []
    for given in operation.get("parameters", ()):
        one = _resolved(document, given)
        rows.append((f"<code>{escape(one['name'])}</code>", escape(one["in"]), _text(one.get("description", ""))))
    return _table(("parameter", "in", "meaning"), rows)


def _request(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = _resolved(document, content.get("schema", {}))
    for branch in schema.get("anyOf", ()):  # a body that may be left out
        schema = _resolved(document, branch) if "$ref" in branch else schema
    example = next(iter(schema.get("examples", ())), None)
    return "" if example is None else f"<p>Body:</p><pre>{escape(json.dumps(example, indent=1))}</pre>"


def _answers(operation: Mapping[str, Any]) -> str:
    rows = [(escape(status), _text(one.get("description", ""))) for status, one in operation["responses"].items()]
    return _table(("status", "meaning"), sorted(rows))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    if "$ref" in schema:
        found = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found  # type: ignore[no-any-return]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{one}</th>' for one in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def _text(text: str) -> str:
    """Return a text with its `code` marked."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))
