"""Whether a schema fits the versions that a subject has: each side must read what the other writes.

It does not depend on the subject's compatibility level, which somebody may have changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType, schema_name_equals
from avro.errors import AvroException
from avro.schema import Schema, parse

from pipeline.kafka.schema_registry import COMPATIBILITY, Registry
from pipeline.model.error_text import one_line
from pipeline.model.wire import SCHEMAS

_PROMOTIONS: Final = {
    "long": {"int"},
    "float": {"int", "long"},
    "double": {"int", "long", "float"},
    "bytes": {"string"},
    "string": {"bytes"},
}
"""Type of a reader → the other types that it reads (Avro 1.12, "Schema Resolution")."""


async def misfits(registry: Registry, subject: str, record: str) -> list[str]:
    """Return a line with the remedy for each version of `subject` that this program's schema of `record` does not fit.

    Raises RegistryDownError, ConfigError.
    """
    return [
        f"version {number} of subject {subject} is not {COMPATIBILITY} compatible with this program's schema of "
        f"{record} ({reason}): if you changed the schema, give new fields a default, and keep the old ones that have "
        "none; else use another PIPELINE_TOPIC_PREFIX, or a program version that fits"
        for number, text in (await registry.versions(subject)).items()
        if (reason := misfit(SCHEMAS[record], text))
    ]


def misfit(ours: str, theirs: str) -> str:
    """Return why one of two schemas can't read what the other one writes; "" when both can."""
    try:
        mine, other = parse(ours), parse(theirs)
    except (AvroException, ValueError, RecursionError) as error:
        return one_line(f"a schema that can't be read: {error}", 200)
    for reader, writer, fault in (
        (mine, other, "this program can't read what is written with that version"),
        (other, mine, "consumers with that version can't read what this program writes"),
    ):
        found = _reasons(reader, writer)
        if found:
            return one_line(f"{fault}: {', '.join(found)}", 200)
    return ""


def explain(ours: str, theirs: str, version: int) -> list[str]:
    """Return a line for each side that can't read what the other one writes: who fails, and at which fields."""
    try:
        mine = parse(ours)
    except (AvroException, ValueError, RecursionError) as error:
        return [one_line(f"the schema can't be read: {error}")]
    try:
        other = parse(theirs)
    except (AvroException, ValueError, RecursionError) as error:
        return [one_line(f"version {version} can't be read: {error}")]
    sides = (
        (other, mine, f"consumers with version {version} fail"),
        (mine, other, f"consumers with the new schema fail at records of version {version}"),
    )
    return [
        one_line(f"{who}: {'; '.join(found)}", 500)
        for reader, writer, who in sides
        if (found := _reasons(reader, writer))
    ]


def _reasons(reader: Schema, writer: Schema) -> list[str]:
    """Return why `reader` can't read what `writer` writes. Avro's own checker decides whether it can."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return list(dict.fromkeys(_faults(reader, writer, ""))) or sorted(result.messages)


def _faults(reader: Any, writer: Any, path: str) -> Iterator[str]:
    where = f"`{path}`" if path else "the record"
    if writer.type == "union" or reader.type == "union":
        yield from _union_faults(reader, writer, path, where)
    elif reader.type != writer.type:
        if writer.type not in _PROMOTIONS.get(reader.type, ()):
            yield f"{where} is {_named(writer)}, expected {_named(reader)}"
    elif reader.type in ("record", "enum", "fixed") and not schema_name_equals(reader, writer):
        yield f"{where} is named {writer.fullname}, expected {reader.fullname}"
    elif reader.type == "record":
        yield from _field_faults(reader, writer, path)
    elif reader.type == "enum":
        new = set(writer.symbols) - set(reader.symbols)
        if new and reader.props.get("default") not in reader.symbols:
            yield f"{where} may be {', '.join(sorted(new))}, which is unknown and has no default"
    elif reader.type == "fixed" and reader.size != writer.size:
        yield f"{where} has {writer.size} bytes, expected {reader.size}"
    elif reader.type == "array":
        yield from _faults(reader.items, writer.items, f"{path}[]")
    elif reader.type == "map":
        yield from _faults(reader.values, writer.values, f"{path}[]")


def _field_faults(reader: Any, writer: Any, path: str) -> Iterator[str]:
    written = {field.name: field for field in writer.fields}
    for field in reader.fields:
        name = f"{path}.{field.name}".lstrip(".")
        other = next((written[n] for n in (field.name, *(field.props.get("aliases") or ())) if n in written), None)
        if other is not None:
            yield from _faults(field.type, other.type, name)
        elif not field.has_default:
            yield f"`{name}` is missing and has no default"


def _union_faults(reader: Any, writer: Any, path: str, where: str) -> Iterator[str]:
    branches = reader.schemas if reader.type == "union" else [reader]
    for written in writer.schemas if writer.type == "union" else [writer]:
        if not any(not list(_faults(branch, written, path)) for branch in branches):
            yield f"{where} may be {_named(written)}, expected {' or '.join(map(_named, branches))}"


def _named(schema: Any) -> str:
    return str(getattr(schema, "fullname", None) or schema.type)
