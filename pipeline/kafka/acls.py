"""Least privilege: the permissions that each role needs, and no others.

The documentation, the check at start-up, the tests and the charts read this list. Without any one entry, the role ends
with an error that names it. Read and Write include Describe (Kafka's rule), so Describe is listed only without them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from shlex import quote
from typing import Final, Literal, NamedTuple

from pipeline import topics
from pipeline.settings import Settings

Kind = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]

OPERATION_CODES: Final[dict[str, int]] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
}
"""Operation to Kafka's code (`org.apache.kafka.common.acl.AclOperation`)."""


class Acl(NamedTuple):
    """One permission. `name` is the resource, or with `prefixed` the start of its name; `why` is for people."""

    kind: Kind
    name: str
    operation: Operation
    why: str
    prefixed: bool = False

    def __str__(self) -> str:
        kind = self.kind.replace("-", " ")
        return f"{self.operation} on " + (f"every {kind} that begins with" if self.prefixed else kind) + f" {self.name}"


def worker(settings: Settings) -> list[Acl]:
    prefix = settings.topic_prefix
    acls = []
    for topic in topics.TOPICS:
        name = topic.full_name(prefix)
        if topic in topics.SIGNAL_TOPICS:
            acls.append(Acl("topic", name, "Read", "signals, and their offsets in the transaction"))
        elif topic is topics.ROOMS:
            acls.append(Acl("topic", name, "Read", "to load the table"))
        elif topic.output:
            acls.append(Acl("topic", name, "Read", "to find the owner of an open transaction"))
        if topic.output:
            acls.append(Acl("topic", name, "Write", "output of each transaction"))
        acls.append(Acl("topic", name, "DescribeConfigs", "to check its settings"))
    acls.append(Acl("group", settings.group_id, "Read", "partitions, and offsets fenced by the generation"))
    why = "its own, and that of a dead worker, to abort its open transaction"
    acls.append(Acl("transactional-id", transactional_prefix(settings), "Write", why, prefixed=True))
    return acls


def transactional_prefix(settings: Settings) -> str:
    """Return the common prefix of the workers' transactional ids, which is the group id.

    When PIPELINE_TRANSACTIONAL_ID is set to an id without that prefix, return the whole id; the operator then has to
    allow those of the other workers.
    """
    own = settings.transactional_id
    return settings.group_id if own.startswith(settings.group_id) else own or settings.group_id


def setup(settings: Settings) -> list[Acl]:
    reasons: tuple[tuple[Operation, str], ...] = (
        ("Create", "only if it does not exist"),
        ("Describe", "to see whether it exists, its partitions and replicas"),
        ("DescribeConfigs", "to check its settings"),
    )
    names = [topic.full_name(settings.topic_prefix) for topic in topics.ALL_TOPICS]
    return [Acl("topic", name, operation, why) for name in names for operation, why in reasons]


def producer(settings: Settings, written: Iterable[topics.Topic] = topics.SIGNAL_TOPICS) -> list[Acl]:
    """Return the permissions of `send`, or of another producer of signals to these topics."""
    names = [topic.full_name(settings.topic_prefix) for topic in written]
    return [Acl("topic", name, "Write", "to send signals; includes idempotent writes") for name in names]


def consumer(settings: Settings, group: str = "") -> list[Acl]:
    """Return the permissions of `events`, or with `group` of another consumer of events."""
    events = Acl("topic", topics.EVENTS.full_name(settings.topic_prefix), "Read", "to read events")
    return [events, Acl("group", group, "Read", "partitions and offsets")] if group else [events]


def viewer(settings: Settings) -> list[Acl]:
    """Return the permissions of the rooms view."""
    return [Acl("topic", topics.ROOMS.full_name(settings.topic_prefix), "Read", "to read the rooms")]


def outcomes(settings: Settings) -> list[Acl]:
    """Return the permissions to learn the outcomes of signals."""
    names = [topic.full_name(settings.topic_prefix) for topic in topics.OUTCOMES]
    return [Acl("topic", name, "Read", "to learn what became of a signal") for name in names]


def reader(settings: Settings, read: Iterable[topics.Topic]) -> list[Acl]:
    """Return the permissions of a command that reads these topics."""
    return [Acl("topic", topic.full_name(settings.topic_prefix), "Read", "to read it") for topic in read]


def gateway(settings: Settings) -> list[Acl]:
    """Return the permissions of a gateway."""
    write = Acl("topic", topics.API.full_name(settings.topic_prefix), "Write", "to send signals")
    engines = Acl("topic", topics.ENGINES.full_name(settings.topic_prefix), "Read", "to see the nodes of bridges")
    return [write, *viewer(settings), *outcomes(settings), engines]


def doctor(settings: Settings) -> list[Acl]:
    """Return what `doctor` needs in addition to the permissions of a worker."""
    return [Acl("topic", topics.ENGINES.full_name(settings.topic_prefix), "Read", "to see the nodes of bridges")]


def console(settings: Settings) -> list[Acl]:
    """Return the permissions of a console. It reads the state of the workers' group, too, as `status` does."""
    read = (*topics.SIGNAL_TOPICS, *topics.OUTCOMES, topics.ENGINES)
    group = Acl("group", settings.group_id, "Describe", "to show the workers")
    return [*viewer(settings), *reader(settings, read), group]


def bridge(settings: Settings, group: str) -> list[Acl]:
    """Return the permissions of an engine bridge that commits its offsets as `group`."""
    prefix = settings.topic_prefix
    return [
        Acl("topic", topics.MEDIA.full_name(prefix), "Write", "to send what the engine reports"),
        Acl("topic", topics.API.full_name(prefix), "Read", "to audit only a view that has all requests"),
        Acl("topic", topics.EVENTS.full_name(prefix), "Read", "to perform what was decided"),
        Acl("topic", topics.NOOPS.full_name(prefix), "Read", "to perform joins and leaves"),
        *viewer(settings),
        *announcer(settings),
        Acl("group", group, "Read", "offsets of what has been performed"),
    ]


def announcer(settings: Settings) -> list[Acl]:
    """Return the permissions to hold a node's claim."""
    name = topics.ENGINES.full_name(settings.topic_prefix)
    return [
        Acl("topic", name, "Read", "to see other bridges of the node"),
        Acl("topic", name, "Write", "to hold the node's claim"),
    ]


def commands(acls: Iterable[Acl], principal: str) -> list[str]:
    """Return the calls of `kafka-acls.sh`, without server and credentials, that add `acls` to `principal`."""
    operations: defaultdict[tuple[Kind, str, bool], list[str]] = defaultdict(list)
    for acl in acls:
        operations[acl.kind, acl.name, acl.prefixed].append(acl.operation)
    names_by_call: defaultdict[tuple[Kind, bool, tuple[str, ...]], list[str]] = defaultdict(list)
    for (kind, name, prefixed), allowed in operations.items():
        names_by_call[kind, prefixed, tuple(allowed)].append(name)
    return [
        f"kafka-acls.sh --add --allow-principal {quote(principal)}"
        + "".join(f" --operation {operation}" for operation in allowed)
        + "".join(f" --{kind} {quote(name)}" for name in names)
        + (" --resource-pattern-type prefixed" if prefixed else "")
        for (kind, prefixed, allowed), names in names_by_call.items()
    ]
