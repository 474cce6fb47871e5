"""Reads the schemas in avro/ and sorts them into kinds, for tools/generate.py."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PACKED: Final = frozenset({"recent"})
"""Fields, arrays of strings, that are kept as the bytes of their array (pipeline/model/signal_ids.py)."""


@dataclass(frozen=True)
class Record:
    """One Avro record and what the generator wants to know of it."""

    schema: dict[str, Any]
    """The schema, self-contained: other files' records are inlined where they are first named."""

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
        """The event's name, "" if it is no event."""
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
        """The fields of the class, in the order of the schema.

        Python wants defaults last. So a signal's fields without a default come first (JSON needs defaults),
        and elsewhere a default before a field without one is left out (JSON keeps the order of the schema).
        """
        fields = [f for f in self.fields if "const" not in f]
        if self.kind == "signal":
            return sorted(fields, key=lambda f: "default" in f)
        required = max((i for i, f in enumerate(fields) if "default" not in f), default=0)
        return [{k: v for k, v in f.items() if k != "default" or i > required} for i, f in enumerate(fields)]

    @property
    def nested(self) -> list[Record]:
        """Records that this file declares inside its fields."""
        found = []
        for field in self.fields:
            items = field["type"].get("items") if isinstance(field["type"], dict) else None
            if isinstance(items, dict) and items["type"] == "record":
                found.append(Record(items))
        return found

    @property
    def text(self) -> str:
        """The schema as it is registered."""
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    @property
    def function(self) -> str:
        """Name of the record in function names: conference.signal.MemberJoined → signal_member_joined."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.full.partition(".")[2].replace(".", "_")).lower()

    @property
    def alias(self) -> str:
        """Name of the class where events and signals meet: SignalMemberJoined."""
        return f"Signal{self.name}" if self.kind == "signal" else self.name


def load(folder: Path) -> list[Record]:
    """All records below `folder` by name, those that are nested in a file before the record of the file."""
    schemas = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.avsc"))}
    records = []
    for schema in schemas.values():
        fields = [{**f, "type": _inlined(f["type"], schemas)} for f in schema["fields"]]
        record = Record({**schema, "fields": fields})
        records += [*record.nested, record]
    return records


def _inlined(schema: Any, schemas: dict[str, Any]) -> Any:
    return schemas[schema] if isinstance(schema, str) and schema in schemas else schema
