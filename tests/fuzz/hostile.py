"""Values of up to 1 MiB that are built to be expensive to parse: all kinds that once were slow.

Each value is a function that builds it. Pytest needs only the names when it collects, once per process; building all
values takes seconds and 400 MB.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipeline.model.avro import long
from pipeline.model.wire import SCHEMAS

MIB = 1 << 20
T = 1_767_225_600_000_000
BASE = b'"signal_id":"s","room_id":"r","occurred_at":"2026-01-01T00:00:00Z"'
REST = {
    "conference.volume": b',"volume":1,"operation_id":"o"',
    "conference.create": b',"app_id":"a","name":"n"',
    "conference.play": b',"operation_id":"o"',
    "play.failed": b"",
}
ITEMS = {
    "empty strings": b'""',
    "short strings": b'"ab"',
    "escapes": b'"\\u0000"',
    "numbers": b"1",
    "floats": b"1e5",
    "long numbers": b"1" * 300,
    "long floats": b"1." + b"1" * 300 + b"e300",
    "nulls": b"null",
    "arrays": b"[]",
    "deep arrays": b"[" * 60 + b"]" * 60,
    "objects": b"{}",
    "objects with a key": b'{"":0}',
    "spaces": b" 1 ",
}
CHARS = {
    "letters": b"a",
    "line ends": b"\\n",
    "zeros": b"\\u0000",
    "escaped emoji": b"\\ud83d\\ude00",
    "emoji": "😀".encode(),
    "two bytes": "é".encode(),
    "three bytes": "漢".encode(),
    "a letter and two bytes": "aé".encode(),
    "a letter and an escape": b"a\\n",
    "dots": b".999999",
}
PAIRS = {
    "times": b'"occurred_at":"2026-01-01T00:00:00+01:00"',
    "finer times": b'"occurred_at":"2026-01-01T00:00:00.1234567+01:00"',
    "types": b'"type":"conference.volume"',
    "urls": b'"urls":["a","b","c"]',
    "ids": b'"operation_id":"o"',
    "volumes": b'"volume":7',
    "nothing": b'"":0',
    "escaped keys": b'"\\u006fccurred_at":"2026-01-01T00:00:00Z"',
}
Value = Callable[[], bytes]
Named = Iterator[tuple[str, Value]]


def fill(head: bytes, unit: bytes, tail: bytes, joint: bytes = b"", size: int = MIB) -> bytes:
    """Return `head`, as many `unit`s as fit into `size`, and `tail`."""
    count = (size - len(head) - len(tail) + len(joint)) // (len(unit) + len(joint))
    return head + joint.join([unit] * count) + tail


def _signal(kind: str, field: str, begin: bytes, unit: bytes, end: bytes, joint: bytes = b"") -> bytes:
    head = b'{"type":"%b",%b%b,"%b":%b' % (kind.encode(), BASE, REST[kind], field.encode(), begin)
    return fill(head, unit, end + b"}", joint)


def json_values() -> Named:
    """Yield signals as JSON."""
    arrays = (("conference.volume", "x"), ("play.failed", "urls"), ("conference.play", "urls"))
    for kind, field in (*arrays, ("play.failed", "occurred_at"), ("conference.volume", "volume")):
        for name, unit in ITEMS.items():
            yield f"{name} in {field} of {kind}", partial(_signal, kind, field, b"[", unit, b"]", b",")
    for name, unit in CHARS.items():
        for field in ("name", "app_id", "occurred_at", "type", "x", "urls"):
            yield f"{name} in {field}", partial(_signal, "conference.create", field, b'"', unit, b'"')
        yield (
            f"{name}, then a lone surrogate",
            partial(_signal, "conference.create", "name", b'"', unit, b'\\ud83d"'),
        )
        yield f"{name}, then no UTF-8", partial(_signal, "conference.create", "x", b'"', unit, b'\xff"')
        yield f"{name} in one url", partial(_signal, "conference.play", "urls", b'["http://', unit, b'"]')
        yield (
            f"{name} and commas in a url",
            partial(_signal, "play.failed", "urls", b'["', unit + b",", b'"]'),
        )
        urls = b'"http://' + unit * 1000 + b'"'
        yield f"{name} in many urls", partial(_signal, "conference.play", "urls", b"[", urls, b"]", b",")
    for name, pair in PAIRS.items():
        for kind in ("conference.volume", "play.failed"):
            yield f"repeated {name} in {kind}", partial(_signal, kind, "x", b"0,", pair, b"", b",")
    for field in ("volume", "x", "occurred_at"):
        for begin in (b"", b"1.", b"1e", b"0."):
            yield (
                f"digits of {field} after {begin!r}",
                partial(_signal, "conference.volume", field, begin, b"9", b""),
            )
    yield from _broken_json()


def _broken_json() -> Named:
    for name, unit in {
        "[": b"[",
        "{": b'{"":',
        "\\": b"\\",
        "\\u": b"\\u",
        "space": b" ",
        "[]": b"[],",
    }.items():
        yield f"nothing but {name} in an array", partial(fill, b'{"x":[', unit, b"")
        yield f"nothing but {name} in a string", partial(fill, b'{"x":"', unit, b'"}')
        yield f"nothing but {name}", partial(fill, b"{", unit, b"}")
    yield "many keys", _many_keys
    yield "times that differ", _times_that_differ


def _many_keys() -> bytes:
    return b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}"


def _times_that_differ() -> bytes:
    times = (b'"occurred_at":"2026-01-01T%02d:%02d:%02dZ"' % (n // 3600, n // 60 % 60, n % 60) for n in range(26_000))
    return b'{"type":"conference.volume",' + b",".join(times) + b"}"


FOUR = b"\2s\2r" + long(T)


def _zeros() -> bytes:
    return long(10**6) + b"\0" * (10**6 + 1)


def _after(head: bytes, body: Value) -> bytes:
    return head + body()


def avro_values() -> Iterator[tuple[str, str, Value]]:
    """Yield (name, record, body without the header) of signals as Avro."""
    for record, head in (("PlayFailed", FOUR + b"\0"), ("ConferencePlay", FOUR)):
        for name, body in {
            "a million items": _zeros,
            "blocks of one item": lambda: b"\2\0" * 500_000,
            "blocks of one item with a size": lambda: b"\1\2\0" * 340_000,
            "blocks with a long count": lambda: b"\x82\x80\x80\x80\x80\x00\0" * 149_000,
            "blocks of 1000 items": lambda: (long(1000) + b"\0" * 1000) * 1000,
            "1000 long items": lambda: long(1000) + (long(1000) + b"a" * 1000) * 1000 + b"\0",
            "127 bad items": lambda: long(127) + (long(8200) + b"\xff" * 8200) * 127,
            "127 long items": lambda: long(127) + (long(8200) + b"http://" + b"a" * 8193) * 127,
            "127 items of two bytes": lambda: long(127) + (long(8201) + b"http://" + "é".encode() * 4097) * 127,
        }.items():
            yield f"{record}: {name}", record, partial(_after, head, body)
    for name, *text in (
        ("letters", b"a", 1_040_000, b""),
        ("emoji", "😀".encode(), 260_000, b""),
        ("two bytes", "é".encode(), 520_000, b""),
        ("no UTF-8", b"a", 1_040_000, b"\xff"),
    ):
        yield f"{name} in a name", "ConferenceCreate", partial(_around, FOUR + b"\2a", *text, b"")
        yield f"{name} in an id", "ConferenceCreate", partial(_around, b"", *text, FOUR)
    yield "an endless number", "ConferenceCreate", lambda: b"\xff" * 1_048_000
    yield "bytes after the end", "ConferenceDestroy", lambda: FOUR + b"\0" * 1_040_000


def _around(head: bytes, unit: bytes, count: int, last: bytes, tail: bytes) -> bytes:
    """Return a string of many units and a last one, between `head` and `tail`."""
    return head + long(len(unit) * count + len(last)) + unit * count + last + tail


def _first(kind: Any, record: str = "MemberJoined") -> dict[str, Any]:
    """Return a writer's schema with an additional first field."""
    schema: dict[str, Any] = json.loads(SCHEMAS[f"conference.signal.{record}"])
    return {**schema, "fields": [{"name": "x", "type": kind}, *schema["fields"]]}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _record(name: str, *kinds: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": f"f{n}", "type": k} for n, k in enumerate(kinds)],
    }


