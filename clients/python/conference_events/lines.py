"""Events and signals as JSON, in the form that `conference-pipeline events` prints and `send` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from conference_events.errors import InvalidDataError, UnknownTypeError
from conference_events.events import EVENTS, AnyEvent, Event
from conference_events.signals import AnySignal, Signal


class _Head(msgspec.Struct):
    event: str


_NAMES: Final = frozenset(event.EVENT for event in EVENTS)
_head: Final = msgspec.json.Decoder(_Head)
_event: Final = msgspec.json.Decoder(AnyEvent)
_signal: Final = msgspec.json.Decoder(AnySignal)


def event_from_json(text: bytes | str) -> AnyEvent:
    """Return the event of a JSON text. Unknown fields are ignored: a newer version may add some.

    Raises UnknownTypeError for an event of another name, InvalidDataError for anything else.
    """
    try:
        event: AnyEvent = _event.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        _raise_if_unknown(text)
        raise InvalidDataError(f"no event: {error}") from None
    return event


def _raise_if_unknown(text: bytes | str) -> None:
    try:
        name = _head.decode(text).event
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    if name not in _NAMES:
        raise UnknownTypeError(f"event {name[:100]!r} is not known: skip it, or install a newer conference-events")


def events_from_lines(lines: Iterable[bytes | str]) -> Iterator[AnyEvent]:
    """Return the events of JSON lines; skip blank lines and unknown types. Raises InvalidDataError with the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield event_from_json(line)
        except UnknownTypeError:
            continue
        except InvalidDataError as error:
            raise InvalidDataError(f"line {number}: {error}") from None


def event_json(event: Event) -> bytes:
    """Return the event as one compact JSON line with LF: the bytes that `conference-pipeline events` prints."""
    return _encoded(event, "event", event.EVENT)


def signal_json(signal: Signal) -> bytes:
    """Return the signal as one compact JSON line with LF. Raises InvalidDataError if it breaks a rule."""
    try:
        data = _encoded(signal, "type", signal.TYPE)
        _signal.decode(data)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise InvalidDataError(f"{signal.TYPE}: {error}") from None
    return data


def _encoded(record: Any, tag: str, name: str) -> bytes:
    return msgspec.json.encode({tag: name, **_plain(record)}) + b"\n"


def _plain(record: Any) -> dict[str, Any]:
    """Return the fields of a record with each time as RFC 3339 text of six decimals."""
    fields = msgspec.structs.asdict(record)
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = _time(value)
        elif isinstance(value, msgspec.Struct):
            fields[name] = _plain(value)
    return fields


def _time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with an offset, such as datetime.now(UTC), got {moment}")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
