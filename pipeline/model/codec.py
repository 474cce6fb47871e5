"""Signals and events as JSON (contract §3 and §4).

A value that breaks a rule of contract §4 raises SignalError, which names the field, what was expected and what was
found. `avro/` holds the rules for both forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from pipeline.errors import SignalError
from pipeline.model.error_text import UNKNOWN_TYPE, fault, one_line, shorten
from pipeline.model.events import Event
from pipeline.model.likely_cause import nearest
from pipeline.model.signals import SIGNALS, AnySignal, Micros
from pipeline.model.times import format_time, parse_time

MAX_VALUE: Final = 1 << 20  # bytes of a signal's value, uncompressed (contract §4)
LONG_VALUE: Final = 1 << 16  # bytes from which a value is reduced before it is decoded (`_reduced`)
MAX_URLS: Final = 128  # urls of a signal (contract §4)
MAX_RAW: Final = 12 * 255 + 2  # bytes of the longest id in JSON: every character escaped and beyond the BMP
MAX_SHOWN: Final = 60  # characters of a bad value that an error message shows


def _hook(_: type, text: Any) -> Micros:
    if not isinstance(text, str):
        raise ValueError(f"Expected an RFC 3339 time, got {_JSON_NAMES[type(text)]}")
    try:
        return Micros(parse_time(text))
    except ValueError as error:
        raise ValueError(f"Expected an RFC 3339 time with an offset, got {shorten(text)} ({error})") from None


_JSON_NAMES: Final = {type(None): "null", bool: "bool", int: "int", float: "float", list: "array", dict: "object"}
_from_json: Final[Callable[[bytes], AnySignal]] = msgspec.json.Decoder(AnySignal, dec_hook=_hook).decode


def decode_json(value: bytes) -> AnySignal:
    """Return the signal of a JSON text (contract §4). Raises SignalError."""
    try:
        if not value.isascii():
            value.decode()  # msgspec does not check the UTF-8 of fields that it skips
        if len(value) > LONG_VALUE:
            value = _reduced(value)
        return _from_json(value)
    except msgspec.ValidationError as error:
        text = fault(str(error), partial(_found, value))
        raise SignalError(text + _meant(text)) from None
    except UnicodeDecodeError as error:
        raise SignalError(f"the text is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise SignalError("the JSON is nested too deeply: expected at most 64 levels") from None
    except msgspec.DecodeError as error:
        # Searched only if msgspec's error may be due to one: the search takes longer than all other steps.
        if any(words in str(error) for words in _AT_SURROGATE) and _SURROGATE.search(value):
            raise SignalError("the text holds a lone surrogate (\\ud800 to \\udfff without its pair)") from None
        raise SignalError(f"no JSON object (RFC 8259): {error}") from None


def _meant(text: str) -> str:
    """Return the end of an error's text about a type that no signal has: the nearest known one."""
    _, of_type, found = text.partition(f"{UNKNOWN_TYPE} '")
    meant = nearest(found, _TYPES) if of_type else ""
    return f"; do you mean {meant!r}?" if meant else ""


def decode_line(line: bytes) -> AnySignal:
    """Return the signal of a line: JSON text, with or without white space around it. Raises SignalError."""
    if line[:1] == b"{" and len(line) <= MAX_VALUE:
        return decode_json(line)
    text = line.strip(b" \t\r\n")
    if not text:
        raise SignalError("the line is blank")
    if len(text) > MAX_VALUE:
        raise SignalError(f"the line has {len(text)} bytes, more than {MAX_VALUE}")
    if text[0] != 0x7B:  # {
        raise SignalError("expected a JSON object")
    return decode_json(text)


_TYPES: Final = tuple(signal.TYPE for signal in SIGNALS)
_FIELDS: Final = {signal.TYPE: ("type", *signal.__struct_fields__) for signal in SIGNALS}
_IDS: Final = {"signal_id", "room_id", "app_id", "operation_id", "session_uuid"}
_HOLLOW: Final = {0x5B: b"[]", 0x7B: b"{}"}
_pick: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    msgspec.defstruct("Picked", [(name, msgspec.Raw, msgspec.Raw()) for name in sorted(set().union(*_FIELDS.values()))])
).decode


