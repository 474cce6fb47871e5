"""What viewers share: lists of rooms and timelines, and how many of them may be open."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.console import feed as feeds
from pipeline.console import history as histories
from pipeline.console import room_hub as hubs
from pipeline.console.feed import Feed
from pipeline.console.history import RoomHistory
from pipeline.console.room_hub import RoomHub, TooManyViewedError
from pipeline.console.room_index import filter_of
from pipeline.core.merge import Record
from pipeline.kafka.ranges import Found
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.codec import signal_json
from pipeline.model.events import Created, Meta
from pipeline.model.signals import ConferenceCreate
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.settings import Settings
from pipeline.view.timeline_reader import Values
from tests.support.commands import PROGRAM, no_servers

SIGNAL = "conference.api.signals/0/5"
META = Meta("e", 1, 1_000_000, "app", "s", None, ends_playback=False, synthetic=False)


def signal() -> Found:
    value = signal_json(ConferenceCreate("s", "r", 1_000_000, "app", "Team"))
    return Found("conference.api.signals", 0, Record(1_000_000, 5, b"r", value, []))


def event(place: str = SIGNAL) -> Found:
    value = ENCODERS[Created](Created("app", "r", "Team", META), framing.head(7))
    return Found("conference.events", 0, Record(1_020_000, 9, b"r", value, [("ce_signal", place.encode())]))


@pytest.fixture
async def history(settings: Settings) -> Any:
    async with Registry(settings) as registry:
        values = Values(registry)
        values.outputs._decoders.learn(7, SCHEMAS[Created.RECORD])
        found = RoomHistory(settings, "r", values, print)
        found.is_read = True
        yield found


async def test_outcome_read_before_its_signal_waits_for_it(history: RoomHistory) -> None:
    history.take(event())
    assert not await history.settle(lambda _: 5, None)
    assert history.lines() == []
    history.take(signal())
    assert await history.settle(lambda _: 6, None)
    [line] = history.lines()
    assert (line.cause, line.delay, [one.name for one in line.results]) == ("create", 20_000, ["created"])


async def test_signal_without_an_outcome_is_open_until_one_comes(history: RoomHistory) -> None:
    history.take(signal())
    assert await history.settle(lambda _: 6, None)
    assert [one.name for one in history.lines()[0].results] == ["open"]
    later = event("conference.api.signals/0/8")
    for seconds in (10, 20):
        record = Record(seconds * 1_000_000, 10 + seconds, b"other", b"", later.record.headers)
        await history.settle(lambda _: 9, Found("conference.events", 0, record))
    assert [one.name for one in history.lines()[0].results] == ["no effect"]


async def test_too_many_records_make_a_timeline_incomplete(
    history: RoomHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "MOST_HELD", 2)
    for _ in range(3):
        history.take(event())
    assert history.is_incomplete


async def test_lists_are_bounded_and_unused_ones_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_LISTS", 3)
    hub = RoomHub(cast(Any, None))
    filters = [filter_of(text, "", "", "", "") for text in "abcde"]
    listings = [await hub.acquire(one) for one in filters[:3]]
    assert await hub.acquire(filters[0]) is listings[0]
    with pytest.raises(TooManyViewedError):
        await hub.acquire(filters[3])
    hub.release(filters[1])
    await hub.acquire(filters[3])
    with pytest.raises(TooManyViewedError):
        await hub.acquire(filters[1])
    hub.close()


async def test_histories_are_bounded_and_unused_ones_go_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MOST_HISTORIES", 2)
    feed = Feed(settings, print, lambda _: None)
    async with Registry(settings) as registry:
        feed._values = Values(registry)
        one = feed.acquire("one", 0)
        feed.acquire("two", 0)
        assert feed.acquire("one", 0) is one
        with pytest.raises(TooManyViewedError):
            feed.acquire("three", 0)
        feed.release("two")
        feed.acquire("three", 0)
        assert feed.current("two") is None
        assert feed.current("one") is one
        await feed._cancel()


def test_console_for_others_needs_a_token(tmp_path: Path) -> None:
    servers = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
    env = no_servers(tmp_path, CONSOLE_HTTP_HOST="0.0.0.0", **servers)
    done = subprocess.run([*PROGRAM, "console"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "set CONSOLE_TOKEN or CONSOLE_TOKEN_FILE" in done.stderr
