"""The faults, in one list. Each does one injection and returns when what it broke is whole again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from testkit.chaos.proxy import ADD_PARTITIONS, END_TXN, OFFSETS, PRODUCE
from testkit.chaos.world import World
from tests.chaos import of_data, of_network, of_servers, of_workers

Kind = Literal["worker", "broker", "cluster", "network", "data"]


@dataclass(frozen=True)
class Fault:
    """One class of faults. `kind` says what it needs: `cluster` three brokers, `network` the proxies."""

    name: str
    kind: Kind
    inject: Callable[[World], None]
    gentle: bool = False
    """It gives no healthy worker a reason to be fenced, and holds no topic back behind the other."""
    outlived: bool = False
    """No worker may end of it."""


def pair(world: World) -> None:
    """Two other faults at once."""
    kinds = {"worker", "network" if world.setting.proxied else "broker"}
    others = [f for f in FAULTS if f.kind in kinds and f.name not in {"pair", "storm", "rolling", "newcomer"}]
    chosen = world.rng.sample(others, 2)
    with world.injecting("pair", what=" and ".join(fault.name for fault in chosen)):
        threads = [threading.Thread(target=fault.inject, args=(world,)) for fault in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


FAULTS: Final = (
    Fault("kill", "worker", of_workers.kill, gentle=True),
    Fault("term", "worker", of_workers.term, gentle=True),
    Fault("freeze_short", "worker", of_workers.freeze_short),
    Fault("freeze_long", "worker", of_workers.freeze_long),
    Fault("storm", "worker", of_workers.storm, gentle=True),
    Fault("rolling", "worker", of_workers.rolling, gentle=True),
    Fault("newcomer", "worker", of_workers.newcomer, gentle=True),
    Fault("clock", "worker", of_workers.clock, gentle=True),
    Fault("pair", "worker", pair),
    Fault("broker_kill", "broker", of_servers.broker_kill),
    Fault("broker_restart", "broker", of_servers.broker_restart),
    Fault("broker_freeze", "broker", of_servers.broker_freeze),
    Fault("registry_gone", "broker", of_servers.registry_gone, gentle=True),
    Fault("node", "cluster", of_servers.cluster("node", of_servers.any_node)),
    Fault("leader", "cluster", of_servers.cluster("leader", of_servers.leader_of_signals)),
    Fault(
        "group_coordinator", "cluster", of_servers.cluster("group_coordinator", of_servers.group_coordinator)
    ),
    Fault(
        "transaction_coordinator",
        "cluster",
        of_servers.cluster("transaction_coordinator", of_servers.transaction_coordinator),
    ),
    Fault("cut", "network", of_network.broken("cut", lambda link, _: link.cut("up", "down"), 3)),
    Fault("cut_up", "network", of_network.broken("cut_up", lambda link, _: link.cut("up"), 3)),
    Fault("cut_down", "network", of_network.broken("cut_down", lambda link, _: link.cut("down"), 3)),
    Fault(
        "delay",
        "network",
        of_network.broken("delay", lambda link, rng: link.slow(rng.uniform(0.05, 0.5)), 1.5),
    ),
    Fault(
        "slow",
        "network",
        of_network.broken("slow", lambda link, rng: link.slow(0, rng.uniform(2e4, 2e5)), 1.5),
    ),
    Fault("reset", "network", of_network.reset),
    Fault("late_end", "network", of_network.late("late_end", END_TXN, "before", "between"), outlived=True),
    Fault(
        "late_add", "network", of_network.late("late_add", ADD_PARTITIONS, "before", "between"), outlived=True
    ),
    Fault("lost_answer", "network", of_network.late("lost_answer", END_TXN, "answer"), outlived=True),
    Fault("stall_records", "network", of_network.stall("stall_records", PRODUCE)),
    Fault("stall_offsets", "network", of_network.stall("stall_offsets", OFFSETS)),
    Fault("stall_end", "network", of_network.stall("stall_end", END_TXN)),
    Fault("expelled", "network", of_network.expelled),
    Fault("poison", "data", of_data.poison, gentle=True, outlived=True),
    Fault("large", "data", of_data.large),
    Fault("abort", "data", of_data.abort),
    Fault("retention", "data", of_data.retention, gentle=True),
    Fault("offsets_lost", "data", of_data.offsets_lost, gentle=True),
    Fault("compaction", "data", of_data.compaction, gentle=True),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
