"""Fill the generated sections of the Markdown pages from the code (`make docs`).

A section lies between `<!-- generated: name -->` and `<!-- end -->`. `SECTIONS` has a function per name, which returns
the section's text. Links in that text start at the root of the repository.

    python tools/docs.py            write the pages that differ
    python tools/docs.py --check    list the pages that differ and exit with 1
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import capacity
import commands
import http_docs
import peers
import permissions
import results
import states
from markdown import paragraph, table
from pydantic import SecretStr

from pipeline.console.settings import ConsoleSettings
from pipeline.core.decision import NoOp, Rejection
from pipeline.engines.counts import BridgeMetrics
from pipeline.metrics import Metrics
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import ALL_TOPICS
from pipeline.view.wording import MEANINGS

ROOT: Final = Path(__file__).resolve().parent.parent
MARK: Final = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LINK: Final = re.compile(r"(?<=\]\()(docs/[^)#]*)")
PREFIX: Final = "conference"


class DocsError(Exception):
    """A page can't be filled; the text names the page and the remedy."""


# --- schemas -------------------------------------------------------------------------------------------------


def schema(record: str) -> dict[str, Any]:
    """Return the registered schema of a record, given its full name."""
    found: dict[str, Any] = json.loads(SCHEMAS[record])
    return found


def type_name(avro: Any) -> str:
    """Return an Avro type as text, such as `null or string`."""
    if isinstance(avro, list):
        return " or ".join(type_name(branch) for branch in avro)
    if not isinstance(avro, dict):
        return str(avro)
    if avro["type"] == "array":
        return f"{type_name(avro['items'])}[]"
    if avro["type"] == "record":
        return f"`{avro['name']}`"
    return str(avro.get("logicalType", avro["type"]))


def _limits(field: dict[str, Any]) -> str:
    size = (field.get("minLength"), field.get("maxLength"))
    text = f", {size[0]}–{size[1]} code points" if size != (None, None) else ""
    count = (field.get("minItems"), field.get("maxItems"))
    return text + (f", {count[0] or 0}–{count[1]} items" if count != (None, None) else "")


def fields(record: str, *, without: tuple[str, ...] = ()) -> str:
    """Return a table of a record's fields, except those in `without`."""
    rows = [("field", "type", "meaning")]
    for field in schema(record)["fields"]:
        if field["name"] in without:
            continue
        default = f" Default: `{json.dumps(field['default'])}`." if "default" in field else ""
        kind = type_name(field["type"]) + _limits(field)
        rows.append((f"`{field['name']}`", kind, field["doc"] + default))
    return table(*rows)


def _pages(records: Iterator[tuple[str, str]], without: tuple[str, ...]) -> str:
    parts = []
    for title, record in records:
        parts.append(f"### {title}\n\n" + paragraph(f"{schema(record)['doc']} Record `{record}`."))
        rows = fields(record, without=without)
        parts.append(rows if rows.count("\n") > 1 else "No fields beyond the common ones.")
    return "\n\n".join(parts)


def events() -> str:
    """Return the catalogue: name, trigger and fields of each event."""
    rows = [("event", "when", "fields, in addition to `event` and `meta`")]
    for event in EVENTS:
        found = schema(event.RECORD)
        named = []
        for field in found["fields"]:
            if field["name"] not in ("event", "meta"):
                kind = type_name(field["type"])
                named.append(f"`{field['name']}`" + ("" if kind == "string" else f" {kind}"))
        rows.append((f"`{event.EVENT}`", found["doc"], ", ".join(named)))
    return table(*rows)


def events_full() -> str:
    """Return a section per event with the meaning of its fields."""
    return _pages(((f"`{event.EVENT}`", event.RECORD) for event in EVENTS), ("meta",))


def meta() -> str:
    """Return the fields of `meta`."""
    return fields("conference.Meta")


def rows() -> str:
    """Return a section per record of `conference.rooms`."""
    names = ("Room", "Member", "Gone", "Position", "TopicPosition")
    return _pages(((f"`conference.{name}`", f"conference.{name}") for name in names), ())


def rejected_record() -> str:
    """Return the fields of `conference.Rejected`."""
    return fields("conference.Rejected")


def no_op_record() -> str:
    """Return the fields of `conference.NoOp`."""
    return fields("conference.NoOp")


def signals() -> str:
    """Return a section per signal with the meaning of its fields."""
    common = ("signal_id", "room_id", "occurred_at")
    named = ((f"`{signal.TYPE}` ({signal.TOPIC})", signal.RECORD) for signal in SIGNALS)
    return _pages(named, common)


def signal_common() -> str:
    """Return the fields that every signal has."""
    own = tuple(f["name"] for f in schema("conference.signal.ConferencePlay")["fields"][3:])
    return fields("conference.signal.ConferencePlay", without=own)


# --- reasons, topics, settings, metrics ----------------------------------------------------------------------


def _reasons(closed: Any) -> str:
    try:
        listed = [(f"`{reason}`", MEANINGS[reason]) for reason in get_args(closed)]
    except KeyError as error:
        raise DocsError(f"the reason {error} has no text: add one to MEANINGS in pipeline/view/wording.py") from None
    return table(("reason", "meaning"), *listed)


def rejections() -> str:
    """Return the reasons why signals are rejected."""
    return _reasons(Rejection)


