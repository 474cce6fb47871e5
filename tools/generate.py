"""Write pipeline/model/events.py, signals.py, records.py and wire.py from the schemas in avro/ (`make events`).

The classes and schemas of the package for other services, clients/python, are written too (tools/emit_client.py).

The schema gives a record's kind: a first field with a "const" makes it an event, the attributes "signal" and "topic"
make it a signal, and all other records except conference.Meta belong to the tables. So these modules need no edit for
a new event: one more file in avro/ is enough. Attributes of JSON Schema ("minLength", "pattern", "minItems", ...)
become checks: for JSON in msgspec's types, for Avro in the generated decoders.

    python tools/generate.py            write the files that differ
    python tools/generate.py --check    list the files that differ and exit with 1
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import emit_client
import emit_wire
from python_text import docstring, roster, union
from schemas import PACKED, Record, load

ROOT = Path(__file__).resolve().parent.parent
HEADER = '''"""{title}

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

'''
IMPORTS = "from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias\n\nimport msgspec\n"
SCALARS = {"string": "str", "long": "int", "int": "int", "boolean": "bool", "bytes": "bytes"}
RECORDS_BASE = '''
if TYPE_CHECKING:
    Recent: TypeAlias = bytes
else:

    class Recent(bytes):
        """An array of strings as its Avro bytes (pipeline/model/signal_ids.py).

        A separate type at run time, so that msgspec calls `dec_hook` to convert a list. Elsewhere plain bytes are used.
        """

        __slots__ = ()
'''
EVENT_BASE = '''

class Event(msgspec.Struct, frozen=True, gc=False, tag_field="event"):
    """One published event. Its name is the msgspec tag `event`: the first field in JSON, not an argument here."""

    EVENT: ClassVar[str]
    """Name of the event: `conference.member.joined`, for example."""
    RECORD: ClassVar[str]
    """Full name of its Avro record: `conference.MemberJoined`, for example."""

    if TYPE_CHECKING:  # fields of every event; declared as fields here, they would come first

        @property
        def room_id(self) -> str: ...
        @property
        def meta(self) -> Meta: ...
'''
SIGNAL_BASE = '''
Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
"""1 to 255 code points, compared without normalization (contract §4)."""
Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A signed number of 32 bits."""


if TYPE_CHECKING:
    Micros: TypeAlias = int
else:

    class Micros(int):
        """Microseconds since 1970-01-01T00:00:00Z.

        A separate type at run time, so that msgspec's JSON decoder calls `dec_hook` to parse RFC 3339. Elsewhere
        plain ints are used.
        """

        __slots__ = ()


class Signal(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """One signal. Its type is the msgspec tag `type`: a field in JSON; in Avro the record's name gives it."""

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
        def occurred_at(self) -> int: ...
