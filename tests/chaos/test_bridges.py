"""One injection of every fault of bridges and engines, checked (`make test-chaos`), and the checks themselves."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from testkit.pipe import ROOT
from tests.chaos.bridges.bugs import BUGS, SHOWN_BY, patch
from tests.chaos.bridges.faults import OF_NODE, OF_SERVERS
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


@pytest.mark.parametrize("name", ["", *BUGS])
def test_the_errors_fit_the_bridge(name: str) -> None:
    """What a patch replaces must exist."""
    module, _, function = patch(name).partition(":")
    code = f"import {module} as bugs; getattr(bugs, {function!r})()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_error_has_faults_that_show_it() -> None:
    assert SHOWN_BY.keys() == BUGS.keys()
    assert {fault for faults, _ in SHOWN_BY.values() for fault in faults.split(",")} <= {*OF_NODE, *OF_SERVERS}
