"""Lines of an input of any length."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import lines
from pipeline.errors import SignalError
from pipeline.lines import KEPT, MAX_LINE, CutLine, Lines, Piece, lines_of
from pipeline.model.codec import MAX_VALUE, decode_line
from tests.support.commands import CREATE

SMALL = {"MAX_LINE": 20, "KEPT": 6, "PIECE": 5}


def split(data: bytes, cuts: list[int], *, pieces: bool = False) -> list[bytes]:
    reader = Lines(pieces=pieces)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    found = [line for start, end in pairwise(places) for line in reader.push(data[start:end])]
    return [*found, *reader.end()]


def expected(data: bytes) -> list[bytes]:
    whole = data.split(b"\n")
    return whole if whole[-1] else whole[:-1]


@given(
    st.lists(st.binary(max_size=19).map(lambda part: part.replace(b"\n", b""))), st.lists(st.integers(0)), st.booleans()
)
def test_lines_are_those_between_line_ends(parts: list[bytes], cuts: list[int], pieces: bool) -> None:
    data = b"\n".join(parts)
    assert split(data, cuts, pieces=pieces) == expected(data)


@given(st.lists(st.integers(0, 45)), st.lists(st.integers(0), max_size=20))
def test_long_lines_are_cut_or_come_in_pieces(sizes: list[int], cuts: list[int]) -> None:
    data = b"".join(bytes([97 + n % 26]) * size + b"\n" for n, size in enumerate(sizes))
    cuts += [*range(0, len(data), 20)]  # a chunk is at most as long as a line
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(lines, name, value)
        cut, pieces = split(data, cuts), split(data, cuts, pieces=True)
    for line, whole in zip(cut, expected(data), strict=True):
        if len(whole) <= SMALL["MAX_LINE"]:
            assert line == whole
        else:
            assert isinstance(line, CutLine)
            assert line == whole[:6] + "…".encode()
            assert line.error == f"the line has {len(whole)} bytes, more than {MAX_VALUE}"
    joined = b"".join(one if isinstance(one, Piece) and not one.last else one + b"\n" for one in pieces)
    assert joined == data
    assert all(len(one) >= SMALL["PIECE"] for one in pieces if isinstance(one, Piece) and not one.last)


@pytest.mark.parametrize("space", [b"", b" " * (MAX_VALUE // 2)])
def test_line_with_white_space_is_kept_whole(space: bytes) -> None:
    [line] = lines_of([space, CREATE])
    assert decode_line(line).signal_id == "s-1"


def test_cut_line_is_never_a_signal() -> None:
    """Also if what is kept of it is one."""
    [line] = lines_of([CREATE.rstrip(b"\n"), *[b" " * KEPT] * (MAX_LINE // KEPT + 1)])
    assert isinstance(line, CutLine)
    with pytest.raises(SignalError):
        decode_line(line)
    assert len(line) == KEPT + 3


def test_line_comes_as_soon_as_it_has_ended() -> None:
    taken: list[bytes] = []

    def chunks() -> object:
        for chunk in (b"a", b"\nb\nc", b"d"):
            taken.append(chunk)
            yield chunk

    found = lines_of(chunks())  # type: ignore[arg-type]
    assert next(found) == b"a"
    assert taken == [b"a", b"\nb\nc"]
    assert list(found) == [b"b", b"cd"]
