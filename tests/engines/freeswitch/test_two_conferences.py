"""Two conferences with one room_id, `lobby` and `n1-room-lobby`: one room with the members of both."""

from __future__ import annotations

import pytest

from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.engines.rules import commands as c
from testkit.fake_freeswitch import FakeFreeSwitch
from tests.engines.freeswitch.test_engine import URL, connected
from tests.support.freeswitch import all_of, event, fed, hangup_complete, member, short

pytestmark = pytest.mark.timeout(300)
FULL, SHORT = "n1-room-lobby", "lobby"
IN_FULL = {"Conference_Name": FULL, "Conference_Unique_ID": "1"}
IN_SHORT = {"Conference_Name": SHORT, "Conference_Unique_ID": "2"}
HANGS_UP = {"Hangup_Cause": "NORMAL_CLEARING"}


# --- the adapter ---


def test_members_of_both_are_announced_until_the_last_ends() -> None:
    adapter = Adapter(node="n1")
    found = fed(
        adapter,
        member("add-member", **IN_FULL),
        member("add-member", Unique_ID="b", **IN_SHORT),
        member("mute-member", **IN_FULL),
        member("add-member", Unique_ID="c", **IN_FULL),
        event("conference-destroy", **IN_FULL),
        member("mute-member", Unique_ID="b", **IN_SHORT),
        event("conference-destroy", **IN_SHORT),
    )
    assert {one.room_id for one in found.signals} == {FULL}
    assert short(found.signals) == [
        "joined n1-a", "joined n1-b", "muted n1-a", "joined n1-c", "left n1-a orphan", "left n1-c orphan",
        "muted n1-b", "left n1-b orphan",
    ]  # fmt: skip
    assert found.reports == []


def test_each_conference_has_its_own_size() -> None:
    adapter = Adapter(node="n1")
    found = fed(
        adapter,
        event("conference-create", Conference_Size="0", **IN_FULL),
        member("add-member", Conference_Size="1", **IN_FULL),
        event("conference-create", Conference_Size="0", **IN_SHORT),
        member("add-member", Unique_ID="b", Conference_Size="1", **IN_SHORT),
        member("add-member", Unique_ID="c", Conference_Size="2", **IN_SHORT),
        member("del-member", Conference_Size="0", **HANGS_UP, **IN_FULL),
    )
    assert found.reports == []
    lost = fed(adapter, member("mute-member", Unique_ID="b", Conference_Size="1", **IN_SHORT))
    assert [report.kind for report in lost.reports] == ["size"]


@pytest.mark.parametrize("late", [True, False], ids=["late", "lost"])
def test_a_member_is_in_the_one_that_it_entered_last(late: bool) -> None:
    adapter = Adapter(node="n1")
    found = all_of(
        adapter,
        event("conference-create", Conference_Size="0", **IN_SHORT),
        member("add-member", Conference_Size="1", **IN_SHORT),
        member("add-member", Speak="false", **IN_FULL),
        *([member("del-member", Conference_Size="0", **HANGS_UP, **IN_SHORT)] if late else []),
        event("conference-destroy", **IN_SHORT),
        member("mute-member", **IN_FULL),
        hangup_complete(),
    )
    assert short(found.signals) == ["joined n1-a", "left n1-a orphan", "joined n1-a", "muted n1-a", "left n1-a hangup"]
    assert len({one.signal_id for one in found.signals}) == 5
    assert [report.kind for report in found.reports] == []


def test_a_late_entry_does_not_move_a_member() -> None:
    found = all_of(
        Adapter(node="n1"),
        member("add-member", Event_Sequence="30", **IN_FULL),
        member("add-member", Event_Sequence="10", **IN_SHORT),
        member("del-member", Event_Sequence="20", **HANGS_UP, **IN_SHORT),
    )
    assert short(found.signals) == ["joined n1-a"]


