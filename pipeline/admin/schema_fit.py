"""Whether a schema of this program fits the versions that a subject has: each side must read what the other writes.

It does not depend on the subject's compatibility level, which somebody may have changed.
"""

from __future__ import annotations

from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import parse

from pipeline.kafka.schema_registry import COMPATIBILITY, Registry
from pipeline.model.error_text import one_line
from pipeline.model.wire import SCHEMAS


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
        result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            return one_line(f"{fault}: {_shown(result)}", 200)
    return ""


def _shown(result: Any) -> str:
    kinds = ", ".join(kind.value.replace("_", " ") for kind in result.incompatibilities)
    return f"{kinds}: {', '.join(sorted(result.messages))}"
