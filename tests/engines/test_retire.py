"""A node whose engine and bridge are gone is ended by hand, on a real Kafka."""

from __future__ import annotations

import time

import pytest

from pipeline.engines import retire
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.rules.ids import Node
from pipeline.model import signals as s
from pipeline.model.records import Engine
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
ENGINE = Engine("freeswitch", "1", ("play",), 1, -1, 0)


async def test_everyone_leaves_a_retired_node_only(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retire, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(retire, "MARGIN_SECONDS", 0.2)
    at = s.Micros(time.time_ns() // 1000)
    async with ClaimHolder(pipe.settings, "n1", lambda: ENGINE, lambda _: None) as claim:
        await claim.take()
    with pipe.worker():
        joined = [s.MemberJoined(f"j{n}", f"n{n}-room-1", at, f"n{n}-u", "caller") for n in (1, 2)]
        await pipe.send(*joined)
        await pipe.until_events(2)
        assert await retire.retire(pipe.settings, Node("n1"), lambda _: None) == 1
        left = [event for event in await pipe.until_events(3) if event["event"] == "conference.member.left"]
    assert [(event["session_uuid"], event["reason"]) for event in left] == [("n1-u", "orphan")]
    async with ClaimHolder(pipe.settings, "n3", lambda: ENGINE, lambda _: None) as claim:
        assert claim.last == {}