_count: Final[Callable[[bytes], object]] = msgspec.json.Decoder(
    msgspec.defstruct(
        "Urls",
        [(f"u{n}", msgspec.Raw, msgspec.Raw()) for n in range(MAX_URLS)],
        array_like=True,
        forbid_unknown_fields=True,
    )
).decode
"""Reads an array and fails at item MAX_URLS + 1; only an array-like struct stops that early."""


def _reduced(value: bytes) -> bytes:
    """Return a long value with only the fields of its signal's type, each once: a repeated key keeps its last value.

    This bounds the cost of hostile values: a key that is repeated 20,000 times, a time that is 100,000 arrays, 100,000
    urls.
    """
    picked = _pick(value)
    kind = bytes(picked.type)
    short = kind[:1] == b'"' and len(kind) <= MAX_RAW
    names = _FIELDS.get(msgspec.json.decode(kind, type=str) if short else "", ("type",))
    parts = []
    for name in names:
        raw = bytes(getattr(picked, name))
        if not raw:
            continue
        if name == "urls":
            _check_count(raw)
        elif raw[0] in _HOLLOW:
            raw = _HOLLOW[raw[0]]  # an error in any case: no other field is an array or an object
        elif len(raw) > MAX_RAW and name in _IDS and raw[0] == 0x22:
            shown = one_line(raw[: 4 * MAX_SHOWN].decode("utf-8", "replace"), MAX_SHOWN)
            raise SignalError(f"{name}: Expected str of length <= 255, got {shown}")
        parts.append(b'"%b":%b' % (name.encode(), raw))
    return b"{%b}" % b",".join(parts)


def _check_count(urls: bytes) -> None:
    if urls[0] != 0x5B or urls.count(b",") < MAX_URLS:
        return
    try:
        _count(urls)
    except msgspec.ValidationError:
        raise SignalError(f"urls: Expected array of length <= {MAX_URLS}, got more") from None


_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_AT_SURROGATE: Final = ("surrogate", "hex escape", "truncated")  # words in msgspec's errors for one without its pair


def _found(value: bytes, field: str, index: str) -> str:
    """Return the JSON of a field or of its item, shortened. Fields are not decoded, which bounds the cost."""
    if index and len(value) > LONG_VALUE:
        return "something else"  # finding it would take longer than decoding the value
    try:
        raw = getattr(_pick(value), field)
        if index:
            raw = msgspec.json.decode(raw, type=list[msgspec.Raw])[int(index.rstrip("]"))]
    except (msgspec.MsgspecError, ValueError, LookupError, RecursionError):
        return "something else"  # a repeated field, or invalid JSON after it
    return one_line(bytes(memoryview(raw)[: 4 * MAX_SHOWN]).decode("utf-8", "replace"), MAX_SHOWN)


_to_json: Final = msgspec.json.Encoder(enc_hook=format_time).encode  # calls the hook for Micros
_replace: Final = msgspec.structs.replace


def event_json(event: Event) -> bytes:
    """Return the event as one compact JSON line (contract §3), with LF.

    Raises SignalError if its time is not in the years 1 to 9999.
    """
    meta = event.meta
    if type(meta.occurred_at) is not Micros:  # a plain int: a deadline, or decoded from Avro
        meta = _replace(meta, occurred_at=Micros(meta.occurred_at))
        event = _replace(event, meta=meta)
    try:
        return _to_json(event) + b"\n"
    except OverflowError:
        text = f"expected a time in the years 1 to 9999, found {meta.occurred_at}"
        raise SignalError(f"meta.occurred_at: {text}") from None


def signal_json(signal: AnySignal) -> bytes:
    """Return the signal as one compact JSON line, with LF."""
    fields = {**msgspec.structs.asdict(signal), "occurred_at": format_time(signal.occurred_at)}
    return _to_json({"type": signal.TYPE, **fields}) + b"\n"
