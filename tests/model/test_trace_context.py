"""Which trace headers of a signal its events carry."""

from __future__ import annotations

import pytest

from pipeline.model.trace_context import Headers, context

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
BOTH: Headers = (("traceparent", PARENT), ("tracestate", STATE))


def changed(at: int, by: bytes) -> bytes:
    """Return PARENT with other bytes from `at` on."""
    return PARENT[:at] + by + PARENT[at + len(by) :]


def test_only_the_two_trace_headers_are_carried() -> None:
    assert context((("baggage", b"user=1"), *BOTH, ("x", b""))) == BOTH
    assert context(BOTH[:1]) == BOTH[:1]
    assert context(()) == ()


def test_the_last_of_repeated_headers_wins() -> None:
    other = changed(3, b"f")
    assert context((*BOTH, ("traceparent", other))) == (("traceparent", other), BOTH[1])
    assert context((*BOTH, ("traceparent", b"junk"))) == ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"junk",
        PARENT + b"\n",
        PARENT + b"-",
        PARENT[:-1],
        changed(0, b"01"),
        changed(0, b"ff"),
        changed(2, b"_"),
        changed(3, b"4BF9"),
        changed(3, b"g"),
        changed(3, b"0" * 32),
        changed(36, b"0" * 16),
        changed(53, b"-1"),
        "００".encode() + PARENT[2:],
    ],
)
def test_a_malformed_parent_drops_both(value: bytes | None) -> None:
    assert context((("traceparent", value), BOTH[1])) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, b"", b"a" * 513, "ä=1".encode(), b"a=1\r\nb=2", b"a=\0"])
def test_a_malformed_state_is_dropped_alone(value: bytes | None) -> None:
    assert context((BOTH[0], ("tracestate", value))) == BOTH[:1]  # type: ignore[arg-type]


def test_a_state_of_512_bytes_is_carried() -> None:
    whole = (BOTH[0], ("tracestate", b"a=" + b"x" * 510))
    assert context(whole) == whole
