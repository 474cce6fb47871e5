"""Are topics, schemas and permissions as `setup` and `worker` insist on?"""

from __future__ import annotations

import asyncio
from typing import Final

from pipeline.admin.doctor.site import CheckContext, CheckResult, State
from pipeline.admin.setup import check_topics
from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from pipeline.kafka.admin import authorizes, may_see_transactions_of
from pipeline.kafka.authorization import denied, look, told
from pipeline.kafka.schema_registry import COMPATIBILITY, Registry, SchemaStatus
from pipeline.topics import TOPICS

SHOWN: Final = 3
"""So many names of many are said."""


async def topics(site: CheckContext) -> list[CheckResult]:
    """What `setup` and `worker` look at, in their words; and whether each partition has a leader."""
    settings = site.settings
    warnings: list[str] = []
    async with site.admin() as admin:
        wrong = await check_topics(admin, settings, warnings.append)
        shapes = (await look(admin, [topic.full_name(settings.topic_prefix) for topic in TOPICS])).topics
    said = [_split("wrong", line) for line in wrong]
    for name, shape in shapes.items():
        if not (shape.missing or shape.led):
            said.append(
                CheckResult(
                    "wrong",
                    f"a partition of {name} has no leader",
                    "start the brokers that have its replicas",
                )
            )
    said += [_split("warning", line) for line in warnings]
    fine = f"{len(TOPICS)} topics below {settings.topic_prefix}, {settings.partitions} partitions each, as needed"
    return said or [CheckResult("ok", fine)]


def _split(state: State, line: str) -> CheckResult:
    found, parted, remedy = line.partition("; ")
    if not parted:
        found, _, remedy = line.rpartition(": ")
    return CheckResult(state, found, remedy)


async def schemas(site: CheckContext) -> list[CheckResult]:
    """Each subject against the schema that this version of the program has."""
    subjects = [pair for topic in TOPICS for pair in topic.subjects(site.settings.topic_prefix).items()]
    async with Registry(site.settings) as registry:
        found = await asyncio.gather(*(registry.standing(*pair) for pair in subjects))
    by_standing: dict[SchemaStatus, list[str]] = {}
    for (subject, _), standing in zip(subjects, found, strict=True):
        by_standing.setdefault(standing, []).append(subject)
    said = [
        CheckResult(
            "warning" if standing == "level" else "wrong", f"{_some(by_standing[standing])} {what}", remedy
        )
        for standing, (what, remedy) in _STANDINGS.items()
        if standing in by_standing
    ]
    fine = f"{len(subjects)} subjects have the schemas of this version, {COMPATIBILITY}"
    return said or [CheckResult("ok", fine)]


_SETUP: Final = "run `conference-pipeline setup` of this version"
_STANDINGS: Final[dict[SchemaStatus, tuple[str, str]]] = {
    "missing": ("not registered", _SETUP),
    "older": ("registered without this version's schema, which would fit", _SETUP),
    "incompatible": (
        "registered with a version that this program's schema does not fit",
        "another PIPELINE_TOPIC_PREFIX, or a version of this program that fits",
    ),
    "level": (f"without the level {COMPATIBILITY}: others may register what breaks us", _SETUP),
}


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    listed = ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{listed} {'is' if len(names) == 1 else 'are'}"


async def permissions(site: CheckContext) -> list[CheckResult]:
    """What `worker` and `setup` need, of what can be asked without doing it."""
    settings = site.settings
    async with site.admin() as admin:
        if not await authorizes(admin):
            found = (
                "the brokers have no authorizer: everybody may do everything, also write the workers' topics"
            )
            return [
                CheckResult(
                    "warning", found, "fine on a machine of your own; else see docs/reference/security.md"
                )
            ]
        needed = acls.worker(settings)
        lacking = await denied(admin, needed)
        lacking += [
            acl
            for acl in needed
            if acl.kind == "transactional-id" and not await may_see_transactions_of(admin, acl.name)
        ]
        # Create is needed for what is missing only, and shows when it is used.
        for_setup = [acl for acl in acls.setup(settings) if acl.operation != "Create"]
        also = [acl for acl in await denied(admin, for_setup) if acl not in lacking]
    said = []
    if lacking:
        said.append(_lacks(site, "wrong", "a worker", lacking))
    if also:
        said.append(_lacks(site, "warning", "`setup`", also))
    who = f"user {settings.sasl_username!r}" if settings.sasl_username else "this client"
    fine = f"{who} may do what a worker does, as far as that can be asked"
    return said or [CheckResult("ok", fine)]


def _lacks(site: CheckContext, state: State, role: str, lacking: list[Acl]) -> CheckResult:
    found, _, remedy = told(lacking, site.settings).rpartition(": ")
    found = found.removeprefix("not authorised: ")
    return CheckResult(state, f"{found}, which {role} needs", remedy)
