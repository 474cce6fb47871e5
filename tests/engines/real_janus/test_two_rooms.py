"""Two rooms of a real Janus with one room_id, without Kafka (`make test-engines`)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.engines.janus.api import JanusApi
from pipeline.engines.rules import commands as c
from testkit.janus import ADMIN_KEY, API_SECRET, Member, RealJanus
from tests.support.real_janus import CDN, engine_of, real_janus, until
from tests.support.sink import ListSink

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
FULL, SHORT = "n1-room-lobby", "lobby"


async def test_two_rooms_of_one_id_are_one(tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus:
        janus.media("long.opus", 60.0)
        engine, sink = engine_of(janus), ListSink()
        task = asyncio.create_task(engine.run(sink))
        try:
            await until(lambda: engine.away_since is None and not engine.no_events, "the bridge is ready")
            assert await engine.perform(c.Create(FULL)) is None
            await make(janus, SHORT)
            async with Member(janus, FULL, "alice"), Member(janus, SHORT, "bob"):
                await until(lambda: len(sink.signals) == 2, "both are announced")
                for member in ("alice", "bob"):
                    assert await engine.perform(c.Mute(FULL, f"n1-{member}")) is None
                assert await engine.perform(c.Play(FULL, "op", (f"{CDN}long.opus",))) is None
                await until(lambda: any(kind == "play.progress" for kind, *_ in sink.said()), "the file plays")
                found = (await engine.snapshot()).rooms[FULL]
                assert {name: member.muted for name, member in found.members.items()} == dict.fromkeys(
                    ("n1-alice", "n1-bob"), True
                )
                assert (found.names, found.playing) == ((FULL, SHORT), "op")
                assert await engine.perform(c.Stop(FULL, "op")) is None
                assert await engine.playing([FULL]) == set()
                assert await engine.perform(c.Leave(FULL, "n1-bob")) is None
                await until(lambda: ("member.left", "n1-bob", "removed") in sink.said(), "bob is out")
                assert await engine.perform(c.Destroy(FULL)) is None
                await until(lambda: ("member.left", "n1-alice", "removed") in sink.said(), "alice is out")
            assert FULL not in (await engine.snapshot()).rooms
            await make(janus, SHORT)
            assert await engine.perform(c.Create(FULL)) is None
            assert (await engine.snapshot()).rooms[FULL].names == (SHORT,)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert {one.room_id for one in sink.signals} <= {FULL, "n1-room-probe"}


async def make(janus: RealJanus, name: str) -> None:
    """Make a room as a client of Janus does."""
    async with JanusApi(janus.url, API_SECRET) as api:
        reply = await api.audiobridge("create", admin_key=ADMIN_KEY, room=name, allow_rtp_participants=True)
        assert not reply.code, reply
