"""The list of all faults. A fault makes one injection and returns when the fault is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from testkit.chaos.proxy import ADD_PARTITIONS, END_TXN, OFFSETS, PRODUCE
from testkit.chaos.testbed import Testbed
from tests.chaos import faults_data, faults_network, faults_servers, faults_workers

Kind = Literal["worker", "broker", "cluster", "network", "data"]


@dataclass(frozen=True)
class Fault:
    """One class of faults. `cluster` faults need three brokers, `network` faults the proxies."""

    name: str
    kind: Kind
    inject: Callable[[Testbed], None]
    gentle: bool = False
    """Whether healthy workers must not be fenced and the two signal topics must stay in step."""
    survived: bool = False
    """Whether no worker may end."""


def pair(testbed: Testbed) -> None:
    """Inject two other faults at once."""
    kinds = {"worker", "network" if testbed.config.proxied else "broker"}
    others = [f for f in FAULTS if f.kind in kinds and f.name not in {"pair", "storm", "rolling", "newcomer"}]
    chosen = testbed.rng.sample(others, 2)
    with testbed.injecting("pair", what=" and ".join(fault.name for fault in chosen)):
        threads = [threading.Thread(target=fault.inject, args=(testbed,)) for fault in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


FAULTS: Final = (
    Fault("kill", "worker", faults_workers.kill, gentle=True),
    Fault("term", "worker", faults_workers.term, gentle=True),
    Fault("freeze_short", "worker", faults_workers.freeze_short),
    Fault("freeze_long", "worker", faults_workers.freeze_long),
    Fault("storm", "worker", faults_workers.storm, gentle=True),
    Fault("rolling", "worker", faults_workers.rolling, gentle=True),
    Fault("newcomer", "worker", faults_workers.newcomer, gentle=True),
    Fault("clock", "worker", faults_workers.clock, gentle=True),
    Fault("pair", "worker", pair),
    Fault("broker_kill", "broker", faults_servers.broker_kill),
    Fault("broker_restart", "broker", faults_servers.broker_restart),
    Fault("broker_freeze", "broker", faults_servers.broker_freeze),
    Fault("registry_gone", "broker", faults_servers.registry_gone, gentle=True),
    Fault("node", "cluster", faults_servers.cluster("node", faults_servers.any_node)),
    Fault("leader", "cluster", faults_servers.cluster("leader", faults_servers.leader_of_signals)),
    Fault(
        "group_coordinator",
        "cluster",
        faults_servers.cluster("group_coordinator", faults_servers.group_coordinator),
    ),
    Fault(
        "transaction_coordinator",
        "cluster",
        faults_servers.cluster("transaction_coordinator", faults_servers.transaction_coordinator),
    ),
    Fault("cut", "network", faults_network.broken("cut", lambda link, _: link.cut("up", "down"), 3)),
    Fault("cut_up", "network", faults_network.broken("cut_up", lambda link, _: link.cut("up"), 3)),
    Fault("cut_down", "network", faults_network.broken("cut_down", lambda link, _: link.cut("down"), 3)),
    Fault(
        "delay",
        "network",
        faults_network.broken("delay", lambda link, rng: link.slow(rng.uniform(0.05, 0.5)), 1.5),
    ),
    Fault(
        "slow",
        "network",
        faults_network.broken("slow", lambda link, rng: link.slow(0, rng.uniform(2e4, 2e5)), 1.5),
    ),
    Fault("reset", "network", faults_network.reset),
    Fault("late_end", "network", faults_network.late("late_end", END_TXN, "before", "between"), survived=True),
    Fault(
        "late_add",
        "network",
        faults_network.late("late_add", ADD_PARTITIONS, "before", "between"),
        survived=True,
    ),
    Fault("lost_answer", "network", faults_network.late("lost_answer", END_TXN, "answer"), survived=True),
    Fault("stall_records", "network", faults_network.stall("stall_records", PRODUCE)),
    Fault("stall_offsets", "network", faults_network.stall("stall_offsets", OFFSETS)),
    Fault("stall_end", "network", faults_network.stall("stall_end", END_TXN)),
    Fault("expelled", "network", faults_network.expelled),
    Fault("poison", "data", faults_data.poison, gentle=True, survived=True),
    Fault("broken", "data", faults_data.broken, gentle=True, survived=True),
    Fault("timestamps", "data", faults_data.timestamps, survived=True),
    Fault("large", "data", faults_data.large),
    Fault("abort", "data", faults_data.abort),
    Fault("retention", "data", faults_data.retention, gentle=True),
    Fault("offsets_lost", "data", faults_data.offsets_lost, gentle=True),
    Fault("compaction", "data", faults_data.compaction, gentle=True),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
