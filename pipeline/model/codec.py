"""Bytes to values and back: signals in (Avro in the registry's wire format, or JSON), events out.

Both forms of a signal are checked by the same rules, those of contract §4, which stand in `avro/`. What breaks
one raises `SignalError`, whose text names the field, what was expected and what was there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from pipeline.errors import SignalError
from pipeline.model.avro import shorten
from pipeline.model.events import Event
from pipeline.model.schema_resolution import field_and_fault, one_line, resolving
from pipeline.model.signals import SIGNALS, AnySignal, ConferencePlay, Micros
from pipeline.model.times import format_time, parse_time
from pipeline.model.wire import DECODERS, SCHEMAS

MAX_VALUE: Final = 1 << 20
"""The largest value of a signal, in bytes, uncompressed (contract §4)."""
MAX_SCHEMA: Final = 1 << 17
"""The longest schema of another writer, in characters: parsed, it takes 200 times the memory. Ours have 2,000."""
MAX_SHOWN: Final = 60

Decode = Callable[[bytes], AnySignal]
_RECORDS: Final[Mapping[str, Any]] = {signal.RECORD: signal for signal in SIGNALS}


_to_json: Final = msgspec.json.Encoder(enc_hook=format_time).encode  # asks the hook about Micros


# --- JSON ----------------------------------------------------------------------------------------------------


def _hook(_: type, text: Any) -> Micros:
    if not isinstance(text, str):
        raise ValueError(f"Expected an RFC 3339 time, got {_JSON_NAMES[type(text)]}")
    try:
        return Micros(parse_time(text))
    except ValueError as error:
        shown = f"{shorten(text)} ({error})"
        raise ValueError(f"Expected an RFC 3339 time with an offset, got {shown}") from None


_JSON_NAMES: Final = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    list: "array",
    dict: "object",
}
_from_json: Final[Decode] = msgspec.json.Decoder(AnySignal, dec_hook=_hook).decode
_replace: Final = msgspec.structs.replace


def decode_json(value: bytes) -> AnySignal:
    """A signal from its JSON text (contract §4). Raises SignalError."""
    try:
        if not value.isascii():
            value.decode()  # msgspec does not look into what it skips
        if len(value) > LONG_VALUE:
            value = _essence(value)
        return _from_json(value)
    except msgspec.ValidationError as error:
        raise SignalError(explain_json(str(error), value)) from None
    except UnicodeDecodeError as error:
        raise SignalError(f"the text is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise SignalError("the JSON is nested too deeply: expected at most 64 levels") from None
    except msgspec.DecodeError as error:
        # looked for only where one may be what msgspec stumbled over: that takes longer than all the rest
        if any(words in str(error) for words in _AT_SURROGATE) and _SURROGATE.search(value):
            raise SignalError(
                "the text holds a lone surrogate (\\ud800 to \\udfff without its pair)"
            ) from None
        raise SignalError(f"no JSON object (RFC 8259): {error}") from None


def decode_line(line: bytes) -> AnySignal:
    """A signal from a line of a file: its JSON text, with or without white space around it. Raises SignalError."""
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


LONG_VALUE: Final = 1 << 16
MAX_URLS: Final = 128
MAX_FAILED: Final = 1024
"""Urls of a `conference.play` (contract §4) and, our bound, of a `play.failed`."""
MAX_RAW: Final = 12 * 255 + 2
"""Bytes of the longest id in JSON, all of it escaped and beyond the BMP."""

_FIELDS: Final = {signal.TYPE: ("type", *signal.__struct_fields__) for signal in SIGNALS}
_IDS: Final = {"signal_id", "room_id", "app_id", "operation_id", "session_uuid"}
_HOLLOW: Final = {0x5B: b"[]", 0x7B: b"{}"}
_pick: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    msgspec.defstruct(
        "Picked", [(name, msgspec.Raw, msgspec.Raw()) for name in sorted(set().union(*_FIELDS.values()))]
    )
).decode
_type: Final = msgspec.json.Decoder(str).decode


def _at_most(items: int) -> Callable[[bytes], object]:
    """Reads an array over; the only type of msgspec that stops at the first item too many."""
    fields = [(f"u{n}", msgspec.Raw, msgspec.Raw()) for n in range(items)]
    kind = msgspec.defstruct("Some", fields, array_like=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(kind).decode


_COUNT: Final = {most: _at_most(most) for most in (MAX_URLS, MAX_FAILED)}


def _essence(value: bytes) -> bytes:
    """A long value without what no signal of its type has, and each field once, as its last one stands there.

    So that nothing costs more than to be read over: a key that comes twenty thousand times, a time that is
    a hundred thousand arrays, as many urls.
    """
    picked = _pick(value)
    kind = bytes(picked.type)
    names = _FIELDS.get(_type(kind) if kind[:1] == b'"' and len(kind) <= MAX_RAW else "", ("type",))
    parts = []
    for name in names:
        raw = bytes(getattr(picked, name))
        if not raw:
            continue
        if name == "urls":
            _bounded(raw, MAX_URLS if kind == _PLAY else MAX_FAILED)
        elif raw[0] in _HOLLOW:
            raw = _HOLLOW[raw[0]]  # what is in there does not matter: no field is an object, or another array
        elif len(raw) > MAX_RAW and name in _IDS and raw[0] == 0x22:
            shown = one_line(raw[: 4 * MAX_SHOWN].decode("utf-8", "replace"), MAX_SHOWN)
            raise SignalError(f"{name}: Expected str of length <= 255, got {shown}")
        parts.append(b'"%b":%b' % (name.encode(), raw))
    return b"{%b}" % b",".join(parts)


_PLAY: Final = b'"%b"' % ConferencePlay.TYPE.encode()


def _bounded(urls: bytes, most: int) -> None:
    if urls[0] != 0x5B or urls.count(b",") < most:
        return
    try:
        _COUNT[most](urls)
    except msgspec.ValidationError:
        raise SignalError(f"urls: Expected array of length <= {most}, got more") from None


_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_AT_SURROGATE: Final = ("surrogate", "hex escape", "truncated")
"""What msgspec says at one without its pair."""


def explain_json(message: str, value: bytes) -> str:
    """What msgspec said about `value`, on one line that names the field, the expectation and what was there."""
    path, what = field_and_fault(message)
    if path and what.startswith("Expected") and ", got" not in what:
        what = f"{what}, got {_found(path, value)}"
    return f"{path}: {what}" if path else what


def _found(path: str, value: bytes) -> str:
    """What stands at `path` (`field` or `field[3]`). Only the field is read, so a hostile value costs little."""
    field, _, index = path.partition("[")
    if index and len(value) > LONG_VALUE:
        return "something else"  # to look for it would take longer than to read it did
    try:
        raw = getattr(_one_field(field).decode(value), field)
        if index:
            raw = _raw_items(raw)[int(index.rstrip("]"))]
    except (msgspec.MsgspecError, ValueError, LookupError, RecursionError):
        return "something else"  # the field stands there twice, or what follows it is no JSON
    text = bytes(memoryview(raw)[: 4 * MAX_SHOWN]).decode("utf-8", "replace")
    return one_line(text, MAX_SHOWN)


@lru_cache(maxsize=64)  # a field of a signal: there are few
def _one_field(name: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Found", [(name, msgspec.Raw, msgspec.Raw(b"nothing"))]))


_raw_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def event_json(event: Event) -> bytes:
    """The event as one compact JSON line (contract §3), LF at the end. SignalError if its time can't be written."""
    meta = event.meta
    if type(meta.occurred_at) is not Micros:  # a deadline, or read from Avro: a plain int
        meta = _replace(meta, occurred_at=Micros(meta.occurred_at))
        event = _replace(event, meta=meta)
    try:
        return _to_json(event) + b"\n"
    except OverflowError:
        raise SignalError(f"meta.occurred_at: {meta.occurred_at} is no time of the years 1 to 9999") from None


