"""Least privilege: the permissions that each of the four roles needs, and not one more.

One list; the documentation, the check at start-up, the tests and the charts read it. Every entry is needed: without
it the role ends with an error that names it. Read and Write bring Describe with them (Kafka's own rule), so Describe
stands here only where neither is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pipeline import topics
from pipeline.settings import Settings

Kind = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]

OPERATION_CODES: Final[dict[Operation, int]] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
}
"""Kafka's numbers of the operations (`org.apache.kafka.common.acl.AclOperation`)."""


class Acl(NamedTuple):
    """One permission. `name` is the resource's, or with `prefixed` how it begins; `why` is for people."""

    kind: Kind
    name: str
    operation: Operation
    why: str
    prefixed: bool = False

    def __str__(self) -> str:
        if self.prefixed:
            return f"{self.operation} on every {self.kind.replace('-', ' ')} that begins with {self.name}"
        return f"{self.operation} on {self.kind.replace('-', ' ')} {self.name}"


def worker(settings: Settings) -> list[Acl]:
    """What `worker` needs."""
    prefix = settings.topic_prefix
    found = []
    for topic in topics.TOPICS:
        name = topic.full_name(prefix)
        if topic in topics.SIGNAL_TOPICS:
            found.append(Acl("topic", name, "Read", "signals, and their offsets in the transaction"))
        elif topic is topics.ROOMS:
            found.append(Acl("topic", name, "Read", "the table is loaded from it"))
        if topic.output:
            found.append(Acl("topic", name, "Write", "part of each transaction"))
        found.append(Acl("topic", name, "DescribeConfigs", "it is refused when it breaks a promise"))
    found.append(Acl("group", settings.group_id, "Read", "partitions, and offsets fenced by the generation"))
    why = "its own, and that of a dead worker, whose open transaction it aborts"
    found.append(Acl("transactional-id", transactional_prefix(settings), "Write", why, prefixed=True))
    return found


def transactional_prefix(settings: Settings) -> str:
    """What the transactional ids of all workers begin with: the group id, unless PIPELINE_TRANSACTIONAL_ID says
    otherwise; then this worker's whole id, and those of the others are the operator's to cover."""
    own = settings.transactional_id
    return settings.group_id if own.startswith(settings.group_id) else own or settings.group_id


def setup(settings: Settings) -> list[Acl]:
    """What `setup` needs."""
    reasons: tuple[tuple[Operation, str], ...] = (
        ("Create", "only while it does not exist"),
        ("Describe", "whether it exists, its partitions and replicas"),
        ("DescribeConfigs", "it is refused when it breaks a promise"),
    )
    names = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS]
    return [Acl("topic", name, operation, why) for name in names for operation, why in reasons]


def producer(settings: Settings) -> list[Acl]:
    """What `send`, or a producer of signals of one's own, needs: of the two topics those that it sends to."""
    names = [topic.full_name(settings.topic_prefix) for topic in topics.SIGNAL_TOPICS]
    return [Acl("topic", name, "Write", "signals, also idempotently") for name in names]


def consumer(settings: Settings, group: str = "") -> list[Acl]:
    """What `events`, or with a `group` a consumer of one's own, needs."""
    found = [Acl("topic", topics.EVENTS.full_name(settings.topic_prefix), "Read", "the events")]
    if group:
        found.append(Acl("group", group, "Read", "its place in the log"))
    return found


def commands(acls: Iterable[Acl], principal: str) -> list[str]:
    """The calls of `kafka-acls.sh` (without server and credentials) that allow all this to `principal`."""
    operations: dict[tuple[Kind, str, bool], list[str]] = {}
    for acl in acls:
        operations.setdefault((acl.kind, acl.name, acl.prefixed), []).append(acl.operation)
    together: dict[tuple[Kind, bool, tuple[str, ...]], list[str]] = {}
    for (kind, name, prefixed), found in operations.items():
        together.setdefault((kind, prefixed, tuple(found)), []).append(name)
    return [
        f"kafka-acls.sh --add --allow-principal {_quoted(principal)}"
        + "".join(f" --operation {operation}" for operation in found)
        + "".join(f" --{kind} {_quoted(name)}" for name in names)
        + (" --resource-pattern-type prefixed" if prefixed else "")
        for (kind, prefixed, found), names in together.items()
    ]


def _quoted(word: str) -> str:
    safe = word and all(character.isalnum() or character in "._:-=,/" for character in word)
    return word if safe else "'" + word.replace("'", "'\\''") + "'"
