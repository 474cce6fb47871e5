"""One event's text → its headers: a JSON object, the envelope of a Kafka tool around it, or `Name: value` lines.

Only the headers that the adapter uses are read; whatever stands in the others is skipped. In those that are used, a
byte that is not UTF-8 becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from pipeline.engines.freeswitch.adapter.values import decoded_percent, repaired
from pipeline.errors import SignalError
from pipeline.model.error_text import one_line

MAX_EVENT: Final = 1 << 20  # bytes of one event
HEADERS: Final = (
    "Action", "Answer-State", "Caller-Caller-ID-Number", "Conference-Ghosts", "Conference-Name", "Conference-Size",
    "Conference-Unique-ID", "Core-UUID", "Error", "Event-Date-Timestamp", "Event-Name", "Event-Sequence",
    "Event-Subclass", "File", "FreeSWITCH-Switchname", "Hangup-Cause", "Speak", "Unique-ID", "api", "samples",
)  # fmt: skip
"""The headers that the adapter uses."""
ENVELOPE: Final = ("payload", "value")
"""The field of a record's value in the JSON output of `kcat -J` and of `rpk topic consume`."""
BY_LOWER_CASE: Final = {header.lower().encode(): header for header in HEADERS}
JSON_TYPES: Final[dict[type, str]] = {
    bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object",
    type(None): "null",
}  # fmt: skip
_EMPTY: Final[dict[int, Any]] = {0x22: "", 0x5B: [], 0x7B: {}, 0x74: True, 0x66: False, 0x6E: None}
"""First byte of a JSON value → an empty value of its type; errors name only the type. Others are numbers."""

Headers = dict[str, object]


def _picker(names: Iterable[str]) -> Callable[[bytes], dict[str, msgspec.Raw]]:
    """Return a reader of the values of some keys; it skips all others without decoding them."""
    keys = list(dict.fromkeys(names))
    fields = [(f"h{n}", msgspec.Raw, msgspec.Raw()) for n in range(len(keys))]
    kind = msgspec.defstruct("Headers", fields, rename={f"h{n}": key for n, key in enumerate(keys)})
    decode, values = msgspec.json.Decoder(kind).decode, msgspec.structs.astuple

    def pick(text: bytes) -> dict[str, msgspec.Raw]:
        return {name: raw for name, raw in zip(keys, values(decode(text)), strict=True) if raw}

    return pick


_pick: Final = _picker((*HEADERS, *ENVELOPE))
_CASES: Final = (lambda name: "-".join(map(str.capitalize, name.split("-"))), str.lower, str.upper)
_SPELLINGS: Final = {case(header): header for case in _CASES for header in HEADERS}
"""How libraries spell the headers: Go's `Core-Uuid`, `core-uuid`, `CORE-UUID`."""
_pick_spellings: Final = _picker(_SPELLINGS)
_text_of: Final = msgspec.json.Decoder(str).decode


class NotJsonError(SignalError):
    """The text is not JSON at all."""


def read_event(text: bytes) -> Headers:
    """Return the headers that the adapter uses from an event's JSON text. Raises SignalError.

    A header that is not a string becomes an empty value of its type, so that large values cost nothing.
    """
    found = _read_object(text)
    if "Event-Name" not in found:
        for field in ENVELOPE:
            if isinstance(payload := found.get(field), str):
                return _payload(payload)
    return {name: value for name, value in found.items() if name not in ENVELOPE}


def _payload(payload: str) -> Headers:
    """Return the headers of an event in an envelope."""
    value = payload.encode("utf-8", "replace")
    if value.lstrip()[:1] == b"{":
        return {name: found for name, found in _read_object(value).items() if name not in ENVELOPE}
    event: Headers = {}
    for line in value.splitlines():
        name, colon, text = line.partition(b": ")
        if colon:
            put_plain(event, name, text)
    if not event:
        raise SignalError("the record in the envelope is not an event of FreeSWITCH")
    return event


def _read_object(text: bytes) -> Headers:
    if len(text) > MAX_EVENT:
        raise SignalError(f"the event has {len(text)} bytes, more than {MAX_EVENT}")
    try:
        try:
            found = _pick(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if (text := repaired(whole := text)) == whole:
                raise
            found = _pick(text)
        if "Core-UUID" not in found and "api" not in found:
            other = {_SPELLINGS[name]: raw for name, raw in _pick_spellings(text).items()}
            found = {**other, **found}
        return {name: _value(raw) for name, raw in found.items()}
    except msgspec.ValidationError:
        what = JSON_TYPES[type(_EMPTY.get(text.lstrip()[0], 0))]
        raise SignalError(f"expected a JSON object, got {what}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotJsonError(f"not a JSON object: {one_line(str(error))}") from None


def _value(raw: msgspec.Raw) -> object:
    first = memoryview(raw)[0]
    if first != 0x22:
        return _EMPTY.get(first, 0)
    try:
        return _text_of(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text_of(bytes(raw).decode("utf-8", "replace"))


def put_plain(event: Headers, name: bytes, value: bytes) -> int:
    """Add a header of the plain form, if the adapter uses it; return the bytes that are kept.

    The event socket percent-encodes the values. A header that was set more than once becomes an array, as in JSON.
    """
    header = BY_LOWER_CASE.get(name.lower())
    if header is None:
        return 0
    text = decoded_percent(value.strip(b"\r\n"))
    event[header] = [] if header in event or text.startswith("ARRAY::") else text
    return len(value)
