"""Which settings of the topics break a promise, and which are a matter of taste (contract §2, §6).

Pure: what was found goes in, findings come out. A finding that breaks a promise refuses `setup` and `worker`, unless
they are forced; the others are warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pipeline.topics import MAX_OUTPUT, ROOMS, SIGNAL_TOPICS, Topic

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
"""In milliseconds, as the brokers' settings are."""
MANY_BROKERS: Final = 3
"""From so many brokers on a lost one must not cost a record: three replicas, two of them in sync."""
COPIES: Final = 3
IN_SYNC: Final = 2


class ObservedTopic(NamedTuple):
    """A topic as it is: its full name, the least number of replicas of a partition, its effective settings."""

    name: str
    topic: Topic
    replicas: int
    config: Mapping[str, str | None]

    def number(self, setting: str, absent: int) -> int:
        """A setting as a number; `absent` when the broker does not have it."""
        value = self.config.get(setting)
        return absent if value is None else int(value)


class Finding(NamedTuple):
    """One difference. `refused`: it breaks a promise; else it is a matter of taste."""

    topic: str
    setting: str
    found: str
    needed: str
    why: str
    refused: bool = True
    remedy: str = ""

    def __str__(self) -> str:
        wanted = self.needed.removeprefix("at least ")
        remedy = self.remedy or (
            f"kafka-configs.sh --alter --entity-type topics --entity-name {self.topic} "
            f"--add-config {self.setting}={wanted}"
        )
        said = "needed" if self.refused else "better"
        return f"topic {self.topic} has {self.setting}={self.found}, {said} is {self.needed}: {self.why}; {remedy}"


def findings(brokers: int, topics: list[ObservedTopic]) -> list[Finding]:
    """All that differs, topic by topic. `brokers` is how many there are."""
    brokers = max([brokers, *(found.replicas for found in topics)])
    return [
        finding
        for found in topics
        for check in (_shape, _replication, _retention)
        for finding in check(found, brokers)
    ]


def few_copies(brokers: int, topics: list[ObservedTopic]) -> str | None:
    """A warning about a cluster that is too small for replicas, where that is so."""
    if brokers >= MANY_BROKERS or all(found.replicas > 1 for found in topics):
        return None
    return (
        f"{brokers} broker{'s' * (brokers > 1)}, one replica: fine for development, but a lost disk loses all; "
        f"take {MANY_BROKERS} brokers for production"
    )


def _shape(found: ObservedTopic, _: int) -> Iterator[Finding]:
    """What the contract names, and what must not be turned on."""
    name, config = found.name, found.config
    for setting, wanted in found.topic.config.items():
        value = config.get(setting)
        if setting == "max.message.bytes":
            if value is not None and int(value) < int(wanted):
                why = "what one signal says may be as large, and is never split"
                yield Finding(name, setting, value, f"at least {wanted}", why)
        elif value != wanted:
            yield Finding(name, setting, str(value), wanted, _WHY[setting, wanted])
    if config.get("unclean.leader.election.enable") == "true":
        why = "a broker that was away could drop records that were acknowledged"
        yield Finding(name, "unclean.leader.election.enable", "true", "false", why)
    if found.topic.output and found.number("segment.bytes", MAX_OUTPUT) < MAX_OUTPUT:
        why = "a batch that is larger than a segment is refused"
        yield Finding(name, "segment.bytes", str(config["segment.bytes"]), f"at least {MAX_OUTPUT}", why)


_WHY: Final = {
    (
        "message.timestamp.type",
        "LogAppendTime",
    ): "only the broker's clock orders signals and fires the watchdog",
    ("cleanup.policy", "compact"): "a row that is deleted by age is a room that is forgotten",
    ("cleanup.policy", "delete"): "compaction would drop all but the last record of a room",
}


def _replication(found: ObservedTopic, brokers: int) -> Iterator[Finding]:
    """What the loss of a broker costs."""
    name, copies = found.name, found.replicas
    in_sync = found.number("min.insync.replicas", 1)
    setting, factor = "min.insync.replicas", "replication factor"
    if in_sync > copies:
        why = "with acks=all nothing can be written"
        yield Finding(name, setting, str(in_sync), str(copies), why)
    elif brokers < MANY_BROKERS and copies == 1:
        return  # see few_copies
    elif copies == 1:
        why = f"there are {brokers} brokers, and a single lost one loses what was acknowledged"
        remedy = (
            "kafka-reassign-partitions.sh, or while it is empty delete it and run `conference-pipeline setup`"
        )
        yield Finding(name, factor, "1", f"at least {COPIES}", why, True, remedy)
    elif in_sync < IN_SYNC and copies > 1:
        why = "what only one broker has acknowledged is lost with it"
        yield Finding(name, setting, str(in_sync), str(IN_SYNC), why)
    elif in_sync == copies:
        why = "while any one broker is away nothing can be written"
        remedy = f"raise the replication factor to {in_sync + 1}"
        yield Finding(name, setting, str(in_sync), f"less than its {copies} replicas", why, False, remedy)


def _retention(found: ObservedTopic, _: int) -> Iterator[Finding]:
    """How long what nobody has read yet is kept."""
    name, config = found.name, found.config
    if found.topic is ROOMS:
        kept = found.number("delete.retention.ms", DAY)
        if kept < HOUR:
            why = "whoever reads the table for longer than that brings rooms back that are gone"
            yield Finding(name, "delete.retention.ms", str(kept), f"at least {HOUR}", why, kept < MINUTE)
        return
    kept = found.number("retention.ms", -1)
    signals = found.topic in SIGNAL_TOPICS
    if 0 <= kept < DAY:
        refused = signals and kept < 10 * MINUTE
        why = (
            "signals are deleted unread when all workers are away for longer"
            if signals
            else ("a consumer that is away for longer misses some")
        )
        yield Finding(name, "retention.ms", str(kept), f"at least {DAY}", why, refused)
    if signals and found.number("retention.bytes", -1) >= 0:
        why = "a burst of signals is deleted, read or not"
        yield Finding(name, "retention.bytes", str(config["retention.bytes"]), "-1", why, False)
