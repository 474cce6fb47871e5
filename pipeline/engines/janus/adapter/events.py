"""Texts of Janus' event handlers → events of the AudioBridge and of the server itself.

A text is one event or a list of events. Only the fields that the adapter uses are read. All errors of an event are
found here, before any state changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from pipeline.errors import SignalError
from pipeline.model.error_text import one_line
from pipeline.model.times import LAST_TIME

PLUGIN: Final = 64
CORE: Final = 256
STARTED: Final = 1
AUDIOBRIDGE: Final = "janus.plugin.audiobridge"
MAX_KIND: Final = 64
_NOTHING: Final = msgspec.Raw(b"{}")


class JanusEvent(msgspec.Struct, frozen=True):
    """An event.

    kind    `event` of the AudioBridge's data, `server-started` of a start of Janus, `other`
    time    microseconds since 1970, by Janus' clock
    source  the server_name of Janus
    own     whether the session of a member caused it, not Janus itself (the event has a session_id)
    """

    kind: str
    time: int
    source: str
    own: bool = False
    room: str = ""
    member: str = ""
    display: str = ""
    muted: bool | None = None
    file_id: str = ""


class _Envelope(msgspec.Struct):
    type: int = 0
    subtype: int | None = None
    timestamp: int = 0
    emitter: str = ""
    session_id: int | None = None
    event: msgspec.Raw = _NOTHING


class _Plugin(msgspec.Struct):
    plugin: str = ""
    data: msgspec.Raw = _NOTHING


class _Data(msgspec.Struct):
    event: str = ""
    room: str | int = ""
    id: str | int = ""
    display: str | None = None
    muted: bool | None = None
    file_id: str | None = None


_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_envelope: Final = msgspec.json.Decoder(_Envelope)
_plugin: Final = msgspec.json.Decoder(_Plugin)
_data: Final = msgspec.json.Decoder(_Data)
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
OTHER: Final = JanusEvent("other", 0, "")


def read_events(text: bytes) -> Iterator[JanusEvent | SignalError]:
    """Yield the events of a text, and an error for each that can't be read. Raises SignalError if it is no JSON."""
    if text.lstrip(b" \t\r\n")[:1] == b"[":
        try:
            found = _list.decode(text)
        except _ERRORS as error:
            raise SignalError(f"no JSON list of events: {one_line(str(error))}") from None
    else:
        found = [msgspec.Raw(text)]
    for one in found:
        try:
            yield _read(one)
        except _ERRORS as error:
            yield SignalError(f"no event of Janus: {one_line(str(error))}")
        except SignalError as error:
            yield error


def _read(raw: msgspec.Raw) -> JanusEvent:
    envelope = _envelope.decode(raw)
    if envelope.type not in (PLUGIN, CORE):
        return OTHER
    if not 0 <= envelope.timestamp <= LAST_TIME:
        raise SignalError("no event of Janus: timestamp is no time in microseconds since 1970")
    if envelope.type == CORE:
        kind = "server-started" if envelope.subtype == STARTED else "server-stopped"
        return JanusEvent(kind, envelope.timestamp, envelope.emitter)
    plugin = _plugin.decode(envelope.event)
    if plugin.plugin != AUDIOBRIDGE:
        return OTHER
    data = _data.decode(plugin.data)
    if not data.event or len(data.event) > MAX_KIND:
        raise SignalError("no event of the AudioBridge: the field event is missing or too long")
    if data.room == "":
        raise SignalError("no event of the AudioBridge: the field room is missing")
    return JanusEvent(
        data.event, envelope.timestamp, envelope.emitter, envelope.session_id is not None, str(data.room), str(data.id),
        data.display or "", data.muted, data.file_id or "",
    )  # fmt: skip
