"""The pure part of the view: after any history it equals the independent model, and so do the outcomes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.merge import CutRecord, Input, Record
from pipeline.errors import FatalError, SignalError
from pipeline.model.codec import event_json
from pipeline.model.records import Member, Position, Room
from pipeline.model.row_keys import POSITION_KEY, encode_key
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.view.tables.outcomes_table import KEEP_SECONDS, Outcome, OutcomesTable, Place
from pipeline.view.tables.rooms_table import Counts, RoomsTable, node_of
from testkit.model import Model
from tests.core.test_room_rules import START, random_history, signals
from tests.support.state import remembered_ids
from tests.support.unit_log import IDS, TOPICS, UnitLog, put_outcomes, put_rows

HISTORIES = st.lists(signals(), min_size=1, max_size=60)
T = START


def plain(row: Any) -> dict[str, Any]:
    """Return a row as the model has it."""
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    if "recent" in fields:
        fields["recent"] = list(remembered_ids(fields["recent"]))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def check_rooms(table: RoomsTable, model: Model) -> None:
    """Compare all that the table says with the model."""
    assert set(table.room_ids()) == set(model.rooms)
    for room_id, expected in model.rooms.items():
        room = table.room(room_id)
        assert {**plain(room), "members": []} == {**expected, "members": []}
        members = [{"room_id": room_id, **member} for member in expected["members"]]
        assert [plain(member) for member in table.members(room_id)] == members
        assert table.member_count(room_id) == len(members)
    live = {room_id for room_id, room in model.rooms.items() if room["playback_status"] != "stopped"}
    assert set(table.room_ids(live=True)) == live
    assert set(table.room_ids(live=False)) == set(model.rooms) - live
    members_of_all = sum(len(room["members"]) for room in model.rooms.values())
    assert table.counts == Counts(len(model.rooms), members_of_all, len(live))
    for session in ("a", "b", "c", "nobody"):
        own = {
            room_id
            for room_id, room in model.rooms.items()
            if session in {member["session_uuid"] for member in room["members"]}
        }
        assert set(table.rooms_of(session)) == own
    apps = {room["app_id"] for room in model.rooms.values()}
    for app in apps | {"other"}:
        of_app = {room_id for room_id, room in model.rooms.items() if room["app_id"] == app}
        assert set(table.room_ids(app=app)) == of_app
        assert table.apps.get(app, 0) == len(of_app)
    for room_id, gone in model.gone.items():
        if table.gone_since(room_id) is not None:
            assert table.gone_since(room_id) == gone["forgotten_at"]


def check_outcome(found: Outcome | None, expected: list[dict[str, Any]]) -> None:
    """Compare the outcome of one signal with the model's; its events byte for byte."""
    assert found is not None
    kinds = {kind for outcome in expected for kind in outcome}
    events = [outcome["event"] for outcome in expected if "event" in outcome]
    if not events:
        [(kind, fields)] = expected[0].items()
        assert (found.kind, found.reason, found.signal_id) == (kind, fields["reason"], fields["signal_id"])
        return
    assert kinds == {"event"}
    left = [event for event in events if event["event"] == "conference.member.left" and event["meta"]["synthetic"]]
    assert found.left == len(left)
    shown = [event for event in events if event not in left]
    assert [json.loads(event_json(event)) for event in found.events] == shown
    assert found.signal_id == shown[-1]["meta"]["cause"]


