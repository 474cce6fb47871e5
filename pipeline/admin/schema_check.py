"""What is registered, and whether schemas fit it. Writes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from pipeline.admin.schema_fit import explain
from pipeline.errors import ConfigError
from pipeline.kafka.schema_registry import Registry
from pipeline.model.error_text import one_line
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import API, EVENTS, MEDIA, TOPICS


class Registered(NamedTuple):
    """A subject of the pipeline's topics. `status` is that of `Registry.subject_status`, or `foreign`."""

    subject: str
    record: str
    versions: list[int]
    status: str


class Fit(NamedTuple):
    """Whether a schema fits all versions of its subject; `reasons` says who would fail otherwise."""

    subject: str
    record: str
    versions: list[int]
    state: Literal["registered", "fits", "new", "misfit"]
    reasons: list[str]


async def registered(settings: Settings) -> list[Registered]:
    """Return the subjects of the pipeline's topics. Raises RegistryDownError, ConfigError."""
    prefix = settings.topic_prefix
    own = {subject: record for topic in TOPICS for subject, record in topic.subjects(prefix).items()}
    begins = {f"{topic.full_name(prefix)}-": topic for topic in TOPICS}
    async with Registry(settings) as registry:
        known = [name for name in await registry.subjects() if name.startswith(tuple(begins))]
        names = [*own, *sorted(set(known) - set(own))]
        versions = await asyncio.gather(*(registry.versions(name) for name in names))
        statuses = await asyncio.gather(*(registry.subject_status(name, record) for name, record in own.items()))
    records = {name: own.get(name) or name.partition("-")[2] for name in names}
    states = [*statuses, *["foreign"] * (len(names) - len(own))]
    rows = zip(names, versions, states, strict=True)
    return [Registered(name, records[name], sorted(found), state) for name, found, state in rows]


async def check(settings: Settings, schemas: dict[str, str]) -> list[Fit]:
    """Compare schemas by record with all versions of their subjects. Raises RegistryDownError, ConfigError."""
    subjects = {_subject(record, text, settings.topic_prefix): record for record, text in schemas.items()}
    subjects.pop("", None)
    if not subjects:
        raise ConfigError("no schema belongs to a topic of the pipeline: name the folder with its .avsc files")
    async with Registry(settings) as registry:
        versions = await asyncio.gather(*(registry.versions(subject) for subject in subjects))
    return [
        _fit(subject, record, schemas[record], found)
        for (subject, record), found in zip(subjects.items(), versions, strict=True)
    ]


def _fit(subject: str, record: str, text: str, versions: dict[int, str]) -> Fit:
    reasons = [reason for number, other in versions.items() for reason in explain(text, other, number)]
    state: Literal["registered", "fits", "new", "misfit"] = "fits"
    if reasons:
        state = "misfit"
    elif not versions:
        state = "new"
    elif any(_same(text, other) for other in versions.values()):
        state = "registered"
    return Fit(subject, record, sorted(versions), state, reasons)


def _same(ours: str, theirs: str) -> bool:
    """Return whether two schemas differ at most in docs and attributes beside Avro's own."""
    from fastavro.schema import to_parsing_canonical_form as canonical

    return bool(canonical(msgspec.json.decode(ours)) == canonical(msgspec.json.decode(theirs)))


def _subject(record: str, text: str, prefix: str) -> str:
    """Return the subject of a record, "" for a part of other records. Also of records that are not registered yet."""
    for topic in TOPICS:
        if record in topic.records:
            return f"{topic.full_name(prefix)}-{record}"
    schema: dict[str, Any] = msgspec.json.decode(text)
    fields = schema.get("fields") or [{}]
    home = {"api": API, "media": MEDIA}.get(str(schema.get("topic", "")))
    if home is None and isinstance(fields[0], dict) and "const" in fields[0]:
        home = EVENTS
    return f"{home.full_name(prefix)}-{record}" if home else ""


def read_folder(folder: Path) -> dict[str, str]:
    """Return the schemas of the .avsc files in a folder by full name, stand-alone. Raises ConfigError."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.avsc")):
        try:
            schema = msgspec.json.decode(path.read_bytes())
            name = f"{schema['namespace']}.{schema['name']}"
        except (OSError, msgspec.DecodeError, KeyError, TypeError, RecursionError) as error:
            detail = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"{path} is no Avro record: {one_line(detail)}") from None
        if name in found:
            raise ConfigError(f"{path}: record {name} is in another file, too: delete one")
        found[name] = schema
    if not found:
        raise ConfigError(f"{folder} has no .avsc files: name the folder with the schemas, such as avro")
    return {name: msgspec.json.encode(_inlined(schema, found, {name})).decode() for name, schema in found.items()}


def _inlined(schema: Any, known: dict[str, Any], seen: set[str]) -> Any:
    """Replace the first mention of each other record by its schema, as Avro requires."""
    if isinstance(schema, str) and schema in known and schema not in seen:
        seen.add(schema)
        return _inlined(known[schema], known, seen)
    if isinstance(schema, list):
        return [_inlined(each, known, seen) for each in schema]
    if isinstance(schema, dict):
        keys = ("type", "items", "values", "fields")
        return {key: _inlined(value, known, seen) if key in keys else value for key, value in schema.items()}
    return schema


def own_schemas() -> dict[str, str]:
    """Return the schemas of this program by full name."""
    return dict(SCHEMAS)
