"""The pure parts of the console: lists of rooms, differences of pages, cookies, hosts, settings, and escaping."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console.fragments import Rows, Sent, element_id
from pipeline.console.guard import host_name
from pipeline.console.room_index import ORDERS, STATUSES, RoomIndex, RoomRow, filter_of, row_of
from pipeline.console.rooms_page import asked_of
from pipeline.console.sessions import Sessions
from pipeline.console.settings import load_console
from pipeline.console.templating import part
from pipeline.errors import ConfigError
from pipeline.model.records import Room
from tests.support.scene import MARKUP, TURNED

# --- lists of rooms ------------------------------------------------------------------------------------------

rooms = st.builds(
    lambda room_id, name, app, status, members, at: row_of(
        Room(room_id, app, name, playback_status=status, created_at=at), room_id[0], members
    ),
    st.sampled_from([f"{node}-room-{n}" for node in "ab" for n in range(6)]),
    st.sampled_from(["Team", "team", "Ärger", "", "週次"]),
    st.sampled_from(["", "one", "two"]),
    st.sampled_from(["playing", "paused", "stopped"]),
    st.integers(0, 3),
    st.integers(0, 2),
)
changes = st.lists(st.lists(st.one_of(rooms, st.integers(0, 5).map(lambda n: f"a-room-{n}")), max_size=4), max_size=8)
filters = st.builds(
    filter_of,
    st.sampled_from(["", "tea", "ÄRG", "room-1"]),
    st.sampled_from(["", "one"]),
    st.sampled_from(["", "a"]),
    st.sampled_from(["", "nonsense", *STATUSES]),
    st.sampled_from(sorted(ORDERS)),
)


@given(changes, changes, filters)
def test_list_kept_up_to_date_equals_one_made_anew(before: Any, after: Any, wanted: Any) -> None:
    index = RoomIndex()

    def apply(steps: list[list[RoomRow | str]]) -> None:
        for step in steps:
            index.update(
                {one if isinstance(one, str) else one.room_id: None if isinstance(one, str) else one for one in step}
            )

    apply(before)
    listing, rows = index.begin(wanted)
    made = listing.sort(rows)
    apply(after[:2])  # while the list is being sorted
    index.add(listing, made)
    apply(after[2:])
    expected = sorted((row for row in index.rows.values() if wanted.accepts(row)), key=ORDERS[wanted.order])
    assert listing.rows == expected


def test_search_finds_name_id_and_app_in_any_case() -> None:
    row = row_of(Room("node-room-1", "My-App", "Ärztehaus"), "node", 0)
    for text in ("ärzte", "ÄRZTE", "ROOM-1", "my-app", "  ärztehaus "):
        assert filter_of(text, "", "", "", "").accepts(row)
    assert not filter_of("ärzte x", "", "", "", "").accepts(row)


@pytest.mark.parametrize(
    "query", [{}, {"page": "-1", "order": "x'"}, {"page": "9" * 400, "q": "x" * 9999, "status": "\0"}]
)
def test_any_parameters_ask_for_something(query: dict[str, str]) -> None:
    asked = asked_of(query)
    assert asked.page >= 1
    assert max(map(len, asked[:5])) <= 128
    filter_of(*asked[:5])


# --- pages and their differences -----------------------------------------------------------------------------


def test_stream_sends_only_what_has_changed() -> None:
    sent = Sent()
    assert sent.difference({"a": "<p>", "l": Rows((("x", "1"), ("y", "2")))}) == {
        "html": {"a": "<p>"},
        "lists": {"l": {"rows": {"x": "1", "y": "2"}, "order": ("x", "y")}},
    }
    assert sent.difference({"a": "<p>", "l": Rows((("x", "1"), ("y", "2")))}) is None
    assert sent.difference({"a": "<p>", "l": Rows((("y", "3"),))}) == {
        "html": {},
        "lists": {"l": {"rows": {"y": "3"}, "order": ("y",)}},
    }
    assert sent.difference({"l": Rows((("x", "1"), ("y", "3")))}) == {
        "html": {},
        "lists": {"l": {"rows": {"x": "1"}, "order": ("x", "y")}},
    }


class _Shown:
    element, room_id, app, members, status = "r1", f'"/room?{MARKUP}', MARKUP, 3, "playing"
    deadline, since, last = 1_700_000_000_000_000, None, 0

    def __init__(self, name: str) -> None:
        self.name = name


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, *(name for name, _ in attrs)))


PLAIN = _Tags(part("rooms_parts.html", "row", _Shown("plain"))).seen


@given(st.text(min_size=1) | st.sampled_from([MARKUP, TURNED, "\" onfocus='alert(1)", "' x=", "--><script>"]))
def test_no_text_becomes_markup_or_an_unseen_character(name: str) -> None:
    html = part("rooms_parts.html", "row", _Shown(name))
    assert _Tags(html).seen == PLAIN
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", html)


@given(st.text())
def test_element_ids_are_plain(text: str) -> None:
    assert re.fullmatch("r[0-9a-f]{18}", element_id("r", text))


# --- who may see them ----------------------------------------------------------------------------------------


def test_cookies_end_and_cannot_be_made_without_the_token() -> None:
    sessions = Sessions("a token of 20 chars.", 1)
    cookie = sessions.cookie(1000.5)
    assert "token" not in cookie
    assert sessions.is_valid(cookie, 4599)
    assert not sessions.is_valid(cookie, 4600)
    later = "9" + cookie
    others = [later, cookie[:-1], cookie + "0", "", ".", "a.b", cookie.replace(".", ".."), "\u0661" + cookie]
    assert not any(sessions.is_valid(one, 1001) for one in others)
    assert not Sessions("another token of mine", 1).is_valid(cookie, 1001)
    assert sessions.accepts("a token of 20 chars.")
    assert not sessions.accepts("a token of 20 chars")
    assert not sessions.accepts("\ud800")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("localhost:8010", "localhost"), ("LOCALHOST", "localhost"), ("[::1]:80", "::1"), ("127.0.0.1", "127.0.0.1"),
        ("evil.example#localhost", ""), ("a@localhost", ""), ("localhost/x", ""), ("", ""), ("[::1", ""), ("l\u00f6cal", ""),
        ("localhost evil", ""), ("localhost\\evil", ""),
    ],
)  # fmt: skip
def test_host_header_gives_its_name(text: str, name: str) -> None:
    assert host_name(text) == name


def test_settings_need_a_token_for_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_console().is_local
    assert {"localhost", "127.0.0.1", "::1"} == load_console().hosts
    for host in ("0.0.0.0", "192.0.2.1", "console.example.com", "::"):
        with pytest.raises(ConfigError, match="can be reached by other machines"):
            load_console(host=host)
    file = tmp_path / "token"
    file.write_text("sixteen-characters\n")
    found = load_console(host="0.0.0.0", token_file=str(file), allowed_hosts="Console.example.com,[2001:db8::1]")
    assert found.token.get_secret_value() == "sixteen-characters"
    assert {"console.example.com", "2001:db8::1"} <= found.hosts
    assert "0.0.0.0" not in found.hosts
    assert "sixteen" not in repr(found)
    monkeypatch.setenv("CONSOLE_TOKEN", "short")
    with pytest.raises(ConfigError, match="has 5 characters"):
        load_console()
    with pytest.raises(ConfigError, match="not both"):
        load_console(token_file=str(file))
    monkeypatch.setenv("CONSOLE_TOKEN", "")
    with pytest.raises(ConfigError, match="CONSOLE_HTTP_PORT"):
        load_console(port=70_000)
    with pytest.raises(ConfigError, match="No such file"):
        load_console(token_file="/nowhere/token")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_console(token_file=str(file))
    file.write_text(" \n")
    with pytest.raises(ConfigError, match="it is empty"):
        load_console(token_file=str(file))
