"""What a dead letter tells, whatever its bytes and headers are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.merge import Record
from pipeline.kafka.ranges import Found
from pipeline.model import framing
from pipeline.model.schema_resolution import OtherFormat
from pipeline.model.signals import ConferenceCreate, ConferencePlay
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.view.letters import MESSAGE, REDRIVEN, explain, explain_batch, letter_of, place_of
from testkit import raw_batches as raw

PLAY = SCHEMAS["conference.signal.ConferencePlay"]


def letter(*headers: tuple[str, bytes | None], key: bytes | None = b"room", value: bytes | None = b"{}") -> Any:
    return letter_of(Found("t.signals.dead", 3, Record(1_000_000, 17, key, value, headers)))


def test_the_last_header_counts_and_redrives_are_kept() -> None:
    found = letter(
        (MESSAGE, b"first"),
        ("ce_signal", b"t.api.signals/3/1"),
        (REDRIVEN, b"t.signals.dead/3/5"),
        (MESSAGE, b"second"),
        ("ce_signal", b"t.api.signals/3/2"),
    )
    assert (found.place, found.reason, found.source) == ("3/17", "second", ("t.api.signals", 3, 2))
    assert found.history == [("t.signals.dead/3/5", "first")]


def test_cut_parts_and_batches_are_known() -> None:
    found = letter(("original-size", b"2000000"), ("original-key-size", b"x"), ("last-offset", b"9"), key=None)
    assert (found.cut, found.last, found.room) == ({"value": 2_000_000}, 9, None)
    assert found.fields()["size"] == 2_000_000


def test_a_place_has_a_topic_and_two_numbers() -> None:
    assert place_of("a/b/3/17") == ("a/b", 3, 17)
    assert [place_of(text) for text in ("", "a", "a/3", "/3/4", "a/x/4", "a/3/-1", f"a/3/{'9' * 30}")] == [None] * 7


@pytest.mark.parametrize(
    ("value", "schema", "steps"),
    [
        (None, None, {"value": "null"}),
        (b"", None, {"value": "empty"}),
        (b'{"type":"conference.crate"}', None, {"form": "JSON", "fault": "do you mean 'conference.create'?"}),
        (b"\x05abc", None, {"framing": "0x05", "cause": "wire format are missing"}),
        (b"\0\0\0\0\x07", None, {"framing": "schema id 7", "schema": "none with this id"}),
        (b"\0\0\0\0\x07", OtherFormat("JSON"), {"schema": "not Avro"}),
        (b"\0\0\0\0\x07", '"string"', {"schema": "not that of a record"}),
        (b"\0\0\0\0\x07", SCHEMAS["conference.Room"], {"schema": "conference.Room: no signal"}),
        (
            b"\0\0\0\0\x07\x02s",
            PLAY,
            {"schema": "the signal conference.play", "fault": "field room_id: expected"},
        ),
    ],
)
def test_bytes_are_explained_step_by_step(value: bytes | None, schema: str | None, steps: dict[str, str]) -> None:
    found = dict(explain(value, b"", schema))
    for step, text in steps.items():
        assert text in found[step]


def test_a_valid_signal_points_at_its_key() -> None:
    signal = ConferencePlay("s", "room", 1, ("http://x/a",), "o")
    value = ENCODERS[ConferencePlay](signal, framing.head(7))
    assert "the fault is its topic, its key or its partition" in dict(explain(value, b"", PLAY))["record"]
    wrong = ENCODERS[ConferenceCreate](ConferenceCreate("s", "room", 1, "", "n"), framing.head(7))
    assert "app_id" in dict(explain(wrong, b"", SCHEMAS["conference.signal.ConferenceCreate"]))["fault"]


def test_the_head_of_a_batch_is_explained() -> None:
    [(step, text)] = explain_batch(raw.batch([raw.Record(b"k", b"v")] * 3, codec="zstd"))
    assert step == "batch"
    assert text.startswith("message format 2, 3 records, offsets 0 to 2, compression zstd")
    assert explain_batch(b"short") == [("batch", "5 bytes, too few for the head of a batch")]


@given(st.binary(max_size=60), st.text(max_size=60) | st.none())
def test_any_bytes_are_explained_in_one_line_each(value: bytes, schema: str | None) -> None:
    steps = [*explain(value, b"", schema), *explain(b"\0\0\0\0\1" + value, b"", PLAY), *explain_batch(value)]
    assert all(text and text.isprintable() for _, text in steps)
