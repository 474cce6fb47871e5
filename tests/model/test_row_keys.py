"""The keys of the table's rows, as the contract writes them."""

from __future__ import annotations

import pytest

from pipeline.model.row_keys import MEMBER, POSITION, POSITION_KEY, ROOM, decode_key, encode_key

KEYS = [
    ((ROOM, 'a"b'), b'["room","a\\"b"]'),
    ((MEMBER, "room-1", "session"), b'["member","room-1","session"]'),
    ((POSITION,), b'["position"]'),
]


@pytest.mark.parametrize(("parts", "key"), KEYS)
def test_keys_are_compact_json_arrays(parts: tuple[str, ...], key: bytes) -> None:
    assert encode_key(parts) == key
    assert decode_key(key) == list(parts)


def test_position_key_has_no_ids() -> None:
    assert POSITION_KEY == b'["position"]'
