"""The pure parts of the gateway: ids, limits, keys of apps, positions of streams."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.gateway.answers import read_operation, wait_seconds
from pipeline.gateway.apps import Apps, key_digest, new_key
from pipeline.gateway.event_ring import Entry, EventRing
from pipeline.gateway.identity import generated_key, is_owner, node_of_key, operation
from pipeline.gateway.placement import emptier, rendezvous
from pipeline.gateway.positions import from_text, to_text
from pipeline.gateway.problems import Problem
from pipeline.gateway.settings import load_gateway, warnings_gateway
from pipeline.web.limits import Cooldowns, Rates
from tests.support.gateway import apps_file


def test_equal_requests_have_equal_ids_and_others_do_not() -> None:
    one = operation("a", "conference.play/r", "k")
    assert one == operation("a", "conference.play/r", "k")
    others = [("b", "conference.play/r", "k"), ("a", "conference.play/s", "k"), ("a", "conference.play/r", "l")]
    ids = {one.id, one.signal_id, one.room_uuid, *(operation(*other).id for other in others)}
    assert len(ids) == 6
    assert uuid.UUID(one.id).version == 8


def test_an_operation_id_names_its_app_only() -> None:
    one = operation("a", "p", "k")
    assert is_owner("a", one.id)
    assert not is_owner("b", one.id)
    assert not any(is_owner("a", text) for text in ("", "x", one.id.upper(), one.id.replace("-", "")))


def test_a_generated_key_names_the_node_of_its_room() -> None:
    key = generated_key("acW68")
    assert read_operation("a", "p", [key], None, "x").key == key
    assert (node_of_key(key), node_of_key("auto-1.x"), node_of_key("k")) == ("acW68", "", "")


@pytest.mark.parametrize("keys", [["a b"], ["ü"], [""], ["x" * 129], ["a", "b"]])
def test_bad_keys_are_refused(keys: list[str]) -> None:
    with pytest.raises(Problem) as raised:
        read_operation("a", "p", keys, None, "local")
    assert raised.value.status == 400


def test_key_and_command_uid_must_agree() -> None:
    assert read_operation("a", "p", ["k"], "k", "local") == read_operation("a", "p", [], "k", "local")
    with pytest.raises(Problem):
        read_operation("a", "p", ["k"], "l", "local")


def test_prefer_wait_is_read_and_bounded() -> None:
    assert wait_seconds(["respond-async, wait=7"], 2) == 7
    assert wait_seconds([], 2) == wait_seconds(["respond-async"], 2) == 2
    for text in ("wait=11", "wait=-1", "wait", "wait=1.5", "wait=٣"):
        with pytest.raises(Problem):
            wait_seconds([text], 2)


def test_a_rate_holds_over_time_for_each_name() -> None:
    rates = Rates()
    assert [rates.take("a", 2, 0.0) for _ in range(3)] == [0, 0, 0.5]
    assert rates.take("b", 2, 0.0) == 0
    assert (rates.take("a", 2, 0.5), rates.take("a", 2, 0.5) > 0) == (0, True)


def test_a_cooldown_ends_and_is_not_prolonged() -> None:
    cooldowns = Cooldowns()
    assert cooldowns.begin("r", 2, 0) == 0
    assert cooldowns.begin("r", 2, 1.5) == 0.5
    assert cooldowns.begin("r", 2, 2) == 0


def test_memory_of_limits_is_bounded() -> None:
    rates, cooldowns = Rates(most=2), Cooldowns(most=2)
    for name in "abc":
        rates.take(name, 1, 0)
        cooldowns.begin(name, 9, 0)
    assert rates.take("a", 1, 0) == 0  # forgotten, so it is full again
    assert cooldowns.begin("a", 9, 0) == 0


def test_placement_prefers_the_emptier_node_and_is_stable() -> None:
    assert emptier(["x", "y"], {"x": 3, "y": 1}) == "y"
    ids = [str(uuid.uuid4()) for _ in range(300)]
    before = {one: rendezvous(["x", "y"], one) for one in ids}
    after = {one: rendezvous(["y", "z", "x"], one) for one in ids}
    assert set(before.values()) == {"x", "y"}
    assert all(after[one] in ("z", before[one]) for one in ids)


def test_a_broken_apps_file_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = apps_file(tmp_path, "a")
    apps, said = Apps(str(path)), list[str]()
    assert apps.find("a", "a-key") is not None
    assert apps.find("a", "b-key") is apps.find("b", "a-key") is None
    path.write_text("[apps.a]\nkeys = ['short']")
    apps.look(said.append)
    assert "apps.a.keys.0" in apps.broken
    assert apps.find("a", "a-key") is not None
    first, second = new_key(), new_key()
    path.write_text(f'[apps.a]\nkeys = ["{key_digest(first)}", "{key_digest(second)}"]')
    apps.look(said.append)
    assert (apps.broken, len(said)) == ("", 2)
    assert all(apps.find("a", key) for key in (first, second))
    assert apps.find("a", "a-key") is None
    assert not any(key_digest(first) in line for line in said)


@pytest.mark.parametrize("text", ["", "x = ", "[apps.'a b']\nkeys=[]", "[apps.a]\nkeys=[]\nsecret=1", "[other]"])
def test_a_broken_apps_file_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "apps.toml").write_text(text)
    with pytest.raises(ConfigError, match="GATEWAY_APPS_FILE"):
        Apps(str(tmp_path / "apps.toml"))


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_APPS_FILE is not set"):
        load_gateway()
    for name, value in (("GATEWAY_NODES", "a-b"), ("GATEWAY_TRUSTED_PROXIES", "x"), ("GATEWAY_HTTP_PORT", "-1")):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match=name):
            load_gateway(apps_file="f")
        monkeypatch.delenv(name)


def test_misspelt_settings_are_warned_of() -> None:
    names = ["GATEWAY_NODE", "GATEWAY_HTTP_PORT", "GATEWAY_SERVICE_HOST", "gateway_max_streams", "PIPELINE_NODES", "X"]
    lines = warnings_gateway(names)
    assert [line.partition(" ")[0] for line in lines] == ["GATEWAY_NODE", "gateway_max_streams"]
    assert lines[0].endswith("did you mean GATEWAY_NODES?")


@given(st.lists(st.integers(0, (1 << 63) - 1), min_size=1, max_size=20))
def test_a_position_survives_as_text(offsets: list[int]) -> None:
    positions = dict(enumerate(offsets))
    assert from_text(to_text("Ab_-1", positions), len(offsets)) == ("Ab_-1", positions)


@given(st.text(max_size=40))
def test_nonsense_is_no_position(text: str) -> None:
    for one in (text, f"id.{text}"):
        with suppress(Problem):
            assert to_text(*from_text(one, 2)) == one


def test_the_ring_starts_where_a_stream_ended() -> None:
    ring = EventRing({0: 10, 1: 20}, keep=5)
    entries = [Entry(n % 2, (10, 20)[n % 2] + n // 2, n / 1000, "a", "r", "t", b"", "") for n in range(3000)]
    for entry in entries:
        ring.add(entry)
    assert ring.covers({0: 10, 1: 20})
    assert not ring.covers({0: 9, 1: 20})
    start = ring.start({0: 11, 1: 25})
    assert [e.offset for e in ring.entries(start, 3)] == [11, 21, 12]
    assert ring.start({0: 1510, 1: 1520}) == ring.end
    ring.add(Entry(0, 1510, 100, "a", "r", "t", b"", ""))
    assert not ring.covers({0: 11, 1: 25})
    with pytest.raises(LookupError):
        ring.entries(0, 1)
    positions = {0: 1000, 1: 1000}
    assert ring.covers(positions)
    assert next(ring.entries(ring.start(positions), 1)).offset == 1000
