"""Fills the sections of README.md and docs/ that the code knows better (`make docs`).

A section stands between `<!-- generated: name -->` and `<!-- end -->`; its text comes from the function of that
name in `SECTIONS`.

    python tools/docs.py            writes what differs
    python tools/docs.py --check    names what differs and exits with 1
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import capacity
import peers
import permissions
import results
import states
from pydantic import SecretStr

from pipeline.core.decision import NoOp, Rejection
from pipeline.metrics import Metrics
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import TOPICS

ROOT: Final = Path(__file__).resolve().parent.parent
MARK: Final = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
PREFIX: Final = "conference"


class DocsError(Exception):
    """A page can't be filled; the text says where, and what to do."""


def table(*rows: tuple[str, ...]) -> str:
    """A markdown table; the first row is its head."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    cells.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


# --- schemas -------------------------------------------------------------------------------------------------


def schema(record: str) -> dict[str, Any]:
    """The registered schema of a record, by full name."""
    found: dict[str, Any] = json.loads(SCHEMAS[record])
    return found


def type_name(avro: Any) -> str:
    """An Avro type as people write it."""
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
    """A record's fields, one a row."""
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
        parts.append(f"### {title}\n\n{schema(record)['doc']} Record `{record}`.")
        rows = fields(record, without=without)
        parts.append(rows if rows.count("\n") > 1 else "No fields besides those that all have.")
    return "\n\n".join(parts)


def events() -> str:
    """The catalogue: each event, when, with which fields."""
    rows = [("event", "when", "fields, besides `event` and `meta`")]
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
    """Each event with its fields and what they mean."""
    return _pages(((f"`{event.EVENT}`", event.RECORD) for event in EVENTS), ("meta",))


def meta() -> str:
    """The fields of `meta`."""
    return fields("conference.Meta")


def rows() -> str:
    """The records of the table topic."""
    names = ("Room", "Member", "Position", "TopicPosition")
    return _pages(((f"`conference.{name}`", f"conference.{name}") for name in names), ())


def rejected_record() -> str:
    """The fields of a rejected signal."""
    return fields("conference.Rejected")


def signals() -> str:
    """Each signal with its fields and what they mean."""
    common = ("signal_id", "room_id", "occurred_at")
    named = ((f"`{signal.TYPE}` ({signal.TOPIC})", signal.RECORD) for signal in SIGNALS)
    return _pages(named, common)


def signal_common() -> str:
    """The fields that every signal has."""
    own = tuple(f["name"] for f in schema("conference.signal.ConferencePlay")["fields"][3:])
    return fields("conference.signal.ConferencePlay", without=own)


# --- what the rest of the code knows -------------------------------------------------------------------------

MEANINGS: Final = {
    "room_unknown": "The room is not known: no create, and no `member.joined`, has come since it was last forgotten.",
    "room_exists": "A create of a room that has an app already.",
    "playback_active": "A play while another playback is playing or paused: stop it first.",
    "playback_inactive": "A pause or a stop while nothing plays.",
    "volume_out_of_range": "A volume that is not -50 to 7.",
    "not_a_member": "The session is not in the room.",
    "repeated": "An API signal whose signal_id is among the last 16 of its room: its producer sent it twice.",
    "join": "A request to join; the engine's `member.joined` is the fact.",
    "leave": "A request to leave; until the member is gone, its `left` without a reason is `removed`.",
    "already_member": "`member.joined` of a session that is in the room.",
    "already_muted": "A mute of a member that is muted, such as the engine's echo of the API's mute.",
    "already_unmuted": "An unmute of a member that is not muted.",
    "progress": "A playback is under way; with the watchdog's mode `progress` it gets its seconds anew.",
    "after_stop": "The engine reports the end of a file that a stop has ended.",
}


def _reasons(closed: Any) -> str:
    try:
        listed = [(f"`{reason}`", MEANINGS[reason]) for reason in get_args(closed)]
    except KeyError as error:
        raise DocsError(
            f"the reason {error} has no meaning: give it one in tools/docs.py, MEANINGS"
        ) from None
    return table(("reason", "meaning"), *listed)


def rejections() -> str:
    """The closed list of reasons of rejected signals."""
    return _reasons(Rejection)


def no_ops() -> str:
    """The closed list of reasons of signals without an event."""
    return _reasons(NoOp)


def topics() -> str:
    """The six topics and their configuration."""
    listed = [
        (
            f"`{topic.full_name(PREFIX)}`",
            "out" if topic.output else "in",
            str(len(topic.records) or "none: bytes as they came"),
            ", ".join(f"`{key}={value}`" for key, value in topic.config.items()),
        )
        for topic in TOPICS
    ]
    return table(("topic", "direction", "records", "configuration that `setup` insists on"), *listed)


def settings() -> str:
    """Every environment variable of `Settings`."""
    listed = []
    for field in Settings.model_fields.values():
        alias: Any = field.validation_alias
        default = field.default
        secret = isinstance(default, SecretStr)
        shown = "" if secret or default == "" else f"`{str(default).lower() if default is True else default}`"
        kind = "secret" if secret else _setting_type(field)
        listed.append((f"`{alias.choices[0]}`", kind, shown, field.description or ""))
    return table(("variable", "type", "default", "meaning"), *listed)


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


def metrics() -> str:
    """Every metric of a worker."""
    listed = []
    for metric in vars(Metrics()).values():
        if not hasattr(metric, "describe"):
            continue
        labels = getattr(metric, "_labelnames", ())
        [family] = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        listed.append(
            (f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation)
        )
    return table(("metric", "type", "labels", "meaning"), *listed)


def example() -> str:
    """The heart of examples/consume.py: the functions `handle` and `consume`."""
    text = (ROOT / "examples" / "consume.py").read_text()
    parts = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    code = [ast.get_source_segment(text, parts[name]) or "" for name in ("handle", "consume")]
    return "```python\n" + "\n\n\n".join(code) + "\n```"


def modules() -> str:
    """Every module of the package, with the first sentence of its docstring."""
    listed = []
    for path in sorted(
        (ROOT / "pipeline").rglob("*.py"), key=lambda p: (p.parent, p.name != "__init__.py", p.name)
    ):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        listed.append((f"`{path.relative_to(ROOT)}`", first))
    return table(("file", "what it is"), *listed)


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "states": states.table,
    "events": events,
    "events-full": events_full,
    "meta": meta,
    "rows": rows,
    "rejected": rejected_record,
    "signals": signals,
    "signal-common": signal_common,
    "rejections": rejections,
    "no-ops": no_ops,
    "topics": topics,
    "settings": settings,
    "metrics": metrics,
    "example": example,
    "modules": modules,
    "permissions": lambda: permissions.sections(table),
    "faults": lambda: table(*results.faults()),
    "fault-sums": lambda: table(*results.sums()),
    "bugs": lambda: table(*results.bugs()),
    **{name: lambda make=make: table(*make()) for name, make in {**capacity.TABLES, **peers.TABLES}.items()},
    **capacity.TEXTS,
    **peers.TEXTS,
}


def pages() -> list[Path]:
    """Where sections may stand."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str, where: str = "the text") -> str:
    """`text` with all its sections as the code has them now. Raises DocsError for one without a function."""

    def fill(match: re.Match[str]) -> str:
        name = match[2]
        if name not in SECTIONS:
            raise DocsError(f"{where}: no section is called {name!r}; there are {', '.join(SECTIONS)}")
        return f"{match[1]}\n{SECTIONS[name]()}\n\n{match[4]}"

    return MARK.sub(fill, text)


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
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
    except DocsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in stale:
        print(f"{name}: differs from the code, run `make docs`" if check else f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
