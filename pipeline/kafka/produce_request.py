"""A Produce request whose records are copied once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Int16, Int32, String

_text = String("utf-8").encode


class JoinedProduce(ProduceRequest):
    """aiokafka's Produce request with records as `Parts`: copied once, instead of at eight levels of the encoding."""

    def build(self, request_struct_class: Any) -> Any:
        return super().build(_joined(request_struct_class))


@lru_cache
def _joined(kind: Any) -> Any:
    return type(kind.__name__, (kind,), {"encode": _encode}) if kind.API_VERSION >= 3 else kind


class _Message:
    """The parts of a request. aiokafka prepends first the header, then the length; the second `+` joins all parts."""

    def __init__(self, parts: list[bytes], has_header: bool = False) -> None:
        self._parts = parts
        self._has_header = has_header

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __radd__(self, front: bytes) -> bytes | _Message:
        parts = [front, *self._parts]
        return b"".join(parts) if self._has_header else _Message(parts, has_header=True)


def _encode(struct: Any) -> _Message:
    parts = [_text(struct.transactional_id), Int16.encode(struct.required_acks)]
    parts += Int32.encode(struct.timeout), Int32.encode(len(struct.topics))
    for topic, partitions in struct.topics:
        parts += _text(topic), Int32.encode(len(partitions))
        for number, records in partitions:
            parts += Int32.encode(number), Int32.encode(len(records)), *records.parts
    return _Message(parts)