def foreign_values() -> Iterator[tuple[str, str, Any, Value]]:
    """Yield (name, record, writer's schema, body without the header) of signals in other writers' Avro."""
    for name, items in {
        "nulls": "null", "ints": "int", "booleans": "boolean", "strings": "string", "unions": ["null", "int"],
        "arrays": _array("int"), "arrays of arrays": _array(_array(_array("int"))), "no records": _record("E"),
        "records of nothing": _record("E", *["null"] * 100),
    }.items():  # fmt: skip
        yield f"a million {name}", "MemberJoined", _first(_array(items)), _zeros
        yield f"blocks of {name}", "MemberJoined", _first(_array(items)), lambda: b"\2\0" * 500_000
    entries = {"type": "map", "values": "null"}
    yield "a map", "MemberJoined", _first(entries), lambda: long(500_000) + b"\0" * 500_000
    linked = _record("L", ["null", "L"])
    yield "a long list", "MemberJoined", _first(linked), lambda: b"\2" * 1_040_000
    yield (
        "many lists",
        "MemberJoined",
        _first(_array(linked)),
        lambda: long(4000) + (b"\2" * 250 + b"\0") * 4000,
    )
    many = {**_first("null"), "fields": _record("M", *["null"] * 100_000)["fields"]}
    yield "many fields", "MemberJoined", many, bytes
    yield "a record in itself", "MemberJoined", _first(_record("Z", "Z")), bytes
    doubling = [_record("R0"), *(_record(f"R{n}", *[f"R{n - 1}"] * 4) for n in range(1, 20))]
    yield "4^20 records", "MemberJoined", _first(_record("All", *doubling)), bytes
    yield "a string", "MemberJoined", _first("string"), lambda: long(1_040_000) + "😀".encode() * 260_000
    yield "bytes", "MemberJoined", _first("bytes"), lambda: long(1_040_000) + b"\xff" * 1_040_000
    failed = _first("null", "PlayFailed")
    yield "a million urls", "PlayFailed", failed, partial(_after, FOUR + b"\0", _zeros)
    yield (
        "1000 urls",
        "PlayFailed",
        failed,
        lambda: FOUR + b"\0" + long(1000) + (long(1000) + b"a" * 1000) * 1000 + b"\0",
    )


