"""Whether the registry has this version's schemas, and what others have registered beside them."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from pipeline.admin import schema_fit
from pipeline.admin.doctor.context import CheckContext, CheckResult, State
from pipeline.kafka.schema_registry import COMPATIBILITY, Registry, SchemaStatus
from pipeline.model.schema_resolution import is_current_schema
from pipeline.model.wire import SCHEMAS
from pipeline.topics import ALL_TOPICS

_SETUP: Final = "run `conference-pipeline setup` of this version"
_WHO: Final = "find out who registered it: another version of the program, or a producer with a schema of its own"
_PROBLEMS: Final[dict[SchemaStatus, tuple[State, str, str]]] = {
    "missing": ("wrong", "not registered", _SETUP),
    "outdated": ("wrong", "registered without this version's schema, which is compatible", _SETUP),
    "incompatible": (
        "wrong",
        "registered with a version that is incompatible with this version's schema",
        "use another PIPELINE_TOPIC_PREFIX, or a program version that fits",
    ),
    "other level": (
        "warning",
        f"registered without compatibility level {COMPATIBILITY}: others may register incompatible versions",
        _SETUP,
    ),
}


async def check_schemas(context: CheckContext) -> list[CheckResult]:
    """Compare each subject with the schema of this program version, and report what is foreign."""
    prefix = context.settings.topic_prefix
    subjects = {subject: record for topic in ALL_TOPICS for subject, record in topic.subjects(prefix).items()}
    async with Registry(context.settings) as registry:
        statuses = await asyncio.gather(*(registry.subject_status(*pair) for pair in subjects.items()))
        by_status: dict[SchemaStatus, list[str]] = {}
        for subject, status in zip(subjects, statuses, strict=True):
            by_status.setdefault(status, []).append(subject)
        foreign = await _foreign_subjects(registry, prefix, set(subjects))
        complete = [*by_status.get("current", []), *by_status.get("other level", [])]
        foreign += await _foreign_versions(registry, {subject: subjects[subject] for subject in complete})
    results = [
        CheckResult(state, f"{_shortened(by_status[status])} {problem}", remedy)
        for status, (state, problem, remedy) in _PROBLEMS.items()
        if status in by_status
    ]
    ok = f"{len(subjects)} subjects have the schemas of this version, {COMPATIBILITY}"
    return [*(results or [CheckResult("ok", ok)]), *foreign]


async def _foreign_subjects(registry: Registry, prefix: str, own: set[str]) -> list[CheckResult]:
    """Report subjects of the pipeline's topics that this version does not have."""
    begins = tuple(f"{topic.full_name(prefix)}-" for topic in ALL_TOPICS)
    others = sorted(name for name in await registry.subjects() if name.startswith(begins) and name not in own)
    if not others:
        return []
    found = f"{_shortened(others)} not of this version: a producer may register schemas of its own"
    remedy = "set its auto.register.schemas to false, unless another version of this program has registered them"
    return [CheckResult("warning", found, remedy)]


async def _foreign_versions(registry: Registry, subjects: dict[str, str]) -> list[CheckResult]:
    """Report versions of subjects that have another schema than this version."""
    versions = await asyncio.gather(*(registry.versions(subject) for subject in subjects))
    results = []
    for (subject, record), texts in zip(subjects.items(), versions, strict=True):
        for number, text in texts.items():
            if _is_current(text, record):
                continue
            reason = schema_fit.misfit(SCHEMAS[record], text)
            found = f"version {number} of {subject} has another schema than this version of the program"
            results.append(CheckResult("warning", f"{found}: {reason}" if reason else found, _WHO))
    return results


def _is_current(text: str, record: str) -> bool:
    try:
        return is_current_schema(msgspec.json.decode(text), record)
    except (msgspec.DecodeError, RecursionError):
        return False


def _shortened(names: list[str]) -> str:
    """Return at most three names and the verb of a sentence."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"