def no_ops() -> str:
    """Return the reasons why signals cause no event."""
    return _reasons(NoOp)


def topics() -> str:
    """Return the topics and their required configuration."""
    listed = [
        (
            f"`{topic.full_name(PREFIX)}`",
            "out" if topic.output else "in",
            str(len(topic.records) or "none: unchanged bytes"),
            ", ".join(f"`{key}={value}`" for key, value in topic.config.items()),
        )
        for topic in ALL_TOPICS
    ]
    return table(("topic", "direction", "records", "required configuration"), *listed)


def settings(of: Any = Settings) -> str:
    """Return every environment variable of a class of settings."""
    listed = []
    meaning = _field_docstrings(of)
    for name, field in of.model_fields.items():
        alias: Any = field.validation_alias
        default = field.default
        secret = isinstance(default, SecretStr)
        shown = "" if secret or default == "" else f"`{str(default).lower() if default is True else default}`"
        kind = "secret" if secret else _setting_type(field)
        listed.append((f"`{alias.choices[0]}`", kind, shown, meaning[name]))
    return table(("variable", "type", "default", "meaning"), *listed)


def _field_docstrings(of: Any) -> dict[str, str]:
    """Return the docstring of each field of a class of settings, by name."""
    [node] = ast.parse(inspect.getsource(of)).body
    assert isinstance(node, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(node.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _setting_type(field: Any) -> str:
    if get_origin(field.annotation) is not None:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    name = {int: "integer", float: "number", bool: "boolean", str: "text"}[field.annotation]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for limit in field.metadata:
        for attribute, sign in signs.items():
            bound = getattr(limit, attribute, None)
            if bound is not None:
                name += f" {sign} {bound:g}"
    return name


def metrics(of: Any = None) -> str:
    """Return every metric of a worker, or of another process."""
    listed = []
    for metric in vars(of or Metrics()).values():
        if not hasattr(metric, "describe"):
            continue
        labels = getattr(metric, "_labelnames", ())
        [family] = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        listed.append((f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation))
    return table(("metric", "type", "labels", "meaning"), *listed)


def example() -> str:
    """Return the functions `handle` and `consume` of examples/consume.py."""
    text = (ROOT / "examples" / "consume.py").read_text()
    parts = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    code = [ast.get_source_segment(text, parts[name]) or "" for name in ("handle", "consume")]
    return "```python\n" + "\n\n\n".join(code) + "\n```"


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "states": states.table,
    "events": events,
    "events-full": events_full,
    "meta": meta,
    "rows": rows,
    "rejected": rejected_record,
    "no-op": no_op_record,
    "signals": signals,
    "signal-common": signal_common,
    "rejections": rejections,
    "no-ops": no_ops,
    "topics": topics,
    "settings": settings,
    "metrics": metrics,
    "console-settings": lambda: settings(ConsoleSettings),
    "example": example,
    **{f"commands-{group}": lambda group=group: commands.sections(group) for group in ("operate", *commands.GROUPS)},
    "exit-codes": commands.exits,
    "permissions": lambda: permissions.sections(table),
    "faults": lambda: table(*results.faults()),
    "fault-sums": lambda: table(*results.sums()),
    "bugs": lambda: table(*results.bugs()),
    "bridge-faults": lambda: table(*results.bridges()),
    "bridge-bugs": lambda: table(*results.bridge_bugs()),
    **{name: lambda make=make: table(*make()) for name, make in {**capacity.TABLES, **peers.TABLES}.items()},
    **capacity.TEXTS,
    **peers.TEXTS,
    **http_docs.sections(settings, metrics),
    "bridge-metrics": lambda: metrics(BridgeMetrics()),
}


def pages() -> list[Path]:
    """Return every page that may have generated sections. A source distribution lacks some of them."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "helm" / "conference-pipeline" / "README.md"]
    return [*(page for page in top if page.exists()), *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str, page: str = "the text") -> str:
    """Return `text` with its sections up to date. `page` is the path of its file, from the root of the repository.

    Raises DocsError when a section's name is not in `SECTIONS`.
    """

    def relative(link: re.Match[str]) -> str:
        return os.path.relpath(link[1], Path(page).parent)

    def fill(match: re.Match[str]) -> str:
        name = match[2]
        if name not in SECTIONS:
            raise DocsError(f"{page}: no section is called {name!r}; there are {', '.join(SECTIONS)}")
        return f"{match[1]}\n{LINK.sub(relative, SECTIONS[name]())}\n\n{match[4]}"

    return MARK.sub(fill, text)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python tools/docs.py [--check]", file=sys.stderr)
        return 2
    stale = []
    try:
        for page in pages():
            before = page.read_text()
            after = filled(before, str(page.relative_to(ROOT)))
            if after != before:
                stale.append(str(page.relative_to(ROOT)))
                if not check:
                    page.write_text(after)
        if http_docs.OPENAPI.parent.exists() and (text := http_docs.document_text()) != _text(http_docs.OPENAPI):
            stale.append(str(http_docs.OPENAPI.relative_to(ROOT)))
            if not check:
                http_docs.OPENAPI.write_text(text)
    except DocsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in stale:
        print(f"{name}: differs from the code, run `make docs`" if check else f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