def without_timeouts(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the events of a deadline that fired before the signal: they have no `ce_signal`."""
    return [one for one in outcomes if one.get("event", {}).get("error") != "playback_timeout"]


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.randoms(use_true_random=False))
def test_view_equals_the_model_after_each_unit(history: list[Any], chance: random.Random) -> None:
    log, table = UnitLog(START), RoomsTable(sessions=True)
    for signal, step in history:
        log.feed(signal, step)
        if chance.random() < 0.6:
            put_rows(table, log.commit()["rooms"])
            check_rooms(table, log.model)
            position = table.position(0)
            assert position is not None
            assert {one.topic: one.offset for one in position.positions} == {
                TOPICS[kind]: offset for kind, offset in log.offsets.items()
            }


@pytest.mark.parametrize("seed", range(4))
def test_view_of_a_long_history_equals_the_model(seed: int) -> None:
    log, table = UnitLog(START), RoomsTable(sessions=True)
    for signal, step in random_history(seed, 1500):
        log.feed(signal, step)
        put_rows(table, log.commit()["rooms"])
        check_rooms(table, log.model)


@pytest.mark.parametrize("seed", range(4))
def test_compaction_changes_nothing(seed: int) -> None:
    """Only the last row of each key is left, at its place: members may come before their room."""
    log = UnitLog(START)
    for signal, step in random_history(seed, 400):
        log.feed(signal, step)
        log.commit()
    rows = log.logs["rooms"]
    last = {record.key: n for n, record in enumerate(rows)}
    for end in (len(rows) // 2, len(rows)):
        table = RoomsTable(sessions=True)
        kept = [record for n, record in enumerate(rows) if n >= end or last[record.key] == n]
        put_rows(table, kept)
        check_rooms(table, log.model)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.randoms(use_true_random=False))
def test_outcomes_of_api_signals_equal_the_models(history: list[Any], chance: random.Random) -> None:
    log, table = UnitLog(START), OutcomesTable(TOPICS.values())
    complete: set[Place] = set()
    for signal, step in history:
        log.feed(signal, step)
        if chance.random() < 0.4:
            complete |= put_outcomes(table, log.commit())
    complete |= put_outcomes(table, log.commit())
    for place, outcomes in log.expected.items():
        expected = without_timeouts(outcomes)
        if place.topic == TOPICS["api"]:
            assert place in complete
        elif not any("no_op" not in outcome for outcome in expected):
            assert table.get(place) is None  # media no-ops are only counted: nothing is concluded
            continue
        check_outcome(table.get(place), expected)


def test_media_outcomes_are_not_kept_unless_wanted() -> None:
    log, table = UnitLog(START), OutcomesTable([TOPICS["api"]])
    place = log.feed(
        {"type": "member.joined", "signal_id": "j", "room_id": "r", "session_uuid": "a", "caller_id": ""}, 1
    )
    assert put_outcomes(table, log.commit()) == set()
    assert (table.get(place), len(table)) == (None, 0)


def destroyed(log: UnitLog) -> Place:
    create = {"type": "conference.create", "signal_id": "c", "room_id": "r", "app_id": "app", "name": "n"}
    log.feed(create, 1)
    for session in "abc":
        log.feed({"type": "member.joined", "signal_id": session, "room_id": "r", "session_uuid": session,
                  "caller_id": ""}, 1)  # fmt: skip
    log.feed(
        {"type": "conference.play", "signal_id": "p", "room_id": "r", "urls": ["http://x"], "operation_id": "o"}, 1
    )
    log.commit()
    return log.feed({"type": "conference.destroy", "signal_id": "d", "room_id": "r"}, 1)


def test_a_destroy_is_complete_with_its_destroyed_only() -> None:
    log, table = UnitLog(START), OutcomesTable([TOPICS["api"]])
    place = destroyed(log)
    records = log.commit()
    events = records["events"]
    for n in range(len(events) - 1):
        assert put_outcomes(table, {**records, "events": events[n : n + 1]}) == set()
        assert table.get(place) is None
    assert put_outcomes(table, {**records, "events": events[-1:]}) == {place}
    outcome = table.get(place)
    assert outcome is not None
    assert [event.EVENT for event in outcome.events] == ["conference.play.stopped", "conference.destroyed"]
    assert (outcome.left, outcome.signal_id) == (3, "d")


def test_outcomes_are_forgotten_after_their_time() -> None:
    log, table = UnitLog(START), OutcomesTable(TOPICS.values())
    place = destroyed(log)
    records = log.commit()
    put_outcomes(table, {**records, "events": records["events"][:-1]}, now=5.0)
    create = log.feed({"type": "conference.create", "signal_id": "c2", "room_id": "q", "app_id": "a", "name": ""}, 1)
    put_outcomes(table, log.commit(), now=10.0)
    table.expire(10.0 + KEEP_SECONDS - 0.1)
    assert table.get(create) is not None
    assert table.find("c2") is not None
    table.expire(10.0 + KEEP_SECONDS)
    assert table.get(create) is table.find("c2") is None
    put_outcomes(table, {**records, "events": records["events"][-1:]}, now=80.0)
    assert table.get(place) == table.find("d") != None  # noqa: E711
    assert len(table) == 1


def test_a_repeat_is_found_as_the_first_outcome() -> None:
    log, table = UnitLog(START), OutcomesTable([TOPICS["api"]])
    create = {"type": "conference.create", "signal_id": "c", "room_id": "r", "app_id": "a", "name": ""}
    first, second = log.feed(create, 1), log.feed(create, 1)
    put_outcomes(table, log.commit())
    assert table.find("c") == table.get(first)
    repeated = table.get(second)
    assert repeated is not None
    assert (repeated.kind, repeated.reason) == ("no_op", "repeated")


def test_letter_of_a_batch_covers_all_its_offsets() -> None:
    log, table = UnitLog(START), OutcomesTable([TOPICS["api"]])
    batch = CutRecord(T, 3, None, b"broken", (), "", 7, is_batch=True)
    log.unit.dead_lettered(Input(TOPICS["api"], 0, 0), batch, SignalError("the batch can't be read"))
    one = Record(T, 9, b"r", b"{", ())
    log.unit.dead_lettered(Input(TOPICS["api"], 0, 0), one, SignalError("no JSON"))
    assert put_outcomes(table, log.commit()) == {Place(TOPICS["api"], 0, 3), Place(TOPICS["api"], 0, 9)}
    found = [table.get(Place(TOPICS["api"], 0, offset)) for offset in range(11)]
    assert [outcome.reason if outcome else None for outcome in found] == [
        None, None, None, *5 * ["the batch can't be read"], None, "no JSON", None,
    ]  # fmt: skip
    assert table.covered(Place(TOPICS["api"], 0, 3)) == 7
    assert table.covered(Place(TOPICS["api"], 0, 9)) == 9
    table.expire(KEEP_SECONDS)
    assert table.get(Place(TOPICS["api"], 0, 5)) is None


@pytest.mark.parametrize(
    "header", [b"", b"x", b"conference.api.signals/0/x", b"conference.api.signals/0/-1", b"\xff/1/1"]
)
def test_records_without_a_place_are_no_outcomes(header: bytes) -> None:
    table = OutcomesTable([TOPICS["api"]])
    assert table.apply("conference.events", 0, Record(T, 0, b"r", b"junk", (("ce_signal", header),)), 0.0) is None


def encoded(row: Any, head: int | None = None) -> bytes:
    number = IDS[type(row).RECORD] if head is None else head
    made: bytes = ENCODERS[type(row)](row, b"\0" + number.to_bytes(4, "big"))
    return made


def rows_of(*pairs: tuple[tuple[str, ...], bytes | None]) -> list[Record]:
    return [Record(T, n, encode_key(key), value, ()) for n, (key, value) in enumerate(pairs)]


def test_rows_of_unknown_kinds_are_skipped() -> None:
    table = RoomsTable()
    put_rows(table, [Record(T, 0, b'["next",1,{}]', b"x", ()), Record(T, 1, b'["next"]', None, ())])
    assert table.counts == Counts(0, 0, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"junk", b"x"),
        (None, b"x"),
        (b'["room"]', None),
        (b'["room","r"]', b"x"),
        (b'["room","r"]', encoded(Member("r", "a"))),
        (b'["member","r","a"]', encoded(Room("r"))),
        (b'["room","r"]', encoded(Room("r"))[:7]),
        (b'["gone","r"]', encoded(Room("r"))),
        (POSITION_KEY, encoded(Room("r"))),
    ],
)
def test_what_is_no_row_is_an_error_with_its_place(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(FatalError, match="partition 0, offset 7 is not a row"):
        put_rows(RoomsTable(), [Record(T, 7, key, value, ())])


def test_rows_of_another_version_are_read() -> None:
    """A writer's schema with a field more than ours."""
    schema = json.loads(SCHEMAS["conference.Room"])
    schema["fields"].append({"name": "later", "type": "string", "default": ""})
    table = RoomsTable()
    room = Room("r", "app", "name", 3, "playing", "o", ("http://x",), deadline=T, last_event_at=T)
    records = rows_of((("room", "r"), encoded(room, 900) + b"\2x"))
    assert table.decoders.unknown(record.value for record in records) == [900]
    table.decoders.learn(900, json.dumps(schema))
    table.apply(0, records)
    assert table.room("r") == room
    assert (set(table.room_ids(app="app")), set(table.room_ids(live=True))) == ({"r"}, {"r"})


def test_rows_whose_schema_is_lost_are_errors() -> None:
    table = RoomsTable()
    table.decoders.learn(900, None)
    with pytest.raises(FatalError, match="900"):
        table.apply(0, rows_of((("room", "r"), encoded(Room("r"), 900))))


def test_rooms_are_found_by_node_and_app() -> None:
    table = RoomsTable()
    ids = ["a-room-1", "a-room-2", "b-room-1", "plain", "a-room-room-3"]
    put_rows(table, rows_of(*((("room", one), encoded(Room(one, f"app{one[-1]}"))) for one in ids)))
    assert set(table.room_ids(node="a")) == {"a-room-1", "a-room-2", "a-room-room-3"}
    assert set(table.room_ids(node="a", app="app1")) == {"a-room-1"}
    assert set(table.room_ids(node="")) == {"plain"}
    assert table.nodes == {"a": 3, "b": 1, "": 1}
    assert [node_of(one) for one in ("a-room-1", "x", "-room-")] == ["a", "", ""]
    put_rows(table, rows_of((("room", "a-room-1"), None), (("room", "b-room-1"), None), (("room", "never"), None)))
    assert table.nodes == {"a": 2, "": 1}
    assert table.changed == {*ids, "never"}


def test_a_room_changes_its_app() -> None:
    table = RoomsTable()
    put_rows(table, rows_of((("room", "r"), encoded(Room("r")))))
    assert table.apps == {"": 1}
    put_rows(table, rows_of((("room", "r"), encoded(Room("r", "app")))))
    assert table.apps == {"app": 1}


def test_members_without_a_room_are_not_shown() -> None:
    table = RoomsTable()
    members = [(("member", "r", one), encoded(Member("r", one, sequence=n))) for n, one in enumerate("ab")]
    put_rows(table, rows_of(*members))
    assert (table.room("r"), table.members("r"), table.member_count("r"), list(table.room_ids())) == (None, (), 0, [])
    put_rows(table, rows_of((("room", "r"), encoded(Room("r")))))
    assert [member.session_uuid for member in table.members("r")] == ["a", "b"]
    put_rows(table, rows_of((("room", "r"), None), (("member", "r", "a"), None), (("member", "r", "b"), None)))
    put_rows(table, rows_of((("member", "r", "b"), None), (("member", "q", "b"), None)))
    assert table.counts == Counts(0, 0, 0)
    assert table.members("r") == ()


def test_long_ids_and_names_are_read() -> None:
    table = RoomsTable()
    room = Room("ö" * 255, "ä" * 255, "n" * 1024, 1 << 40, "paused", "o", ("http://x",))
    put_rows(table, rows_of((("room", room.room_id), encoded(room))))
    assert table.room(room.room_id) == room
    assert list(table.room_ids(app="ä" * 255, live=True)) == [room.room_id]


def test_the_last_position_of_each_partition_is_kept() -> None:
    table = RoomsTable()
    assert table.position(0) is None
    put_rows(table, [Record(T, 0, POSITION_KEY, encoded(Position("a")), ())])
    put_rows(table, [Record(T, 1, POSITION_KEY, encoded(Position("b")), ())])
    assert table.position(0) == table.position(0) == Position("b")
