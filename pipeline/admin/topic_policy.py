"""Which settings of the topics break a promise, and which are only recommendations (contract §2, §6).

Pure: observed topics in, deviations out. `setup` and `worker` end at a deviation from a required setting, unless they
are forced; the other deviations are warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pipeline.topics import ENGINES, MAX_OUTPUT, ROOMS, SIGNAL_TOPICS, Topic

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
"""In milliseconds, as in the brokers' settings."""
FAR_AHEAD: Final = 60.0
"""Seconds that a signal's time may be ahead of the brokers' clock before it is reported (contract §4)."""
REPLICATED_CLUSTER: Final = 3
"""From this many brokers, losing one must not lose a record."""
REPLICAS: Final = 3
MIN_IN_SYNC: Final = 2
"""`min.insync.replicas` of a replicated topic."""


class ObservedTopic(NamedTuple):
    """A topic on the cluster: its full name, the lowest number of replicas of a partition, its effective settings."""

    name: str
    topic: Topic
    replicas: int
    config: Mapping[str, str | None]

    def number(self, setting: str, default: int) -> int:
        """Return a setting as a number, `default` when the broker has no such setting."""
        value = self.config.get(setting)
        return default if value is None else int(value)


class Deviation(NamedTuple):
    """A setting of a topic that differs. It breaks a promise when `required`, else it is against a recommendation."""

    topic: str
    setting: str
    actual: str
    expected: str
    reason: str
    required: bool = True
    remedy: str = ""
    """What to do; by default, `kafka-configs.sh` with the expected value."""

    def __str__(self) -> str:
        change = f"--add-config {self.setting}={self.expected.removeprefix('at least ')}"
        alter = f"kafka-configs.sh --alter --entity-type topics --entity-name {self.topic} {change}"
        found = f"topic {self.topic} has {self.setting}={self.actual}"
        verb = "expected" if self.required else "recommended"
        return f"{found}, {verb} {self.expected}: {self.reason}; {self.remedy or alter}"


def deviations(brokers: int, topics: list[ObservedTopic]) -> list[Deviation]:
    """Return all deviations, topic by topic. `brokers` is the number of live brokers."""
    brokers = max([brokers, *(observed.replicas for observed in topics)])
    found: list[Deviation] = []
    for observed in topics:
        found += [*_check_contract(observed), *_check_replication(observed, brokers), *_check_retention(observed)]
    return found


def single_replica_warning(brokers: int, topics: list[ObservedTopic]) -> str | None:
    """Return a warning when topics have one replica because the cluster is too small for more, else None."""
    if brokers >= REPLICATED_CLUSTER or all(observed.replicas > 1 for observed in topics):
        return None
    count = "1 broker" if brokers == 1 else f"{brokers} brokers"
    fault = "fine for development, but a lost disk loses all records"
    return f"{count}, one replica: {fault}; use {REPLICATED_CLUSTER} brokers in production"


_REASONS: Final = {
    ("message.timestamp.type", "LogAppendTime"): "signals and the watchdog depend on the broker's clock",
    ("cleanup.policy", "compact"): "deleting a row by age deletes its room",
    ("cleanup.policy", "delete"): "compaction deletes all but the last record of a room",
}
"""(Setting, expected value) to the reason."""
_SIZES: Final = {
    "max.message.bytes": "the output of one signal may be this large, and is never split",
    "segment.bytes": "the broker rejects a batch that is larger than a segment",
}
"""Settings that limit the output of one signal, to the reason."""


def _check_contract(observed: ObservedTopic) -> Iterator[Deviation]:
    """Check the settings that the contract names, and those that lose acknowledged records."""
    name, config = observed.name, observed.config
    for (setting, expected), reason in _REASONS.items():
        if observed.topic.config[setting] == expected and config.get(setting) != expected:
            yield Deviation(name, setting, str(config.get(setting)), expected, reason)
    for setting, reason in _SIZES.items():
        if observed.topic.output and observed.number(setting, MAX_OUTPUT) < MAX_OUTPUT:
            yield Deviation(name, setting, str(config[setting]), f"at least {MAX_OUTPUT}", reason)
    if config.get("unclean.leader.election.enable") == "true":
        reason = "an out-of-sync replica could become leader and drop acknowledged records"
        yield Deviation(name, "unclean.leader.election.enable", "true", "false", reason)


def _check_replication(observed: ObservedTopic, brokers: int) -> list[Deviation]:
    """Check what the loss of one broker would cost; return at most one deviation."""
    name, replicas = observed.name, observed.replicas
    setting, in_sync = "min.insync.replicas", observed.number("min.insync.replicas", 1)
    if in_sync > replicas:
        reason = "with acks=all no record can be written"
        return [Deviation(name, setting, str(in_sync), str(replicas), reason)]
    if replicas == 1 and brokers < REPLICATED_CLUSTER:
        return []  # single_replica_warning reports it
    if replicas == 1:
        reason = f"there are {brokers} brokers, and losing one loses acknowledged records"
        recreate = "delete the topic while it is empty and run `conference-pipeline setup`"
        remedy = f"add replicas with kafka-reassign-partitions.sh, or {recreate}"
        return [Deviation(name, "replication factor", "1", f"at least {REPLICAS}", reason, remedy=remedy)]
    if in_sync < MIN_IN_SYNC:
        reason = "a record that only one broker has acknowledged is lost with that broker"
        return [Deviation(name, setting, str(in_sync), str(MIN_IN_SYNC), reason)]
    if in_sync == replicas:
        reason = "no record can be written while one broker is down"
        expected, remedy = f"less than its {replicas} replicas", f"raise the replication factor to {in_sync + 1}"
        return [Deviation(name, setting, str(in_sync), expected, reason, False, remedy)]
    return []


def _check_retention(observed: ObservedTopic) -> Iterator[Deviation]:
    """Check how long records are kept that consumers may not have read yet."""
    name, config = observed.name, observed.config
    if observed.topic is ENGINES:
        return
    if observed.topic is ROOMS:
        kept = observed.number("delete.retention.ms", DAY)
        if kept < HOUR:
            reason = "a reader of the table that takes longer misses deletions, and restores deleted rooms"
            yield Deviation(name, "delete.retention.ms", str(kept), f"at least {HOUR}", reason, kept < MINUTE)
        return
    kept = observed.number("retention.ms", -1)
    is_input = observed.topic in SIGNAL_TOPICS
    if 0 <= kept < DAY:
        reason = "a consumer that is down for longer misses records"
        if is_input:
            reason = "signals are deleted unread when all workers are down for longer"
        required = is_input and kept < 10 * MINUTE
        yield Deviation(name, "retention.ms", str(kept), f"at least {DAY}", reason, required)
    if is_input and observed.number("retention.bytes", -1) >= 0:
        reason = "a burst of signals is deleted, read or not"
        yield Deviation(name, "retention.bytes", str(config["retention.bytes"]), "-1", reason, False)
