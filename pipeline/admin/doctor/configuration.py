"""Whether topics and permissions are as `setup` and `worker` require them."""

from __future__ import annotations

from pipeline.admin import setup
from pipeline.admin.doctor.context import CheckContext, CheckResult, State, counted
from pipeline.admin.replicas import START, below_minimum
from pipeline.kafka import acls
from pipeline.kafka.admin import describe_topics
from pipeline.kafka.authorization import can_describe_transactions, denied_message, has_authorizer, missing_permissions
from pipeline.topics import TOPICS


async def check_topics(context: CheckContext) -> list[CheckResult]:
    """Run the check of `setup` and `worker`, and find partitions without a leader."""
    settings = context.settings
    warnings: list[str] = []
    async with context.admin() as admin:
        wrong = await setup.check_topics(admin, settings, warnings.append)
        names = [topic.full_name(settings.topic_prefix) for topic in TOPICS]
        described = (await describe_topics(admin, names)).topics
        unwritable = await below_minimum(admin, names)
    results = [_split("wrong", line) for line in wrong]
    for name, topic in described.items():
        if not (topic.missing or topic.has_leaders):
            found = f"a partition of {name} has no leader"
            results.append(CheckResult("wrong", found, START))
        if topic.under_replicated:
            found = f"{counted(topic.under_replicated, 'partition')} of {name} has not all replicas in sync"
            results.append(CheckResult("warning", found, START))
    results += [CheckResult("wrong", f"{found}: nothing can be written", START) for found in unwritable]
    results += [_split("warning", line) for line in warnings]
    ok = f"{len(TOPICS)} topics with prefix {settings.topic_prefix}, {settings.partitions} partitions each, as expected"
    return results or [CheckResult("ok", ok)]


def _split(state: State, line: str) -> CheckResult:
    """Separate the remedy, which follows the first semicolon, else the last colon."""
    found, separator, remedy = line.partition("; ")
    if not separator:
        found, _, remedy = line.rpartition(": ")
    return CheckResult(state, found, remedy)


async def check_permissions(context: CheckContext) -> list[CheckResult]:
    """Find missing permissions of `worker` and `setup`, as far as Kafka reports them without their use."""
    settings = context.settings
    async with context.admin() as admin:
        if not await has_authorizer(admin):
            found = "the brokers have no authorizer: any client may do anything, even write the workers' topics"
            remedy = "fine for development; in production see docs/reference/security.md"
            return [CheckResult("warning", found, remedy)]
        for_worker = acls.worker(settings)
        missing = await missing_permissions(admin, for_worker)
        for acl in for_worker:
            if acl.kind == "transactional-id" and not await can_describe_transactions(admin, acl.name):
                missing.append(acl)
        # Create is needed only for missing topics.
        # Neither is the bridges' topic, which workers do not use.
        own = {topic.full_name(settings.topic_prefix) for topic in TOPICS}
        for_setup = [acl for acl in acls.setup(settings) if acl.operation != "Create" and acl.name in own]
        only_setup = [acl for acl in await missing_permissions(admin, for_setup) if acl not in missing]
    results = [_denied(context, "wrong", "a worker", missing)] if missing else []
    if only_setup:
        results.append(_denied(context, "warning", "`setup`", only_setup))
    who = f"user {settings.kafka_user!r}" if settings.kafka_user else "this client"
    ok = f"{who} has the permissions of a worker, as far as Kafka reports them"
    return results or [CheckResult("ok", ok)]


def _denied(context: CheckContext, state: State, role: str, missing: list[acls.Acl]) -> CheckResult:
    found, _, remedy = denied_message(missing, context.settings).rpartition(": ")
    found = found.removeprefix("not authorised: ")
    return CheckResult(state, f"{found}, which {role} needs", remedy)
