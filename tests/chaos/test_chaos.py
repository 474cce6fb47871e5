"""One injection of every one-broker fault class on real servers, checked (`make test-chaos`; `make chaos` runs more)."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testkit.chaos.testbed import RunConfig
from testkit.servers import Servers
from tests.chaos.faults import FAULTS
from tests.chaos.run import run

BUSY = 60.0
"""Seconds that a recovery may take while other tests use all cores; the long runs are stricter."""


def faults(*kinds: str) -> list[str]:
    return [fault.name for fault in FAULTS if fault.kind in kinds]


@pytest.mark.broker
@pytest.mark.timeout(900)
def test_one_broker_faults_cause_no_violation(servers: Servers) -> None:
    """Two concurrent runs with a broker each: most of the time is spent waiting for timeouts."""
    seed = random.randrange(10**6)
    plans = {"without proxies": faults("worker", "broker", "data"), "through proxies": faults("network")}

    def one(name: str) -> dict[str, Any]:
        plan = plans[name]
        random.Random(seed).shuffle(plan)
        config = RunConfig(seed, rate=120, rooms=80, hot=100, watchdog=2, session=3, proxied=name == "through proxies")
        return run(config, plan, gap=0.1, patience=BUSY)

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(one, plans))
    for plan, result in zip(plans.values(), results, strict=True):
        assert result["violations"] == [], f"seed {seed}"
        assert result["injections"].keys() == set(plan), result["not_injected"]
        assert result["signals"] > 1000
        assert result["timeouts"]["n"] > 10
