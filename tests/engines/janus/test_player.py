"""Playing, going on and stopping, with a fake Janus."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.engine import Playback
from pipeline.engines.rules import commands as c
from tests.support.fake_janus import FakeJanus, FakeRoom
from tests.support.janus_engine import CDN, ROOM, URLS, connected, until

pytestmark = pytest.mark.timeout(300)


async def test_the_files_of_a_playback_play_one_after_the_other() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        for number in range(3):
            await until(lambda number=number: list(fake.rooms[ROOM].files) == [f"op#{number}"])
            await fake.finish(ROOM, f"op#{number}")
        await until(lambda: len(own.sink.signals) == 6)
        assert [one[0] for one in own.sink.said()] == ["play.progress", "play.finished"] * 3
        assert [one[2] for one in own.sink.said()] == [url for url in URLS for _ in range(2)]
        await asyncio.sleep(0.1)
        assert fake.rooms[ROOM].files == {}


async def test_a_file_that_cannot_follow_is_reported() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.missing.add("/media/b.opus")
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        await fake.finish(ROOM, "op#0")
        await until(lambda: len(own.sink.signals) == 3)
        failed: Any = own.sink.signals[2]
        assert (failed.TYPE, failed.operation_id, failed.urls) == ("play.failed", "op", (URLS[1],))


@pytest.mark.parametrize("operation_id", ["op", None])
async def test_a_stop_is_not_reported_and_nothing_follows(operation_id: str | None) -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op", URLS))
        await until(lambda: own.sink.signals)
        assert await own.engine.perform(c.Stop(ROOM, operation_id)) is None
        await own.engine.perform(c.Play(ROOM, "op-2", URLS))
        await until(lambda: len(own.sink.signals) == 2)
        assert [one[:2] for one in own.sink.said()] == [("play.progress", "op"), ("play.progress", "op-2")]
        assert list(fake.rooms[ROOM].files) == ["op-2#0"]


async def test_a_stop_of_an_older_playback_leaves_the_newer() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        await own.engine.perform(c.Play(ROOM, "op-2", URLS))
        assert await own.engine.perform(c.Stop(ROOM, "op-1")) is None
        assert list(fake.rooms[ROOM].files) == ["op-2#0"]
        await fake.finish(ROOM, "op-2#0")
        await until(lambda: list(fake.rooms[ROOM].files) == ["op-2#1"])


async def test_files_of_others_are_seen_and_stopped() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await own.engine.perform(c.Create(ROOM))
        fake.rooms[ROOM].files["stray"] = "/x"
        await fake.happen("announcement-started", ROOM, file_id="stray")
        await until(lambda: own.sink.signals)
        assert (await own.engine.snapshot()).rooms[ROOM].playing == "stray"
        assert await own.engine.perform(c.Stop(ROOM)) is None
        await asyncio.sleep(0.1)
        assert (fake.rooms[ROOM].files, len(own.sink.signals)) == ({}, 1)


async def test_a_restarted_bridge_learns_what_plays_from_the_view() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        room = fake.rooms[ROOM] = FakeRoom()
        room.files["op#1"] = "/media/b.opus"
        play = c.Play(ROOM, "op", URLS)
        assert await own.engine.playing([ROOM]) == set()
        own.sink.live[ROOM] = Playback("op", URLS, 1)
        assert await own.engine.playing([ROOM]) == {ROOM}
        assert (await own.engine.snapshot()).rooms[ROOM].playing == "op"
        assert await own.engine.knows(play)
        await fake.finish(ROOM, "op#1")
        await until(lambda: list(room.files) == ["op#2"])
        assert own.sink.said()[0] == ("play.finished", "op", URLS[1])


async def test_a_playlist_goes_on_after_a_restart() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        room = fake.rooms[ROOM] = FakeRoom()
        own.sink.live[ROOM] = Playback("op", URLS, 0)
        await fake.happen("announcement-stopped", ROOM, file_id="op#0")
        await until(lambda: list(room.files) == ["op#1"])
        assert not await own.engine.knows(c.Play(ROOM, "other", URLS))


async def test_a_playback_that_was_begun_before_can_be_stopped() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.rooms[ROOM] = FakeRoom()
        fake.rooms[ROOM].files["op#127"] = "/x"
        assert await own.engine.perform(c.Stop(ROOM, "op")) is None
        assert fake.rooms[ROOM].files == {}


def test_a_path_leaves_its_folder_by_no_link(tmp_path: Path) -> None:
    from pipeline.engines.media_files import FileMap, UnfitError

    (folder := tmp_path / "media").mkdir()
    (folder / "out").symlink_to(tmp_path)
    files = FileMap([(CDN, str(folder))])
    assert files.path(f"{CDN}a b.opus") == f"{folder}/a b.opus"
    assert files.path("https://elsewhere/a.opus") is None
    with pytest.raises(UnfitError):
        files.path(f"{CDN}out/a.opus")
