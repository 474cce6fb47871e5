"""Each seeded bug runs: its functions are called, do not fail by themselves, and change what happens."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from pipeline.errors import PipelineError
from testkit.pipe import ROOT
from testkit.servers import Servers
from tests.chaos import bite, bugs, bugs_rules, patches
from tests.chaos.bug_scenarios import SCENARIOS, Stage, a_death, a_unit, other_offsets
from tests.chaos.bugs import BUGS
from tests.chaos.faults import FAULTS

KAFKA = (a_death, a_unit, other_offsets)
EXPECTED = (PipelineError, KafkaError, TimeoutError, asyncio.CancelledError)
"""What a worker's own code raises. Anything else comes from a bug that no longer fits the worker."""
WITHOUT: dict[Any, Any] = {}
"""The results of the scenarios without a bug."""


def with_kafka(name: str) -> bool:
    return getattr(SCENARIOS[name], "func", SCENARIOS[name]) in KAFKA


class Seeded:
    """Applies a bug until the test ends. `calls` counts the calls of its functions, `failed` holds their errors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        self.places: list[str] = []
        self.failed: list[BaseException] = []
        self._monkeypatch = monkeypatch
        for module in (bugs, bugs_rules):
            monkeypatch.setattr(module, "put", self._watched)

    def _watched(self, owner: Any, name: str, value: Any) -> None:
        self._monkeypatch.setattr(owner, name, vars(owner)[name])  # restore it at the end
        patches.put(owner, name, value)
        self.places.append(f"{owner.__name__}.{name}")
        value = vars(owner)[name]
        watched = self._function(value.fget if isinstance(value, property) else value, self.places[-1])
        setattr(owner, name, property(watched) if isinstance(value, property) else watched)

    def _function(self, real: Callable[..., Any], place: str) -> Callable[..., Any]:
        @functools.wraps(real)
        def called(*args: Any, **named: Any) -> Any:
            self.calls[place] += 1
            try:
                return real(*args, **named)
            except EXPECTED:
                raise
            except BaseException as error:
                self.failed.append(error)
                raise

        @functools.wraps(real)
        async def awaited(*args: Any, **named: Any) -> Any:
            self.calls[place] += 1
            try:
                return await real(*args, **named)
            except EXPECTED:
                raise
            except BaseException as error:
                self.failed.append(error)
                raise

        return awaited if inspect.iscoroutinefunction(real) else called


def test_every_bug_has_a_scenario() -> None:
    assert SCENARIOS.keys() == BUGS.keys()
    assert len(BUGS) >= 15


async def bites(name: str, monkeypatch: pytest.MonkeyPatch, find_servers: Callable[[], Servers]) -> None:
    """Check that the bug runs, without errors of its own, and changes the scenario's result."""
    scenario = repr(getattr(SCENARIOS[name], "keywords", None)), getattr(SCENARIOS[name], "func", SCENARIOS[name])
    if scenario not in WITHOUT:
        WITHOUT[scenario] = await SCENARIOS[name](Stage(find_servers))
    seeded = Seeded(monkeypatch)
    BUGS[name]()
    stage = Stage(find_servers, seeded.calls)
    result = await SCENARIOS[name](stage)
    assert seeded.failed == []
    assert [place for place in seeded.places if not seeded.calls[place]] == [], "never called"
    assert result != WITHOUT[scenario]


@pytest.mark.parametrize("name", [name for name in SCENARIOS if not with_kafka(name)])
async def test_each_bug_changes_the_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await bites(name, monkeypatch, lambda: pytest.fail("needs no servers"))


@pytest.mark.broker
@pytest.mark.parametrize("name", [name for name in SCENARIOS if with_kafka(name)])
async def test_each_bug_changes_the_result_on_a_broker(
    name: str, monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> None:
    await bites(name, monkeypatch, lambda: servers)


def test_bite_names_existing_bugs_faults_and_tests() -> None:
    assert BUGS.keys() >= {*bite.SHOWN_BY, *bite.NODES, *bite.IN_THE_CORE}
    shown_by = {name for plan in (*bite.SHOWN_BY.values(), bite.OTHERS) for name in plan.split(",")}
    assert {fault.name for fault in FAULTS} >= shown_by
    assert [name for name in bite.CORE_TESTS if not (ROOT / "tests" / name).is_file()] == []
