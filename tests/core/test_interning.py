"""Values that many rooms share are kept once, up to a bound."""

from __future__ import annotations

from pipeline.core import interning
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model import avro
from pipeline.model import signals as s


def fresh(text: str) -> str:
    """Return an equal string that is another object."""
    return "".join(list(text))


def test_rooms_share_equal_app_ids_and_urls() -> None:
    partition = Partition(Rules())
    for room in ("a", "b"):
        partition.apply(s.ConferenceCreate("c", room, 0, fresh("app"), "name"), 0)
        partition.apply(s.ConferencePlay("p", room, 0, (fresh("http://x"), fresh("http://y")), "o"), 0)
    one, other = partition.rooms["a"], partition.rooms["b"]
    assert one.app_id is other.app_id
    assert one.urls is other.urls


def test_kept_values_are_bounded() -> None:
    for number in range(3 * interning.MOST):
        assert interning.interned(f"value {number}") == f"value {number}"
        avro.strings((f"http://{number}",))
    assert len(interning._values) <= interning.MOST
    assert len(avro._STRINGS) <= avro._MANY


def test_large_encoded_arrays_are_not_kept() -> None:
    large = ("x" * 2000,)
    assert avro.strings(large) == avro.strings(large)
    assert large not in avro._STRINGS