'''


def python_type(field: dict[str, Any], signal: bool) -> str:
    """Return the annotation of a field; `signal` adds the checks that msgspec does for JSON."""
    if field["name"] in PACKED:
        return "Recent"
    return _annotation(field["type"], field if signal else {}, signal)


def _annotation(schema: Any, rules: dict[str, Any], signal: bool) -> str:
    if isinstance(schema, list):
        return f"{_annotation(schema[1], rules, signal)} | None"
    if isinstance(schema, str):
        plain = SCALARS.get(schema, schema.rpartition(".")[2])
        return _constrained(plain, schema, rules) if signal else plain
    if schema["type"] == "array":
        items = f"tuple[{_annotation(schema['items'], rules.get('items', {}), signal)}, ...]"
        names = (("minItems", "min_length"), ("maxItems", "max_length"))
        limits = [f"{py}={rules[k]}" for k, py in names if k in rules]
        return f"Annotated[{items}, msgspec.Meta({', '.join(limits)})]" if limits else items
    if schema["type"] == "record":
        return str(schema["name"])
    return "Micros" if signal and "logicalType" in schema else SCALARS[schema["type"]]


def _constrained(plain: str, schema: str, rules: dict[str, Any]) -> str:
    if schema == "int":
        return "Int"
    if (rules.get("minLength"), rules.get("maxLength")) == (1, 255):
        return "Id"
    names = (("minLength", "min_length"), ("maxLength", "max_length"), ("pattern", "pattern"))
    limits = [f"{py}={rules[k]!r}" for k, py in names if k in rules]
    return f"Annotated[{plain}, msgspec.Meta({', '.join(limits)})]" if limits else plain


def default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    if field["name"] in PACKED:
        return ' = b"\\0"'
    return " = ()" if value == [] else f" = {value!r}"


def struct(record: Record, base: str, options: str, constants: dict[str, str]) -> str:
    """Return the class of a record, each field with its doc."""
    lines = [f"\n\nclass {record.name}({base}, frozen=True, gc=False{options}):", *docstring(record.doc), ""]
    for name, value in constants.items():
        # A literal type lets mypy narrow a signal by TYPE, a check ten times as fast as isinstance.
        kind = f'Literal["{value}"]' if name == "TYPE" else "str"
        lines.append(f'    {name}: ClassVar[{kind}] = "{value}"')
    lines += [""] if constants else []
    for field in record.arguments:
        lines.append(f"    {field['name']}: {python_type(field, record.kind == 'signal')}{default(field)}")
        lines += docstring(field["doc"])
    return "\n".join(lines) + "\n"


def events_module(records: list[Record]) -> str:
    meta = next(r for r in records if r.kind == "meta")
    events = [r for r in records if r.kind == "event"]
    text = HEADER.format(title="The published events, and `Meta`, which every event carries.")
    text += IMPORTS.replace(" Annotated,", "") + struct(meta, "msgspec.Struct", "", {"RECORD": meta.full})
    text += EVENT_BASE
    for r in events:
        text += struct(r, "Event", f', tag="{r.const}"', {"EVENT": r.const, "RECORD": r.full})
    text += "\n" + union("AnyEvent", events, "Any event; msgspec decodes this union by `event`.")
    return text + roster("EVENTS", "Event", events, "All events.")


def signals_module(records: list[Record]) -> str:
    signals = [r for r in records if r.kind == "signal"]
    text = HEADER.format(title="The signals, with the rules of their fields (contract §4).")
    text += IMPORTS.replace("ClassVar, ", "ClassVar, Literal, ") + SIGNAL_BASE
    for r in signals:
        constants = {"TYPE": r.signal, "RECORD": r.full, "TOPIC": r.topic}
        text += struct(r, "Signal", f', tag="{r.signal}"', constants)
    text += "\n"
    for name, topic in (("ApiSignal", "api"), ("MediaSignal", "media")):
        text += union(name, [r for r in signals if r.topic == topic], f"Any signal of the {topic} topic.")
    text += '\nAnySignal: TypeAlias = ApiSignal | MediaSignal\n"""Any signal."""\n'
    return text + roster("SIGNALS", "Signal", signals, "All signals.")


def records_module(records: list[Record]) -> str:
    text = HEADER.format(title="The records of the tables (contract §2), and `Rejected`.")
    text += "from typing import TYPE_CHECKING, ClassVar, TypeAlias\n\nimport msgspec\n" + RECORDS_BASE
    for r in records:
        if r.kind == "record":
            text += struct(r, "msgspec.Struct", "", {"RECORD": r.full})
    return text


def modules() -> dict[str, str]:
    """Return the generated files: path in the repository → text."""
    records = load(ROOT / "avro")
    return {
        "pipeline/model/events.py": events_module(records),
        "pipeline/model/signals.py": signals_module(records),
        "pipeline/model/records.py": records_module(records),
        "pipeline/model/wire.py": emit_wire.module(records, HEADER),
        **emit_client.files(records, HEADER),
    }


def drift() -> dict[str, str]:
    """Return the generated files that differ from those in the repository."""
    texts = modules()
    return {
        path: text
        for path, text in texts.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    }


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__, file=sys.stderr)
        return 2
    changed = drift()
    for path, text in changed.items():
        if check:
            print(f"{path} does not match avro/: run `make events` and commit the result")
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
