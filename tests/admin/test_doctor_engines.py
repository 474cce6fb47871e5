"""The check of engine nodes: on records of a real topic, and its findings."""

from __future__ import annotations

import pytest

from pipeline.admin.doctor.engines import Last, judge
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.model.records import Engine
from testkit.pipe import Pipe
from tests.support.doctor import examined

ENGINE = Engine("freeswitch", "1.10", ("play",), 2, -1, 0)


def test_a_node_is_announced_for_thirty_seconds() -> None:
    last = {"n1": Last(ENGINE, 100.0), "n2": Last(ENGINE, 60.0)}
    fresh, old = judge(last, 105.0, "progress")
    assert (fresh.state, fresh.found) == ("ok", "node n1: freeswitch 1.10, announced 5 s ago, 2 rooms")
    assert (old.state, old.remedy) == (
        "warning", "start it; if the engine is gone for good, `conference-pipeline engine retire n2`"
    )  # fmt: skip


def test_dispatch_is_warned_of_while_nodes_are_announced() -> None:
    last = {"n1": Last(ENGINE, 100.0)}
    assert [one.state for one in judge(last, 105.0, "dispatch")] == ["ok", "warning"]
    assert [one.state for one in judge(last, 200.0, "dispatch")] == ["warning"]
    assert [one.state for one in judge({}, 200.0, "dispatch")] == ["ok"]


def test_a_strange_name_is_shown_quoted_and_on_one_line() -> None:
    [line] = judge({"a\n; reboot": Last(None, 0.0)}, 100.0, "progress")
    assert "\n" not in line.found + line.remedy
    assert line.remedy.endswith("; reboot'`")


@pytest.mark.broker
async def test_nodes_are_read_from_the_topic(pipe: Pipe) -> None:
    async with ClaimHolder(pipe.settings, "n1", lambda: ENGINE, lambda _: None) as claim:
        await claim.take()
        found = (await examined(pipe))["engines"]
        assert [line.state for line in found] == ["ok", "warning"]
        assert found[0].found.startswith("node n1: freeswitch 1.10, announced ")
        assert len((await examined(pipe, PIPELINE_WATCHDOG_MODE="progress"))["engines"]) == 1
        await claim.retire()
    [line] = (await examined(pipe))["engines"]
    assert line.found == "no engine node is announced: no bridge runs"
