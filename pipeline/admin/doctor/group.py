"""Whether workers run, and whether each partition has an owner."""

from __future__ import annotations

from collections import Counter

from pipeline.admin.doctor.context import CheckContext, CheckResult, partition_list
from pipeline.kafka.admin import ConsumerGroup, describe_group
from pipeline.topics import API


async def check_group(context: CheckContext) -> list[CheckResult]:
    """Check the members of the group, and find partitions without an owner."""
    settings = context.settings
    async with context.admin() as admin:
        group = await describe_group(admin, settings.group_id)
    name, members = f"group {settings.group_id!r}", _count(len(group.members), "member")
    if not group.members:
        problem = "does not exist" if group.state == "Dead" else "has no members"
        remedy = "start workers, or set PIPELINE_GROUP_ID to the group of the workers"
        return [CheckResult("wrong", f"{name} {problem}: no worker runs", remedy)]
    if group.state != "Stable":
        remedy = "run doctor again in some seconds; if this lasts, look at the workers' logs"
        return [CheckResult("warning", f"{name} is rebalancing ({group.state}), {members}", remedy)]
    by_host, owned = _ownership(group, API.full_name(settings.topic_prefix))
    shares = ", ".join(f"{host} {count}" for host, count in sorted(by_host.items()))
    found = f"{name} is stable, {members}; partitions by host: {shares}"
    unowned = [number for number in range(settings.partitions) if number not in owned]
    if unowned:
        remedy = "check that all members are workers with this PIPELINE_TOPIC_PREFIX, and restart them"
        return [CheckResult("wrong", f"{found}; no owner of {partition_list(unowned)}", remedy)]
    idle = len(group.members) - settings.partitions
    if idle > 0:
        found = f"{found}; {_count(idle, 'member')} without a partition"
        return [CheckResult("warning", found, "run at most as many workers as partitions")]
    return [CheckResult("ok", found)]


def _ownership(group: ConsumerGroup, topic: str) -> tuple[Counter[str], set[int]]:
    """Return the number of partitions of `topic` by host, and all partitions that a member owns."""
    by_host, owned = Counter[str](), set[int]()
    for host, assignment in group.members:
        numbers = {tp.partition for tp in assignment if tp.topic == topic}
        by_host[host] += len(numbers)
        owned |= numbers
    return by_host, owned


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
