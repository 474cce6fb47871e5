"""The partition of a key, as the Java client's default partitioner chooses it (contract §2)."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among this number of partitions: murmur2, as the Java client uses it."""
    number: int = murmur2(key) & 0x7FFFFFFF
    return number % partitions


def room_key(room_id: str) -> bytes:
    """Return the record key of a room. Bytes of an argument that are not UTF-8 stay as they were given."""
    return room_id.encode("utf-8", "surrogateescape")
