"""The command `verify` on the log of a run: it must find no difference where the checker finds no violation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from testkit.chaos.testbed import Testbed
from testkit.pipe import ROOT

SECONDS: Final = 600
BLINDING: Final = frozenset({"timestamps", "retention"})
"""Faults after which `verify` does not know what the workers knew: records have no append time, signals are deleted."""


def verified(testbed: Testbed) -> dict[str, Any]:
    """Run `verify` on all topics of a run whose workers have ended.

    Return what it counted, and the `faults` that it found. After a blinding fault they are only counted.
    """
    blind = any(injection.fault in BLINDING for injection in testbed.injections)
    found = verify({**testbed.pipe.env, "PIPELINE_WATCHDOG_SECONDS": str(testbed.config.watchdog)})
    return {**found, "faults": []} if blind and "rooms" in found else found


def verify(env: Mapping[str, str]) -> dict[str, Any]:
    """Run `verify` with the environment of the workers; return what it counted, and the `faults` that it found."""
    command = [sys.executable, "-m", "pipeline", "verify", "--json"]
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"faults": [f"verify did not end within {SECONDS} s"]}
    if done.returncode not in {0, 1}:
        return {"faults": [f"verify ended with {done.returncode}: {done.stderr[-2000:]}"]}
    counts: dict[str, Any] = json.loads(done.stdout)
    wrong = counts.pop("wrong")
    counts["wrong"] = len(wrong)
    found = [f"verify found a difference: {one}" for one in wrong[:3]]
    if counts["undecided"]:
        found.append(f"verify could not decide {counts['undecided']} rooms")
    return {**counts, "faults": found}
