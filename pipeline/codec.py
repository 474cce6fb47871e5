"""Bytes to values and back: signals in (Avro in the registry's wire format, or JSON), events out.

Both forms of a signal are checked by the same rules, those of contract §4, which stand in `avro/`. What breaks
one raises `SignalError`, whose text names the field, what was expected and what was there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import fastavro
import msgspec

from pipeline.errors import PipelineError, SignalError
from pipeline.events import Event
from pipeline.resolve import FIRST_TIME, LAST_TIME, resolving
from pipeline.signals import SIGNALS, AnySignal, Micros
from pipeline.wire import DECODERS, SCHEMAS

MAX_VALUE: Final = 1 << 20
"""The largest value of a signal, in bytes, uncompressed (contract §4)."""
MAX_SHOWN: Final = 60

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Decode = Callable[[bytes], AnySignal]
_RECORDS: Final = {signal.RECORD: signal for signal in SIGNALS}


class UnknownSchemaError(PipelineError):
    """The value names a schema id that has not been learnt yet: ask the registry, then decode again."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} has not been asked for yet")
        self.schema_id = schema_id


# --- time ----------------------------------------------------------------------------------------------------


def parse_time(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time with an offset (contract §4). Raises ValueError."""
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        # A fraction beyond microseconds would be rounded, and can't be at the end of the year 9999: cut it.
        moment = msgspec.convert(re.sub(r"(\.\d{6})\d+", r"\1", text), datetime)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    since = moment - _EPOCH
    micros = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    if not FIRST_TIME <= micros <= LAST_TIME:
        raise ValueError("its year in UTC is not 1 to 9999")
    return micros


def format_time(micros: int) -> str:
    """RFC 3339 in UTC with six decimals and `Z` (contract §3)."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")[:26] + "Z"


# --- JSON ----------------------------------------------------------------------------------------------------


def _hook(_: type, text: Any) -> Micros:
    if not isinstance(text, str):
        raise ValueError(f"Expected an RFC 3339 time, got {_shown(text)}")
    try:
        return Micros(parse_time(text))
    except ValueError as error:
        raise ValueError(f"Expected an RFC 3339 time with an offset, got {_shown(text)} ({error})") from None


_from_json: Final[Decode] = msgspec.json.Decoder(AnySignal, dec_hook=_hook).decode
_to_json: Final = msgspec.json.Encoder().encode


def decode_json(value: bytes) -> AnySignal:
    """A signal from its JSON text (contract §4). Raises SignalError."""
    try:
        return _from_json(value)
    except msgspec.ValidationError as error:
        raise SignalError(_explain(str(error), value)) from None
    except UnicodeDecodeError as error:
        raise SignalError(f"the text is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise SignalError("the JSON is nested too deeply: expected at most 64 levels") from None
    except msgspec.DecodeError as error:
        if _SURROGATE.search(value):
            raise SignalError(
                "the text holds a lone surrogate (\\ud800 to \\udfff without its pair)"
            ) from None
        raise SignalError(f"no JSON object (RFC 8259): {error}") from None


_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PATH: Final = re.compile(r"^(?P<what>.*?) - at `\$(?P<path>.*)`$", re.S)


def _explain(message: str, value: bytes) -> str:
    """msgspec names path and expectation; add what was there."""
    match = _PATH.match(message)
    if match is None:
        return message.replace("`", "")
    what, path = match["what"].replace("`", ""), match["path"].lstrip(".")
    if "got" in what or not path:
        return f"{path}: {what}".removeprefix(": ")
    found: Any = msgspec.json.decode(value)
    for key in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path):
        index, name = key
        found = found[int(index)] if index else found.get(name)
    return f"{path}: {what}, got {_shown(found)}"


def _shown(found: Any) -> str:
    text = repr(found) if isinstance(found, str) else _to_json(found).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(found)} long)"


def event_json(event: Event) -> bytes:
    """The event as one compact JSON line (contract §3), LF at the end."""
    meta = msgspec.structs.asdict(event.meta)
    meta["occurred_at"] = format_time(meta["occurred_at"])
    fields = {"event": event.EVENT, **msgspec.structs.asdict(event), "meta": meta}
    return _to_json(fields) + b"\n"


def signal_json(signal: AnySignal) -> bytes:
    """The signal as one compact JSON line, LF at the end."""
    fields = {"type": signal.TYPE, **msgspec.structs.asdict(signal)}
    fields["occurred_at"] = format_time(signal.occurred_at)
    return _to_json(fields) + b"\n"


# --- Avro ----------------------------------------------------------------------------------------------------


class SignalDecoder:
    """Signals from the values of Kafka records.

    It learns a writer's schema once, by `learn`; a value with an id that it has not learnt raises
    `UnknownSchemaError`, so that asking the registry stays the caller's business.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Decode] = {}

    def learn(self, schema_id: int, text: str | None) -> None:
        """Know `schema_id` as the schema `text` (None: the registry has no such id)."""
        self._by_id[schema_id] = _decoder(schema_id, text)

    def forget(self, schema_id: int) -> None:
        """Ask for `schema_id` again when it is next met."""
        self._by_id.pop(schema_id, None)

    def decode(self, value: bytes | None) -> AnySignal:
        """The signal in `value`. Raises SignalError or UnknownSchemaError."""
        if not value:
            raise SignalError("the value is null" if value is None else "the value is empty")
        if len(value) > MAX_VALUE:
            raise SignalError(f"the value has {len(value)} bytes, more than {MAX_VALUE}")
        first = value[0]
        if first == 0x7B:  # {
            return decode_json(value)
        if first != 0:
            raise SignalError(f"expected magic byte 0 or a JSON object, got first byte {first:#04x}")
        if len(value) < 5:
            raise SignalError(f"the value has {len(value)} bytes, too few for magic byte and schema id")
        schema_id = int.from_bytes(value[1:5])
        decode = self._by_id.get(schema_id)
        if decode is None:
            raise UnknownSchemaError(schema_id)
        return decode(value)


def _decoder(schema_id: int, text: str | None) -> Decode:
    if text is None:
        return _refuse(f"the registry has no schema with id {schema_id}")
    parsed = msgspec.json.decode(text)
    name = parsed.get("name", "") if isinstance(parsed, dict) else ""
    if "." not in name and name:
        name = f"{parsed.get('namespace', '')}.{name}".lstrip(".")
    if name not in _RECORDS:
        return _refuse(f"schema id {schema_id} is of {name or 'no record'}, which is no signal")
    if _canonical(parsed) == _canonical(msgspec.json.decode(SCHEMAS[name])):
        ours = DECODERS[name]
        return lambda value: ours(value, 5)
    return resolving(parsed, _RECORDS[name])


def _canonical(schema: Any) -> str:
    return str(fastavro.schema.to_parsing_canonical_form(schema))


def _refuse(reason: str) -> Decode:
    def refuse(_: bytes) -> AnySignal:
        raise SignalError(reason)

    return refuse
