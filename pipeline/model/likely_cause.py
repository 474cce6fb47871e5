"""Which mistake of a producer a bad value looks like. Texts of dead letters end with it.

It runs once for each dead letter, of which a flood must not stop a worker: a few comparisons, no search in the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

_IN_HEADERS: Final = {
    "apicurio.value.": "set apicurio.registry.headers.enabled=false",
    "__value_schema_id": "set value.schema.id.serializer to Confluent's PrefixSchemaIdSerializer",
}
"""Beginnings of the headers in which serializers may put the schema id, and how to put it into the value."""
_BEGINNINGS: Final = {
    b"\xef\xbb\xbf": "it begins with a byte order mark: write UTF-8 without one",
    b"\xff\xfe": "it is UTF-16: write UTF-8",
    b"\xfe\xff": "it is UTF-16: write UTF-8",
    b"Obj\x01": "it is an Avro container file: send one record, in the registry's wire format",
    b"\x1f\x8b": "it is compressed with gzip: set the producer's compression.type instead",
    b"[": "it is a JSON array: send each signal as a record of its own",
    b'"': "it is a JSON string: the signal was encoded twice",
    b" ": "JSON must begin with its {, without white space",
    b"\t": "JSON must begin with its {, without white space",
    b"\n": "JSON must begin with its {, without white space",
    b"\r": "JSON must begin with its {, without white space",
}
_MAX_NAME: Final = 60


def likely_cause(value: bytes, headers: bytes | Iterable[tuple[str, bytes | None]]) -> str:
    """Return `: ` and the likely cause of a value that can't be read as a signal, with the remedy; "" if unknown."""
    for beginning, remedy in _IN_HEADERS.items():
        if _has_header(headers, beginning):
            return f": the schema id is in a header ({beginning.rstrip('.')}…), expected in the value: {remedy}"
    for size in (4, 3, 2, 1):
        if cause := _BEGINNINGS.get(value[:size]):
            return f": {cause}"
    if value[:5] == b"\0\0\0\0\0" and len(value) > 9:
        return (
            ": it looks like Apicurio's 8-byte id: use 4-byte ids (not Legacy8ByteIdHandler; "
            "with Apicurio 2 apicurio.registry.as-confluent=true)"
        )
    if value[:1] not in (b"\0", b"{"):
        return ": if it is Avro, the five bytes of the registry's wire format are missing: use its serializer"
    return ""


def _has_header(headers: bytes | Iterable[tuple[str, bytes | None]], beginning: str) -> bool:
    if isinstance(headers, bytes):
        return beginning.encode() in headers
    return any(name.startswith(beginning) for name, _ in headers)


def nearest(found: str, known: tuple[str, ...]) -> str:
    """Return the name in `known` that `found` may stand for; "" if none is near.

    Near is: the same but for case, separators and one character; or that of the last part (`a.b.Create`).
    """
    names = _index(known)
    for text in _spellings(found[:_MAX_NAME]):
        for variant in _variants(text):
            if name := names.get(variant):
                return name
    return ""


@lru_cache(maxsize=8)
def _index(known: tuple[str, ...]) -> Mapping[str, str]:
    """Map all variants of the known names to them; a variant of several names to none."""
    found: dict[str, str] = {}
    for rank in (0, 1):  # whole names precede last parts
        added: dict[str, str] = {}
        for name in known:
            for variant in _variants(list(_spellings(name))[rank]):
                added[variant] = "" if added.get(variant, name) != name else name
        found = {**added, **found}
    return found


def _spellings(name: str) -> Iterator[str]:
    """Yield the whole name and its last part, without case and separators."""
    yield re.sub(r"[^a-z0-9]", "", name.casefold())
    yield re.sub(r"[^a-z0-9]", "", name.casefold().rpartition(".")[2])


def _variants(text: str) -> Iterator[str]:
    """Yield `text`, and each text that lacks one of its characters. Two that differ in one character share one."""
    if text:
        yield text
    if len(text) > 3:
        for at in range(len(text)):
            yield text[:at] + text[at + 1 :]