def signal_json(signal: AnySignal) -> bytes:
    """The signal as one compact JSON line, LF at the end."""
    fields = {"type": signal.TYPE, **msgspec.structs.asdict(signal)}
    fields["occurred_at"] = format_time(signal.occurred_at)
    return _to_json(fields) + b"\n"


# --- Avro ----------------------------------------------------------------------------------------------------


def decoder(schema_id: int, text: str | None, known: Mapping[str, Any] = _RECORDS) -> Callable[[bytes], Any]:
    """A decoder of values whose header names `schema_id`, with the writer's schema `text`.

    `known` are the records it may be of, by full name. The decoder raises SignalError.
    """
    if text is None:
        return _refuse(f"the registry has no schema with id {schema_id}")
    if len(text) > MAX_SCHEMA:
        return _refuse(
            f"schema id {schema_id} is of a schema of {len(text)} characters, more than {MAX_SCHEMA}"
        )
    try:
        parsed = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _refuse(f"schema id {schema_id} is of a schema that can't be read: {error}")
    name = str(parsed.get("name", "")) if isinstance(parsed, dict) else ""
    if name and "." not in name:
        name = f"{parsed.get('namespace', '')}.{name}".lstrip(".")
    if name not in known:
        shown = one_line(name, 2 * MAX_SHOWN) or "no record"
        return _refuse(f"schema id {schema_id} is of {shown}, which has no business on this topic")
    if _canonical(parsed) == _canonical(msgspec.json.decode(SCHEMAS[name])):
        return DECODERS[name]
    return resolving(parsed, known[name])


def _canonical(schema: Any) -> str | None:
    """None for a schema that leans on others (the registry's references), or is none: ours never is."""
    from fastavro import schema as avro  # here, so that `replay` starts without it

    try:
        return str(avro.to_parsing_canonical_form(schema))
    except (avro.SchemaParseException, avro.UnknownType, *_NO_SCHEMA):
        return None


_NO_SCHEMA: Final = (TypeError, AttributeError, LookupError, ValueError, RecursionError)
"""What fastavro makes of JSON that no registry should have taken as a schema."""


def _refuse(reason: str) -> Callable[[bytes], Any]:
    def refuse(_: bytes) -> Any:
        raise SignalError(reason)

    return refuse
