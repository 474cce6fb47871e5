"""What many rooms have in common is kept once."""

from __future__ import annotations

from pipeline.core import interning
from pipeline.core.partition import Partition
from pipeline.core.room import Rules
from pipeline.model import avro
from pipeline.model import signals as s


def fresh(text: str) -> str:
    """An equal string that is another object."""
    return "".join(list(text))


def test_rooms_of_one_application_that_play_the_same_share_what_they_keep() -> None:
    found = Partition(Rules())
    for room in ("a", "b"):
        found.apply(s.ConferenceCreate("c", room, 0, fresh("app"), "name"), 0)
        found.apply(s.ConferencePlay("p", room, 0, (fresh("http://x"), fresh("http://y")), "o"), 0)
    one, other = found.rooms["a"], found.rooms["b"]
    assert one.app_id is other.app_id
    assert one.urls is other.urls


def test_what_is_kept_does_not_grow_for_ever() -> None:
    for number in range(3 * interning.MOST):
        assert interning.interned(f"value {number}") == f"value {number}"
        avro.strings((f"http://{number}",))
    assert len(interning._kept) <= interning.MOST
    assert len(avro._STRINGS) <= avro._MANY


def test_large_arrays_are_not_remembered() -> None:
    large = ("x" * 2000,)
    assert avro.strings(large) == avro.strings(large)
    assert large not in avro._STRINGS