def test_conferences_of_other_names_keep_their_members() -> None:
    """Without a node, and with other names, nobody leaves who enters a second conference."""
    other = {**IN_FULL, "Conference_Name": "n1-room-other"}
    for adapter, second in ((Adapter(node="n1"), other), (Adapter(), IN_FULL)):
        found = all_of(adapter, member("add-member", **IN_SHORT), member("add-member", **second))
        assert [one.TYPE for one in found.signals] == ["member.joined", "member.joined"]


def test_a_leave_is_announced_after_a_lost_move() -> None:
    """The del-member of one conference and the add-member of the other were lost."""
    found = all_of(
        Adapter(node="n1"),
        member("add-member", **IN_SHORT),
        member("kick-member", **IN_FULL),
        member("del-member", **IN_FULL),
    )
    assert short(found.signals) == ["joined n1-a", "left n1-a removed"]


def test_an_old_place_is_forgotten_on_the_way_back() -> None:
    other = {**IN_FULL, "Conference_Name": "n1-room-other", "Conference_Unique_ID": "3"}
    found = all_of(
        Adapter(node="n1"),
        member("add-member", **IN_SHORT),
        member("add-member", **other),
        member("kick-member", **other),
        member("del-member", **other),
        member("add-member", **IN_FULL),
        event("conference-destroy", **IN_SHORT),
    )
    assert [f"{one.room_id} {text}" for one, text in zip(found.signals, short(found.signals), strict=True)] == [
        f"{FULL} joined n1-a",
        "n1-room-other joined n1-a",
        "n1-room-other left n1-a removed",
        f"{FULL} left n1-a orphan",
        f"{FULL} joined n1-a",
    ]


# --- commands ---


async def test_members_are_commanded_where_they_are() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, _):
        fake.join(FULL, "u-1")
        fake.join(SHORT, "u-2")
        for call in ("u-1", "u-2"):
            assert await engine.perform(c.Mute(FULL, f"n1-{call}")) is None
            assert not fake.rooms[fake.calls[call]].members[call]["speak"]
            assert await engine.perform(c.Mute(FULL, f"n1-{call}", on=False)) is None
        found = (await engine.snapshot()).rooms
        assert {(name, *room.members, *room.names) for name, room in found.items()} == {
            (FULL, "n1-u-2", "n1-u-1", FULL, SHORT)
        }
        refused = await engine.perform(c.Mute(FULL, "n1-u-3"))
        assert refused is not None
        assert refused.reason.startswith("-ERR Non-Existant")
        assert await engine.perform(c.Leave(FULL, "n1-u-2")) is None
        assert [*fake.rooms] == [FULL]


async def test_a_playback_is_commanded_where_it_plays() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, _):
        fake.join(SHORT, "u-2")
        play = c.Play(FULL, "op-1", (URL,))
        assert await engine.perform(play) is None
        fake.join(FULL, "u-1")
        assert fake.rooms[SHORT].files
        assert await engine.knows(play)
        assert await engine.playing([FULL]) == {FULL}
        assert (await engine.snapshot()).rooms[FULL].plays
        for _ in range(2):
            assert await engine.perform(c.Pause(FULL)) is None
            assert fake.rooms[SHORT].paused
        assert await engine.perform(c.Resume(FULL)) is None
        assert not fake.rooms[SHORT].paused
        assert await engine.perform(c.Volume(FULL, 3)) is None
        assert await engine.perform(c.Stop(FULL, "op-1")) is None
        assert not fake.rooms[SHORT].files
        assert await engine.perform(c.Play(FULL, "op-2", (URL,))) is None
        assert fake.rooms[FULL].files
        assert not fake.rooms[SHORT].files


async def test_a_destroy_ends_both() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, _):
        fake.join(FULL, "u-1")
        fake.join(SHORT, "u-2")
        assert await engine.perform(c.Destroy(FULL)) is None
        assert not fake.rooms


async def test_an_unfit_play_is_not_known() -> None:
    async with FakeFreeSwitch() as fake, connected(fake) as (engine, _):
        assert not await engine.knows(c.Play("n1-room-a b", "op", (URL,)))
        assert not await engine.knows(c.Play(FULL, "op", ("ftp://x/a.wav",)))
