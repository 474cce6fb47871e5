"""One injection of every fault of bridges and engines, checked (`make test-chaos`)."""

from __future__ import annotations

import random

import pytest

from tests.chaos.bridges.faults import OF_NODE
from tests.chaos.bridges.run import run


@pytest.mark.broker
@pytest.mark.timeout(900)
def test_faults_of_bridges_cause_no_violation() -> None:
    seed = random.randrange(10**6)
    plan = [*OF_NODE]
    random.Random(seed).shuffle(plan)
    result = run(seed, plan, nodes=6, size=4)
    assert result["violations"] == [], f"seed {seed}"
    assert result["injections"].keys() == set(plan)
    assert result["signals"] > 300
    assert result["playbacks"] > 20
    assert result["commands"] > 50
