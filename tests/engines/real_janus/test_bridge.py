"""The bridge of Janus with a real Janus, a real Kafka and real workers (`make test-engines`)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.engines.janus.api import JanusApi
from pipeline.engines.janus.rooms import room_secret
from pipeline.model import signals as s
from pipeline.view import RoomsView
from testkit.janus import ADMIN_KEY, API_SECRET, Member, RealJanus
from testkit.pipe import Pipe
from tests.support.real_janus import CDN, ROOM, SECONDS, api, bridged, line, real_janus, until, until_it

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


async def until_lines(pipe: Pipe, number: int) -> list[str]:
    return [line(one) for one in await pipe.until_events(number, SECONDS)]


async def test_a_conference_with_everything_janus_can_do(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker(PIPELINE_WATCHDOG_MODE="progress", PIPELINE_WATCHDOG_SECONDS="6"):
        for name, seconds in {"a": 1.0, "b": 1.0, "nine": 9.0, "long": 60.0}.items():
            janus.media(f"{name}.opus", seconds)
        (janus.media_folder / "corrupt.opus").write_bytes(b"OggS" + b"x" * 100)
        async with bridged(pipe, janus), contextlib.AsyncExitStack() as members:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "Standup"))
            await until_it(lambda: exists(janus, ROOM), "the room")
            alice = await members.enter_async_context(Member(janus, ROOM, "alice", "+15550100101"))
            await until_lines(pipe, 2)
            bob = await members.enter_async_context(Member(janus, ROOM, "bob", "+15550100102", muted=True))
            await until_lines(pipe, 4)
            await pipe.send(api(s.ConferenceMute, 2, "n1-alice"), api(s.ConferenceMute, 3, "n1-alice"))
            await until_it(lambda: is_muted(janus, "alice"), "the mute")
            await pipe.send(api(s.ConferenceUnmute, 4, "n1-alice"))
            await until_lines(pipe, 6)
            await bob.request("configure", muted=False)
            await until_lines(pipe, 7)
            await pipe.send(api(s.ConferencePlay, 5, (f"{CDN}a.opus", f"{CDN}b.opus"), "list"))
            await until_lines(pipe, 10)
            await pipe.send(api(s.ConferencePlay, 6, (f"{CDN}nine.opus",), "longer-than-the-watchdog"))
            await until_lines(pipe, 12)
            await pipe.send(api(s.ConferencePlay, 7, (f"{CDN}long.opus",), "to-stop"))
            await until_it(lambda: plays(janus, "to-stop#0"), "the play")
            await pipe.send(api(s.ConferenceStop, 8, "stop"))
            await until_it(lambda: silent(janus, "to-stop#0"), "the stop")
            await pipe.send(api(s.ConferencePlay, 9, (f"{CDN}missing.opus",), "missing"))
            await until_lines(pipe, 16)
            await pipe.send(api(s.ConferencePlay, 10, (f"{CDN}a.opus", f"{CDN}missing.opus"), "half"))
            await until_lines(pipe, 19)
            await pipe.send(api(s.ConferencePlay, 11, ("https://elsewhere.example.com/a.opus",), "unmapped"))
            await until_lines(pipe, 21)
            await pipe.send(api(s.ConferencePlay, 12, (f"{CDN}corrupt.opus",), "corrupt"))
            await until_lines(pipe, 23)
            await pipe.send(api(s.ConferenceLeave, 13, "n1-alice"))
            await until_lines(pipe, 24)
            await bob.request("leave")
            await bob.join(ROOM)
            await until_lines(pipe, 27)
            carl = await members.enter_async_context(Member(janus, ROOM, "carl", "+15550100103"))
            await until_lines(pipe, 28)
            await carl.__aexit__()
            await until_lines(pipe, 29)
            await pipe.send(api(s.ConferencePlay, 14, (f"{CDN}long.opus",), "to-the-end"))
            await until_it(lambda: plays(janus, "to-the-end#0"), "the play")
            await pipe.send(api(s.ConferenceDestroy, 15))
            await until_it(lambda: is_gone(janus, ROOM), "the destroy")
            await until_lines(pipe, 33)
            await asyncio.sleep(2.0)  # what is reported late, or twice
            found = [line(one) for one in await pipe.events()]
            del alice
    assert found == [
        "created",
        "member.joined n1-alice +15550100101",
        "member.joined n1-bob +15550100102",
        "member.muted n1-bob",
        "member.muted n1-alice",
        "member.unmuted n1-alice",
        "member.unmuted n1-bob",
        "play.started list a.opus b.opus",
        "play.finished list a.opus",
        "play.finished list b.opus",
        "play.started longer-than-the-watchdog nine.opus",
        "play.finished longer-than-the-watchdog nine.opus",
        "play.started to-stop long.opus",
        "play.stopped stop",
        "play.started missing missing.opus",
        "play.failed missing missing.opus playback_error",
        "play.started half a.opus missing.opus",
        "play.finished half a.opus",
        "play.failed half missing.opus playback_error",
        "play.started unmapped https://elsewhere.example.com/a.opus",
        "play.failed unmapped https://elsewhere.example.com/a.opus playback_error",
        "play.started corrupt corrupt.opus",
        "play.failed corrupt corrupt.opus playback_timeout",
        "member.left n1-alice removed",
        "member.left n1-bob removed",
        "member.joined n1-bob +15550100102",
        "member.muted n1-bob",
        "member.joined n1-carl +15550100103",
        "member.left n1-carl hangup",
        "play.started to-the-end long.opus",
        "play.stopped to-the-end",
        "member.left n1-bob removed",
        "destroyed",
    ]
    assert await pipe.records("signals.rejected") == []
    assert await pipe.records("signals.dead") == []


async def test_what_janus_cannot_do_is_not_announced_and_fails(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker():
        janus.media("long.opus", 60.0)
        async with bridged(pipe, janus) as bridge:
            assert bridge._record().capabilities == ("create", "destroy", "leave", "mute", "play", "stop")
            await pipe.send(
                api(s.ConferenceCreate, 1, "app", "name"), api(s.ConferencePlay, 2, (f"{CDN}long.opus",), "op")
            )
            await until_it(lambda: plays(janus, "op#0"), "the play")
            await pipe.send(
                api(s.ConferencePause, 3, "r-1"), api(s.ConferenceVolume, 4, 3, "r-2"), api(s.ConferenceJoin, 5, "n1-a")
            )
            unable = bridge.metrics.commands
            await until(
                lambda: all(unable.labels(one, "unable")._value.get() == 1 for one in ("pause", "volume", "join")),
                "three",
            )
            assert await plays(janus, "op#0")


async def test_an_audit_repairs_what_no_event_reported(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        janus.media("a.opus", 1.0)
        async with bridged(pipe, janus, events=False) as bridge, contextlib.AsyncExitStack() as members:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"))
            await until_it(lambda: exists(janus, ROOM), "the room")
            alice = await members.enter_async_context(Member(janus, ROOM, "alice", "+15550100101"))
            bob = await members.enter_async_context(Member(janus, ROOM, "bob", "+15550100102", muted=True))
            bridge.doubt("joins")
            await until_lines(pipe, 4)
            await alice.request("configure", muted=True)
            await bob.request("configure", muted=False)
            bridge.doubt("mutes")
            await until_lines(pipe, 6)
            await bob.request("leave")
            await pipe.send(api(s.ConferencePlay, 2, (f"{CDN}a.opus",), "op"))
            await until_lines(pipe, 7)
            await until_it(lambda: silent(janus, "op#0"), "the end of the file")
            bridge.doubt("a left and an end")
            await until_lines(pipe, 9)
            found = [line(one) for one in await pipe.events()]
    assert sorted(found[1:4]) == [
        "member.joined n1-alice +15550100101",
        "member.joined n1-bob +15550100102",
        "member.muted n1-bob",
    ]
    assert sorted(found[4:6]) == ["member.muted n1-alice", "member.unmuted n1-bob"]
    assert sorted(found[6:9]) == [
        "member.left n1-bob orphan",
        "play.failed op a.opus playback_error",
        "play.started op a.opus",
    ]


async def test_an_audit_makes_and_deletes_rooms_and_stops_files(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker():
        janus.media("long.opus", 60.0)
        async with bridged(pipe, janus) as bridge:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"))
            await until_it(lambda: exists(janus, ROOM), "the room")
            rooms = bridge._engine._rooms  # type: ignore[attr-defined]
            await rooms.destroy(ROOM)
            await rooms.create("n1-room-stray")
            bridge.doubt("rooms")
            await until_it(lambda: exists(janus, ROOM), "the room is made again")
            await until_it(lambda: is_gone(janus, "n1-room-stray"), "the stray room is deleted")
            stray = {"filename": str(janus.media_folder / "long.opus"), "file_id": "stray"}
            assert (await rooms.in_room(ROOM, "play_file", **stray)).code == 0
            await until_it(lambda: plays(janus, "stray"), "the stray file")
            bridge.doubt("a file")
            await until_it(lambda: silent(janus, "stray"), "the stray file is stopped")
            assert [line(one) for one in await pipe.events()] == ["created"]


async def test_rooms_of_others_are_left_alone(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker():
        async with admin(janus) as own:
            await own.audiobridge("create", room="lobby", admin_key=ADMIN_KEY, allow_rtp_participants=True)
        async with bridged(pipe, janus) as bridge, Member(janus, "lobby", "alice", "+15550100101"):
            found = await pipe.until_events(1, SECONDS)
            assert (found[0]["room_id"], found[0]["session_uuid"]) == ("n1-room-lobby", "n1-alice")
            await pipe.send(api(s.ConferenceMute, 1, "n1-alice", room="n1-room-lobby"))
            await until_it(lambda: is_muted(janus, "alice", "lobby"), "the mute by the short name")
            audits = bridge.metrics.audits
            done = audits._value.get()
            bridge.doubt("the test")
            await until(lambda: audits._value.get() > done, "an audit")
            assert await exists(janus, "lobby")


async def test_a_killed_bridge_goes_on_with_a_playlist(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        janus.media("long.opus", 20.0)
        janus.media("a.opus", 1.0)
        urls = (f"{CDN}long.opus", f"{CDN}a.opus", f"{CDN}a.opus")
        async with bridged(pipe, janus, kill=True):
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"), api(s.ConferencePlay, 2, urls, "op"))
            await until_it(lambda: plays(janus, "op#0"), "the play")
        async with bridged(pipe, janus):
            await until_lines(pipe, 5)
            await pipe.send(api(s.ConferencePlay, 3, (f"{CDN}long.opus",), "last"))
            await until_it(lambda: plays(janus, "last#0"), "the play")
        async with bridged(pipe, janus):
            await pipe.send(api(s.ConferenceStop, 4, "stop"))
            await until_it(lambda: silent(janus, "last#0"), "the stop of what another bridge began")
            found = await until_lines(pipe, 7)
    assert found == [
        "created",
        "play.started op long.opus a.opus a.opus",
        "play.finished op long.opus",
        "play.finished op a.opus",
        "play.finished op a.opus",
        "play.started last long.opus",
        "play.stopped stop",
    ]


async def test_a_killed_janus_is_made_as_it_was(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        janus.media("long.opus", 60.0)
        async with bridged(pipe, janus) as bridge:
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"))
            await until_it(lambda: exists(janus, ROOM), "the room")
            async with contextlib.AsyncExitStack() as members:
                await members.enter_async_context(Member(janus, ROOM, "alice", "+15550100101"))
                await pipe.send(api(s.ConferencePlay, 2, (f"{CDN}long.opus",), "op"))
                await until_it(lambda: plays(janus, "op#0"), "the play")
                await until_lines(pipe, 3)
                janus.kill()
                await until(lambda: bridge.not_ready() is not None, "away")
            janus.start()
            await until_it(lambda: exists(janus, ROOM), "the room is made again")
            found = await until_lines(pipe, 5)
            await pipe.send(api(s.ConferencePlay, 3, (f"{CDN}long.opus",), "again"))
            await until_it(lambda: plays(janus, "again#0"), "the next play")
    assert sorted(found[3:]) == ["member.left n1-alice orphan", "play.failed op long.opus playback_error"]


async def test_everyone_leaves_a_janus_that_stays_away(pipe: Pipe, tmp_path: Path) -> None:
    with real_janus(tmp_path) as janus, pipe.worker():
        async with bridged(pipe, janus, away_seconds=1.0):
            await pipe.send(api(s.ConferenceCreate, 1, "app", "name"))
            await until_it(lambda: exists(janus, ROOM), "the room")
            async with Member(janus, ROOM, "alice"):
                await until_lines(pipe, 2)
                janus.kill()
                found = await until_lines(pipe, 3)
    assert found[2] == "member.left n1-alice orphan"


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_random_faults_the_view_equals_janus(pipe: Pipe, tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    rooms = [f"n1-room-{number}" for number in range(3)]
    with real_janus(tmp_path) as janus, pipe.worker(PIPELINE_WATCHDOG_SECONDS="600"):
        async with RoomsView(pipe.settings) as view, Crowd(janus, source, rooms) as crowd:
            await view.loaded()
            await pipe.send(*(api(s.ConferenceCreate, n, "app", room, room=room) for n, room in enumerate(rooms)))
            for _ in range(2):
                async with bridged(pipe, janus, kill=True):
                    await until_it(lambda: all_exist(janus, rooms), "the rooms")
                    await crowd.act(60)
                    janus.kill()
                    await crowd.forget()
                    janus.start()
                    await until_it(lambda: all_exist(janus, rooms), "the rooms are made again")
                    await crowd.act(30)
                await crowd.act(10)  # while no bridge runs
            async with bridged(pipe, janus):
                await until_it(lambda: agree(view, janus), f"view {shown(view)}")


class Crowd:
    """Members that come and go at random."""

    def __init__(self, janus: RealJanus, source: random.Random, rooms: list[str]) -> None:
        self._janus, self._source, self._rooms = janus, source, rooms
        self._members: dict[str, Member] = {}
        self._in: dict[str, str] = {}

    async def __aenter__(self) -> Crowd:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.forget()

    async def forget(self) -> None:
        for member in self._members.values():
            await member.__aexit__()
        self._members.clear()

    async def act(self, times: int) -> None:
        for _ in range(times):
            name, choice = f"m{self._source.randrange(12)}", self._source.randrange(10)
            member = self._members.get(name)
            if member is None:
                self._in[name] = self._source.choice(self._rooms)
                self._members[name] = Member(self._janus, self._in[name], name, muted=choice < 3)
                await self._members[name].__aenter__()
            elif choice < 4:
                await self._members.pop(name).__aexit__()
            elif choice < 7:
                await member.request("configure", muted=choice < 6)
            else:
                self._in[name] = self._source.choice([one for one in self._rooms if one != self._in[name]])
                await member.request("changeroom", room=self._in[name], id=name)
            await asyncio.sleep(self._source.random() * 0.05)


# --- what Janus has, asked by another session ---


@contextlib.asynccontextmanager
async def admin(janus: RealJanus) -> AsyncIterator[JanusApi]:
    async with JanusApi(janus.url, API_SECRET) as found:
        yield found


async def exists(janus: RealJanus, room: str) -> bool:
    async with admin(janus) as own:
        return (await own.audiobridge("exists", room=room)).data["exists"] is True


async def all_exist(janus: RealJanus, rooms: list[str]) -> bool:
    return all([await exists(janus, one) for one in rooms])


async def is_gone(janus: RealJanus, room: str) -> bool:
    return not await exists(janus, room)


async def members_of(janus: RealJanus, room: str) -> dict[str, bool]:
    async with admin(janus) as own:
        found = (await own.audiobridge("listparticipants", room=room)).data.get("participants", ())
        return {one["id"]: one["muted"] for one in found}


async def is_muted(janus: RealJanus, member: str, room: str = ROOM) -> bool:
    return (await members_of(janus, room)).get(member) is True


async def plays(janus: RealJanus, file_id: str) -> bool:
    async with admin(janus) as own:
        secret = room_secret(ADMIN_KEY, ROOM)
        found = await own.audiobridge("is_playing", room=ROOM, file_id=file_id, secret=secret)
        return found.data.get("playing") is True


async def silent(janus: RealJanus, file_id: str) -> bool:
    return not await plays(janus, file_id)


def shown(view: RoomsView) -> set[tuple[str, str, bool]]:
    return {
        (room_id, one.session_uuid, one.muted) for room_id in view.room_ids(node="n1") for one in view.members(room_id)
    }


async def agree(view: RoomsView, janus: RealJanus) -> bool:
    found = {
        (room, f"n1-{member}", muted)
        for room in (f"n1-room-{number}" for number in range(3))
        for member, muted in (await members_of(janus, room)).items()
    }
    return not view.stale and shown(view) == found
