"""Reads the schemas in avro/ and sorts them into kinds, for tools/generate.py."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PACKED: Final = frozenset({"recent"})
"""Array fields that Python keeps as the bytes of their array (pipeline/model/signal_ids.py)."""


@dataclass(frozen=True)
class Record:
    """One Avro record, with what the generator needs."""

    schema: dict[str, Any]
    """The self-contained schema: records of other files are inlined where they are first named."""

    @property
    def name(self) -> str:
        return str(self.schema["name"])

    @property
    def full(self) -> str:
        return f"{self.schema['namespace']}.{self.name}"

    @property
    def doc(self) -> str:
        return str(self.schema["doc"])

    @property
    def fields(self) -> list[dict[str, Any]]:
        return list(self.schema["fields"])

    @property
    def const(self) -> str:
        """The event's name, "" for other records."""
        return str(self.fields[0].get("const", ""))

    @property
    def signal(self) -> str:
        return str(self.schema.get("signal", ""))

    @property
    def topic(self) -> str:
        return str(self.schema.get("topic", ""))

    @property
    def kind(self) -> str:
        """`meta`, `event`, `signal` or `record`."""
        if self.full == "conference.Meta":
            return "meta"
        return "event" if self.const else "signal" if self.signal else "record"

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """The fields of the class, in the order of the schema where possible.

        Python requires fields with defaults last. In a signal they are moved last, because JSON needs all defaults. In
        other records the order is kept, because it is the order in JSON, and a default before a field without one is
        dropped.
        """
        fields = [f for f in self.fields if "const" not in f]
        if self.kind == "signal":
            return sorted(fields, key=lambda f: "default" in f)
        required = max((i for i, f in enumerate(fields) if "default" not in f), default=0)
        return [{k: v for k, v in f.items() if k != "default" or i > required} for i, f in enumerate(fields)]

    @property
    def nested(self) -> list[Record]:
        """Records declared inside this record's fields."""
        found = []
        for field in self.fields:
            items = field["type"].get("items") if isinstance(field["type"], dict) else None
            if isinstance(items, dict) and items["type"] == "record":
                found.append(Record(items))
        return found

    @property
    def text(self) -> str:
        """The schema as registered."""
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    @property
    def function(self) -> str:
        """The record in function names: conference.signal.MemberJoined → signal_member_joined."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.full.partition(".")[2].replace(".", "_")).lower()

    @property
    def alias(self) -> str:
        """Name of the class in wire.py, which imports events and signals: SignalMemberJoined."""
        return f"Signal{self.name}" if self.kind == "signal" else self.name


def load(folder: Path) -> list[Record]:
    """Return all records in `folder`, sorted by file; records nested in a file precede the file's own record."""
    schemas = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.avsc"))}
    records = []
    for schema in schemas.values():
        fields = [{**f, "type": _inlined(f["type"], schemas)} for f in schema["fields"]]
        record = Record({**schema, "fields": fields})
        records += [*record.nested, record]
    return records


def _inlined(schema: Any, schemas: dict[str, Any]) -> Any:
    return schemas[schema] if isinstance(schema, str) and schema in schemas else schema