def engine_events() -> Named:
    """Yield FreeSWITCH events."""
    names = {"Core-UUID": "core", "FreeSWITCH-Switchname": "a", "Event-Sequence": "7", "Unique-ID": "u"}
    head = {"Event-Name": "CUSTOM", "Event-Subclass": "conference::maintenance", "Conference-Name": "room"}
    event = {**head, **names, "Event-Date-Timestamp": "1795354386106600", "Action": "play-file-done"}
    begin = json.dumps(event).encode()[:-1] + b","
    for header in ("x", "File", "Action", "Conference-Name", "Event-Date-Timestamp"):
        for name, unit in ITEMS.items():
            yield (
                f"{name} in {header}",
                partial(fill, b'%b"%b":[' % (begin, header.encode()), unit, b"]}", b","),
            )
        for name, unit in CHARS.items():
            yield (
                f"{name} in the text of {header}",
                partial(fill, b'%b"%b":"' % (begin, header.encode()), unit, b'"}'),
            )
    for name, pair in {
        "headers": b'"a":"b"',
        "actions": b'"Action":"del-member"',
        "nothing": b'"":0',
    }.items():
        yield f"repeated {name}", partial(fill, begin, pair, b"}", b",")
    yield "deep", partial(fill, begin + b'"x":', b"[", b"")
    for start in (b"", b"1."):
        yield f"digits after {start!r}", partial(fill, begin + b'"File":' + start, b"9", b"}")
