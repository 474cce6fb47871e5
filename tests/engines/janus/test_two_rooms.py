"""Two rooms of the AudioBridge with one room_id, `lobby` and `n1-room-lobby`: one room with the members of both."""

from __future__ import annotations

import pytest

from pipeline.engines.janus.adapter import Adapter
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from tests.support.fake_janus import FakeJanus, FakeRoom
from tests.support.janus import core, event, fed, short, signals_of
from tests.support.janus_engine import URLS, connected

pytestmark = pytest.mark.timeout(300)
FULL, SHORT = "n1-room-lobby", "lobby"


# --- the adapter ---


def test_members_of_both_are_announced_until_the_last_ends() -> None:
    found = signals_of(
        "n1",
        event("joined", 1, id="a", room=FULL),
        event("joined", 2, id="b", room=SHORT),
        event("announcement-started", 3, file_id="op#0", room=SHORT),
        event("mute", 4, id="b", room=SHORT),
        event("destroyed", 5, room=FULL),
        event("destroyed", 6, room=SHORT),
    )
    assert {one.room_id for one in found} == {FULL}
    assert short(found) == [
        "lobby joined a", "lobby joined b", "lobby progress op", "lobby muted b", "lobby left a removed",
        "lobby failed op", "lobby left b removed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "ends",
    [
        [event("left", 3, id="a", room=SHORT), event("left", 4, id="a", room=FULL)],
        [event("left", 3, id="a", room=FULL), event("left", 4, id="a", room=SHORT)],
        [event("destroyed", 3, room=FULL), event("left", 4, id="a", room=SHORT)],
    ],
)
def test_who_is_in_both_leaves_the_last(ends: list[dict[str, object]]) -> None:
    adapter = Adapter(Node("n1"))
    fed(adapter, event("joined", 1, id="a", room=FULL), event("joined", 2, id="a", room=SHORT))
    assert [short(output.signals) for output in fed(adapter, *ends)] == [[], ["lobby left a hangup"]]
    assert not adapter._rooms


def test_who_is_in_both_leaves_once_at_a_restart() -> None:
    found = signals_of(
        "n1", event("joined", 1, id="a", room=FULL), event("joined", 2, id="a", room=SHORT), core(time=3)
    )
    assert short(found)[2:] == ["lobby left a orphan"]


def test_a_snapshot_clears_who_has_left_unseen() -> None:
    adapter = Adapter(Node("n1"))
    fed(adapter, event("joined", 1, id="a", room=SHORT), event("joined", 2, id="a", room=FULL))
    adapter.keep({SHORT: {"n1-b"}, FULL: {"n1-a"}})
    [output] = fed(adapter, event("left", 3, id="a", room=FULL))
    assert short(output.signals) == ["lobby left a hangup"]
    assert not adapter._rooms
    assert adapter._members == 0


def test_a_snapshot_changes_nothing_in_single_rooms() -> None:
    adapter = Adapter(Node("n1"))
    fed(adapter, event("joined", 1, id="a", room=FULL))
    adapter.keep({})
    assert adapter._rooms[FULL].members == {"n1-a": False}


def test_the_files_of_both_are_known() -> None:
    adapter = Adapter(Node("n1"))
    fed(
        adapter,
        *(event("announcement-started", n, file_id=f"op{n}", room=room) for n, room in enumerate((SHORT, FULL))),
    )
    assert adapter.files(FULL) == ["op1", "op0"]


# --- commands ---


async def test_commands_reach_both_rooms() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        await fake.join(SHORT, "b")
        play = c.Play(FULL, "op", URLS[:1])
        assert await own.engine.perform(play) is None
        await fake.join(FULL, "a", muted=True)
        for member in "ab":
            assert await own.engine.perform(c.Mute(FULL, f"n1-{member}")) is None
        assert fake.rooms[SHORT].members["b"]["muted"]
        found = (await own.engine.snapshot()).rooms
        assert [(name, *one.members, one.playing, one.names) for name, one in found.items()] == [
            (FULL, "n1-b", "n1-a", "op", (FULL, SHORT))
        ]
        assert await own.engine.knows(play)
        assert await own.engine.playing([FULL]) == {FULL}
        assert await own.engine.perform(c.Stop(FULL, "op")) is None
        assert not fake.rooms[SHORT].files
        assert await own.engine.perform(c.Leave(FULL, "n1-b")) is None
        assert not fake.rooms[SHORT].members
        refused = await own.engine.perform(c.Leave(FULL, "n1-none"))
        assert refused == c.Refused("error 492: No such user")
        assert await own.engine.perform(c.Destroy(FULL)) is None
        assert not fake.rooms


async def test_a_create_makes_no_second_room() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        fake.rooms[SHORT] = FakeRoom()
        assert await own.engine.perform(c.Create(FULL)) is None
        assert [*fake.rooms] == [SHORT]


async def test_a_room_of_others_does_not_count_as_made() -> None:
    async with FakeJanus() as fake, connected(fake) as own:
        assert await own.engine.perform(c.Create(FULL)) is None
        assert (await own.engine.snapshot()).rooms[FULL].made
        fake.rooms[SHORT] = FakeRoom()
        assert not (await own.engine.snapshot()).rooms[FULL].made
