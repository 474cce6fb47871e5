"""The keys of the table's rows, as the contract writes them."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.model.row_keys import GONE, KINDS, MEMBER, POSITION, POSITION_KEY, ROOM, decode_key, encode_key

KEYS = [
    ((ROOM, 'a"b'), b'["room","a\\"b"]'),
    ((MEMBER, "room-1", "session"), b'["member","room-1","session"]'),
    ((GONE, "room-1"), b'["gone","room-1"]'),
    ((POSITION,), b'["position"]'),
]


@pytest.mark.parametrize(("parts", "key"), KEYS)
def test_keys_are_compact_json_arrays(parts: tuple[str, ...], key: bytes) -> None:
    assert encode_key(parts) == key
    assert decode_key(key) == list(parts)


@pytest.mark.parametrize("key", [b'["door",1]', b'["door",{"a":[]},"b"]', b'["",null]'])
def test_the_kind_of_an_unknown_key_is_found_whatever_follows(key: bytes) -> None:
    [kind] = decode_key(key)
    assert kind not in KINDS


@pytest.mark.parametrize("key", [b'["room",1]', b"[]", b"[1]", b"{}", b'"room"', b'["door"', b"\xff", b""])
def test_other_bytes_are_no_key(key: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        [_, *_] = decode_key(key)


def test_position_key_has_no_ids() -> None:
    assert POSITION_KEY == b'["position"]'
