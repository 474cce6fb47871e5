"""Frames of the event socket, split anywhere, and commands that ids and urls can't extend."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.freeswitch import commands
from pipeline.engines.freeswitch.commands import MediaFiles
from pipeline.engines.freeswitch.frames import MAX_HEAD, Frame, FrameError, FrameReader
from pipeline.engines.media_files import UnfitError

ONE = b"Content-Type: auth/request\n\n"
BODY = "é\n\n{}".encode()
TWO = b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(BODY) + BODY
STREAM = ONE + TWO + ONE + b"Content-Length: 0\nContent-Type: api/response\n\n" + TWO


def read(reader: FrameReader, *parts: bytes) -> list[Frame]:
    return [frame for part in parts for frame in reader.push(part)]


def test_frames_may_be_split_at_any_byte() -> None:
    whole = read(FrameReader(), STREAM)
    assert [frame.kind for frame in whole] == [
        "auth/request", "text/event-json", "auth/request", "api/response", "text/event-json",
    ]  # fmt: skip
    assert [frame.body for frame in whole] == [b"", BODY, b"", b"", BODY]
    for cut in range(len(STREAM)):
        assert read(FrameReader(), STREAM[:cut], STREAM[cut:]) == whole
    assert read(FrameReader(), *(bytes([byte]) for byte in STREAM)) == whole


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_many_splits_change_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(places)]
    assert read(FrameReader(), *parts) == read(FrameReader(), STREAM)


def test_a_long_body_is_skipped_alone() -> None:
    reader = FrameReader(max_body=3)
    found = read(reader, TWO[:50], TWO[50:] + ONE)
    assert [(frame.kind, frame.body) for frame in found] == [("text/event-json", None), ("auth/request", b"")]


@pytest.mark.parametrize("data", [b"x" * (MAX_HEAD + 1), b"Content-Length: -1\n\n", b"Content-Length: 99999999999\n\n"])
def test_foreign_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        FrameReader().push(data)


def test_random_bytes_raise_nothing_else() -> None:
    source = random.Random(1)
    for _ in range(300):
        reader = FrameReader()
        try:
            for _ in range(5):
                reader.push(source.randbytes(200) + b"\n\n")
        except FrameError:
            pass


# --- commands ------------------------------------------------------------------------------------------------


def test_an_operation_id_is_encoded() -> None:
    text = commands.play("n1-room-1", "a b,}'\n\\", "/media/a.wav")
    assert text == "conference n1-room-1 play {operation_id=a%20b%2C%7D%27%0A%5C}/media/a.wav"
    assert commands.play("r", "op", "/a", 3) == "conference r play {operation_id=op,vol=3}/a"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_ids_and_urls_are_only_data(room: str, operation_id: str, url: str) -> None:
    try:
        path = MediaFiles().path(f"http://{url}")
        text = commands.play(room, operation_id, path)
    except (UnfitError, UnicodeEncodeError):
        return
    words = text.split(" ")
    assert len(words) == 4
    assert words[:3] == ["conference", room, "play"]
    assert text.isprintable()
    assert (text.count("{"), text.count("}")) == (1, 1)


@pytest.mark.parametrize("room", ["a b", "a\n\napi hupall", "a,b", "a@b", "", "{a}", "a'b", "a\\b", "x" * 256])
def test_ids_that_a_command_cannot_hold_are_refused(room: str) -> None:
    with pytest.raises(UnfitError) as found:
        commands.in_room(room, "stop all")
    assert "\n" not in str(found.value)
    with pytest.raises(UnfitError):
        commands.transfer(room, "r")
    with pytest.raises(UnfitError):
        commands.in_room("r", "kick", room)


def test_a_uuid_is_named_as_one() -> None:
    assert commands.in_room("r", "mute", "307a5a5b") == "conference r mute uuid=307a5a5b"


def test_urls_become_paths_within_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    files = MediaFiles([("https://cdn.example.com/", f"{folder}/"), ("https://cdn.example.com/b/", "/b/")])
    assert files.path("https://cdn.example.com/x/a.wav") == f"{folder}/x/a.wav"
    assert files.path("https://cdn.example.com/b/a.wav") == "/b/a.wav"
    assert files.path("http://elsewhere/a.wav") == "http://elsewhere/a.wav"
    for url in ("../x.wav", "x/../../y.wav", "out/x.wav", "a b.wav", "a\n\napi hupall", "{a}.wav", "", "a!b"):
        with pytest.raises(UnfitError):
            files.path(f"https://cdn.example.com/{url}")
    for url in ("file:///etc/passwd", "/etc/passwd", "tone_stream://x", "http://a/b c"):
        with pytest.raises(UnfitError):
            files.path(url)
