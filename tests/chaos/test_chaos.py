"""Every one-broker fault class once, on real servers, and the checker's verdict (`make chaos` does more of it)."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testkit.chaos.world import Setting
from testkit.pipe import ROOT
from testkit.servers import Servers
from tests.chaos.bugs import BUGS
from tests.chaos.faults import FAULTS
from tests.chaos.run import run

BUSY = 60.0
"""Seconds that a recovery may take here, where other tests keep all cores busy; the long runs are stricter."""


def faults(*kinds: str) -> list[str]:
    return [fault.name for fault in FAULTS if fault.kind in kinds]


@pytest.mark.broker
@pytest.mark.timeout(900)
def test_every_fault_of_one_broker_breaks_no_promise(servers: Servers) -> None:
    """Two runs at once, each with a broker of its own: most of the time is spent waiting for time-outs."""
    seed = random.randrange(10**6)
    plans = {"without proxies": faults("worker", "broker", "data"), "through proxies": faults("network")}

    def one(name: str) -> dict[str, Any]:
        plan = plans[name]
        random.Random(seed).shuffle(plan)
        setting = Setting(
            seed, rate=120, rooms=80, hot=100, watchdog=2, session=3, proxied=name == "through proxies"
        )
        return run(setting, plan, gap=0.1, patience=BUSY)

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(one, plans))
    for plan, result in zip(plans.values(), results, strict=True):
        assert result["violations"] == [], f"seed {seed}"
        assert result["injections"].keys() == set(plan), result["not_injected"]
        assert result["signals"] > 1000
        assert result["timeouts"]["n"] > 10


def test_every_seeded_bug_still_has_its_place() -> None:
    code = (
        "import os, sys\nfrom tests.chaos.bugs import BUGS\n"
        "for name, bug in BUGS.items():\n"
        "    if os.fork() == 0:\n        bug()\n        os._exit(0)\n"
        "    if os.wait()[1]:\n        sys.exit(f'{name} does not apply')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(BUGS) >= 15
