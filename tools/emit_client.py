"""Emit the generated files of clients/python for tools/generate.py: events, signals, records and their schemas.

The same stand-alone schemas are written to docs/reference/schemas, and from there packed into the pipeline's wheel.

They differ from the pipeline's own classes where a service wants something else than a worker: a time is a `datetime`,
a signal makes its own ids and time, and an array is a tuple of strings.
"""

from __future__ import annotations

import json
from typing import Any

from python_text import docstring, roster, union
from schemas import Record

FOLDER = "clients/python/conference_events"
READ = ("Gone", "Member", "NoOp", "Rejected", "Room")
"""Records that a service may read; positions are the workers' own."""
UNIT = ", in microseconds since 1970-01-01T00:00:00Z"
SCALARS = {"string": "str", "long": "int", "int": "int", "boolean": "bool", "bytes": "bytes"}
NEW = {"signal_id": "new_id", "operation_id": "new_id", "occurred_at": "now"}
"""Fields of a signal that make their own value, unless the schema has a default."""
IMPORTS = "from datetime import datetime\nfrom typing import TYPE_CHECKING, ClassVar, TypeAlias\n\nimport msgspec\n"
EVENT_BASE = '''

class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event"):
    """One event; all its fields are keyword arguments. In JSON its name is the first field, `event`."""

    EVENT: ClassVar[str]
    """Name of the event: `conference.member.joined`, for example."""
    RECORD: ClassVar[str]
    """Full name of its Avro record: `conference.MemberJoined`, for example."""

    if TYPE_CHECKING:  # fields of every event

        @property
        def room_id(self) -> str: ...
        @property
        def meta(self) -> Meta: ...
'''
SIGNAL_BASE = '''import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import msgspec
from msgspec import field

Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
"""1 to 255 code points, compared as they are."""
Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A signed number of 32 bits."""
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with an offset."""


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class Signal(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """One signal. All its fields are keyword arguments; ids and times that are not given are made.

    Construction checks nothing. `signal_json`, and so `SignalProducer.send`, check the fields.
    """

    TYPE: ClassVar[str]
    """The signal's type: `member.joined`, for example."""
    RECORD: ClassVar[str]
    """Full name of its Avro record: `conference.signal.MemberJoined`, for example."""
    TOPIC: ClassVar[str]
    """`api` or `media`: the topic it is sent to."""

    if TYPE_CHECKING:  # fields of every signal

        @property
        def signal_id(self) -> str: ...
        @property
        def room_id(self) -> str: ...
        @property
        def occurred_at(self) -> datetime: ...
'''


def files(records: list[Record], header: str) -> dict[str, str]:
    """Return the generated files: path in the repository → text."""
    folders = (f"{FOLDER}/schemas", "docs/reference/schemas")
    schemas = {f"{folder}/{r.full}.avsc": schema_text(r) for folder in folders for r in records if not _is_part(r)}
    return {
        f"{FOLDER}/events.py": _events(records, header),
        f"{FOLDER}/signals.py": _signals(records, header),
        f"{FOLDER}/records.py": _records(records, header),
        **schemas,
    }


def schema_text(record: Record) -> str:
    """Return the stand-alone schema of a record as a file: the records that it names are inside."""
    return json.dumps(record.schema, ensure_ascii=False, indent=2) + "\n"


def _is_part(record: Record) -> bool:
    return record.full in ("conference.Meta", "conference.TopicPosition")


def _events(records: list[Record], header: str) -> str:
    meta = next(r for r in records if r.kind == "meta")
    events = [r for r in records if r.kind == "event"]
    text = header.format(title="The events, and `Meta`, which every event carries.") + IMPORTS
    text += _struct(meta, "msgspec.Struct, frozen=True, kw_only=True, gc=False", {"RECORD": meta.full}) + EVENT_BASE
    for r in events:
        constants = {"EVENT": r.const, "RECORD": r.full}
        text += _struct(r, f'Event, frozen=True, kw_only=True, gc=False, tag="{r.const}"', constants)
    text += "\n" + union("AnyEvent", events, "Any event; msgspec decodes this union by `event`.")
    return text + roster("EVENTS", "Event", events, "All events.")


def _signals(records: list[Record], header: str) -> str:
    signals = [r for r in records if r.kind == "signal"]
    text = header.format(title="The signals, with the rules of their fields.") + SIGNAL_BASE
    for r in signals:
        constants = {"TYPE": r.signal, "RECORD": r.full, "TOPIC": r.topic}
        text += _struct(r, f'Signal, frozen=True, kw_only=True, gc=False, tag="{r.signal}"', constants)
    text += "\n" + union("AnySignal", signals, "Any signal.")
    return text + roster("SIGNALS", "Signal", signals, "All signals.")


def _records(records: list[Record], header: str) -> str:
    text = header.format(title="Rows of `conference.rooms`, and what became of a signal that caused no event.")
    text += "from datetime import datetime\nfrom typing import ClassVar\n\nimport msgspec\n"
    for r in records:
        if r.kind == "record" and r.name in READ:
            text += _struct(r, "msgspec.Struct, frozen=True, gc=False", {"RECORD": r.full})
    return text


def _struct(record: Record, bases: str, constants: dict[str, str]) -> str:
    lines = [f"\n\nclass {record.name}({bases}):", *docstring(record.doc), ""]
    lines += [f'    {name}: ClassVar[str] = "{value}"' for name, value in constants.items()] + [""]
    signal = record.kind == "signal"
    # Only in the rows of tables are arguments positional, and defaults must come last.
    fields = record.arguments if record.kind == "record" else [f for f in record.fields if "const" not in f]
    for one in fields:
        lines.append(f"    {one['name']}: {_annotation(one['type'], one, signal)}{_default(one, signal)}")
        lines += docstring(one["doc"].replace(UNIT, ""))
    return "\n".join(lines) + "\n"


def _default(one: dict[str, Any], signal: bool) -> str:
    if "default" in one:
        return " = ()" if one["default"] == [] else f" = {one['default']!r}"
    maker = NEW.get(one["name"]) if signal else None
    return f" = field(default_factory={maker})" if maker else ""


def _annotation(schema: Any, rules: dict[str, Any], signal: bool) -> str:
    if isinstance(schema, list):
        return f"{_annotation(schema[1], rules, signal)} | None"
    if isinstance(schema, dict) and schema["type"] == "array":
        items = f"tuple[{_annotation(schema['items'], rules.get('items', {}), signal)}, ...]"
        return _limited(items, rules, {"minItems": "min_length", "maxItems": "max_length"}) if signal else items
    if isinstance(schema, dict) and schema["type"] == "record":
        return str(schema["name"])
    if isinstance(schema, dict):
        return ("Time" if signal else "datetime") if "logicalType" in schema else SCALARS[schema["type"]]
    if not signal:
        return SCALARS[schema]
    if schema == "int":
        return "Int"
    if (rules.get("minLength"), rules.get("maxLength")) == (1, 255):
        return "Id"
    return _limited(
        SCALARS[schema], rules, {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
    )


def _limited(plain: str, rules: dict[str, Any], names: dict[str, str]) -> str:
    limits = [f"{python}={rules[name]!r}" for name, python in names.items() if name in rules]
    return f"Annotated[{plain}, msgspec.Meta({', '.join(limits)})]" if limits else plain
