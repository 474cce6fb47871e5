"""The view while servers fail: brokers that are frozen in turn, markers that one partition lacks, compaction."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.devstack import Stack
from pipeline.view import Outcomes, Place, RoomsView, StaleViewError
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers
from tests.support.view import append, check_view, decided, expected, shown, timeless, watching
from tests.worker.test_broken_batches import allow
from tests.worker.test_hanging_transactions import CREATE, hang, verify_partitions

pytestmark = pytest.mark.broker
PATIENT = {"PIPELINE_WATCHDOG_SECONDS": "600", "PIPELINE_SESSION_TIMEOUT_SECONDS": "30"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Servers]:
    """Three brokers, which a test may freeze and compact often."""
    stack = Stack(
        f"{PREFIX}{os.getpid()}-view-{secrets.token_hex(3)}",
        nodes=3,
        heap_mb=256,
        extra_properties={"log.cleaner.backoff.ms": "500"},
    )
    try:
        status = stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        yield Servers(status.bootstrap_servers, status.schema_registry_url, "view", stack)
    finally:
        stack.down()


async def until_stale(view: RoomsView, wanted: bool, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while view.stale is not wanted:
        assert time.monotonic() < limit, view.why_stale
        await asyncio.sleep(0.05)


async def test_frozen_brokers_make_the_view_stale_and_nothing_wrong(cluster: Servers) -> None:
    """Each of three brokers is frozen for longer than the view's 5 s while signals are sent."""
    stack = cluster.stack
    assert stack is not None
    pipe = Pipe(cluster)
    await pipe.set_up()
    signals = timeless(5, 400)
    async with watching(pipe.settings) as (view, outcomes):
        with pipe.worker(**PATIENT):
            sending = asyncio.create_task(append(pipe.settings, signals))
            for node in (1, 2, 3):
                await asyncio.to_thread(stack.kill, f"kafka-{node}", signal.SIGSTOP)
                try:
                    await until_stale(view, True)
                    with pytest.raises(StaleViewError, match="has not answered for"):
                        view.room_ids()
                finally:
                    await asyncio.to_thread(stack.kill, f"kafka-{node}", signal.SIGCONT)
                await until_stale(view, False)
            places = await asyncio.wait_for(sending, 120)
            model, wanted = decided(signals)
            for place, one in zip(places, wanted, strict=True):
                if expected(one) is not None:
                    found = outcomes.get(place) or await asyncio.wait_for(outcomes.outcome(place), 60)
                    assert shown(found) == expected(one)
            for place in {place[:2]: place for place in places}.values():
                await asyncio.wait_for(view.caught_up(place), 60)
            check_view(view, model)


async def test_compaction_of_the_topic_changes_nothing(cluster: Servers) -> None:
    pipe = Pipe(cluster, partitions=1)
    await pipe.set_up()
    await allow(pipe, "rooms", {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "cleanup.policy": "compact",
                                "max.message.bytes": str(4 << 20), "min.compaction.lag.ms": "0"})  # fmt: skip
    signals = timeless(6, 400)
    async with watching(pipe.settings) as (followed, _):
        with pipe.worker(**PATIENT):
            places = await append(pipe.settings, signals)
            nothing = {**signals[0], "type": "conference.leave", "room_id": "other", "session_uuid": "x"}  # rejected
            await asyncio.wait_for(followed.caught_up(places[-1]), 60)  # the worker has written all rows
            written = await pipe.records("rooms")
            limit = time.monotonic() + 120
            while sum(row.offset <= written[-1].offset for row in await pipe.records("rooms")) == len(written):
                assert time.monotonic() < limit, f"all {len(written)} rows are left"
                places += await append(pipe.settings, [nothing])
                await asyncio.sleep(1)
            await asyncio.wait_for(followed.caught_up(places[-1]), 30)
        async with RoomsView(pipe.settings) as view:
            await asyncio.wait_for(view.loaded(), 30)
            assert set(view.room_ids()) == set(followed.room_ids())
            for room_id in view.room_ids():
                assert (view.room(room_id), view.members(room_id)) == (
                    followed.room(room_id),
                    followed.members(room_id),
                )
            assert view.counts == followed.counts
            check_view(view, decided(signals)[0])


@pytest.fixture
def unverified(servers: Servers) -> Iterator[None]:
    """A broker that does not verify partitions, so that a transaction can lose a marker."""
    verify_partitions(servers, "false")
    yield
    verify_partitions(servers, "true")


@pytest.mark.usefixtures("unverified")
async def test_a_position_without_its_marker_is_not_reached(pipe: Pipe, tmp_path: Path) -> None:
    """The event is visible and the row is not: markers are written partition by partition."""
    place = Place(pipe.topic("api.signals"), pipe.partition(CREATE.room_id), 1)
    async with RoomsView(pipe.settings) as view, Outcomes(pipe.settings) as outcomes:
        await view.loaded()
        (await hang(pipe, tmp_path, ".rooms")).kill()
        assert (await asyncio.wait_for(outcomes.outcome(place), 10)).kind == "events"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(view.caught_up(place), 1)
            pytest.fail("the view was caught up without the row")
        room = view.room(CREATE.room_id)
        assert room is not None
        assert room.sequence == 1
        with pipe.worker():
            await asyncio.wait_for(view.caught_up(place), 60)
        room = view.room(CREATE.room_id)
        assert room is not None
        assert room.sequence == 2
